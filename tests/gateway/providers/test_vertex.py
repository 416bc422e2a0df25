"""Vertex AI: publishers, regions, a service account's token; Anthropic's dialect among them."""

from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from google.auth import jwt
from pydantic import ValidationError

from gateway.providers.base import Call, Door, GrantRefused, Translated, Untranslatable
from gateway.providers.registry import built_in_rows
from gateway.providers.vertex.account import AUDIENCE, SCOPE, AccountToken
from gateway.providers.vertex.provider import Vertex
from gateway.view.plan import place_of
from shared.crypto.secret import Secret
from shared.models.credential import ServiceAccountForm
from tests.conformance.corpus import anthropic, checks
from tests.conformance.corpus.cases import ANSWERS

PLACE = place_of(built_in_rows()["vertex-ai"])
_KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
PRIVATE = _KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
LOCKED = _KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"word")
).decode()
OF_A_CURVE = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    .decode()
)
PUBLIC = _KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def account(**fields: Any) -> ServiceAccountForm:
    file = {"client_email": "me@p.test", "private_key": PRIVATE, "private_key_id": "k1", **fields}
    return ServiceAccountForm.model_validate(
        {"project": "p", "location": "us-east5", "service_account": orjson.dumps(file).decode()}
    )


def sent(model: str, *, stream: bool = False, location: str = "us-east5", door: Door = Door.CHAT) -> Translated:
    body = {"model": "x", "messages": [{"role": "user", "content": "q"}], "max_tokens": 9, "stream": stream}
    if door is Door.EMBEDDINGS:
        body = {"model": "x", "input": "q"}
    key = AccountToken(project="p", location=location, token=Secret("tok"))
    return Vertex().request(Call(door, orjson.dumps(body), body, stream=stream), PLACE, key, {}, model)


def test_a_model_s_publisher_stands_in_its_path() -> None:
    home = "/v1/projects/p/locations/us-east5/publishers"
    assert sent("gemini-2.5-pro").target == f"{home}/google/models/gemini-2.5-pro:generateContent"
    assert sent("anthropic.claude-x@1", stream=True).target == f"{home}/anthropic/models/claude-x@1:streamRawPredict"
    assert sent("claude-x").target == f"{home}/anthropic/models/claude-x:rawPredict"
    assert sent("publishers/google/models/../x").target == f"{home}/google/models/..%2Fx:generateContent"
    assert sent("text-embed", door=Door.EMBEDDINGS).target == f"{home}/google/models/text-embed:predict"
    with pytest.raises(Untranslatable):
        sent("claude-x", door=Door.EMBEDDINGS)


@pytest.mark.parametrize(
    ("location", "host"),
    [("us-east5", "us-east5-aiplatform.googleapis.com"), ("global", "aiplatform.googleapis.com")],
)
def test_each_region_has_a_host_and_the_world_a_bare_one(location: str, host: str) -> None:
    asked = sent("gemini", location=location)
    assert asked.origin is not None
    assert asked.origin.host == host
    assert f"/locations/{location}/" in asked.target
    assert b"authorization: Bearer tok\r\n" in asked.headers


def test_messages_go_out_without_their_model_and_with_a_version() -> None:
    body = orjson.loads(sent("claude-x").body)
    assert "model" not in body
    assert body["anthropic_version"] == "vertex-2023-10-16"


@pytest.mark.parametrize("name", ["plain", "thought, text and tools", "cached"])
def test_messages_come_back_as_from_anthropic_itself(name: str) -> None:
    said, wire = ANSWERS[name], anthropic.WIRE.answers
    assert Vertex().answer(checks.ASKED, wire.whole(said)) == anthropic.WIRE.adapter.answer(
        checks.ASKED, wire.whole(said)
    )
    data = b"".join(wire.frames(said))
    for size in (1, 7, len(data)):
        readers = Vertex().stream(checks.STREAMED), anthropic.WIRE.adapter.stream(checks.STREAMED)
        events = [
            b"".join([reader.feed(data[at : at + size]) for at in range(0, len(data), size)]) + reader.end()
            for reader in readers
        ]
        assert events[0] == events[1]
        assert readers[0].usage == readers[1].usage
        assert readers[0].complete
        assert readers[0].begun


def test_an_assertion_is_one_that_google_s_library_takes() -> None:
    exchange = Vertex().exchange(account(token_uri="https://evil.test"))
    assert exchange is not None
    asked = exchange.request(1_750_000_000_000)
    assert asked.origin is not None
    assert f"https://{asked.origin.host}{asked.target}" == AUDIENCE
    (assertion,) = parse_qs(asked.body.decode())["assertion"]
    head, claims, _, _ = jwt._unverified_decode(assertion)
    assert head["kid"] == "k1"
    assert claims == {
        "iss": "me@p.test",
        "scope": SCOPE,
        "aud": AUDIENCE,
        "iat": 1_750_000_000,
        "exp": 1_750_003_600,
    }
    signed, _, signature = assertion.encode().rpartition(b".")
    verifier = jwt.crypt.RSAVerifier.from_string(PUBLIC)
    assert verifier.verify(signed, jwt._helpers.padded_urlsafe_b64decode(signature))


def test_a_token_is_what_the_endpoint_grants() -> None:
    exchange = Vertex().exchange(account())
    assert exchange is not None
    granted = exchange.grant(200, b'{"access_token":"tok","expires_in":3599,"token_type":"Bearer"}', 1_000)
    assert isinstance(granted.key, AccountToken)
    assert (granted.key.words(), granted.expires_at_ms) == ({"project": "p", "location": "us-east5"}, 3_600_000)
    with pytest.raises(GrantRefused, match="invalid_grant"):
        exchange.grant(400, b'{"error":"invalid_grant","error_description":"secret things"}', 0)


@pytest.mark.parametrize("key", ["-----BEGIN MARKER-----", LOCKED, OF_A_CURVE], ids=["none", "locked", "of a curve"])
def test_a_private_key_that_cannot_sign_is_refused_without_being_told(key: str) -> None:
    exchange = Vertex().exchange(account(private_key=key))
    assert exchange is not None
    with pytest.raises(GrantRefused, match="private key") as refused:
        exchange.request(0)
    assert key not in str(refused.value)
    assert "MARKER" not in str(refused.value)


@pytest.mark.parametrize("file", ["", "[]", "{", '{"client_email":"x"}', "x" * 20_000])
def test_a_key_file_that_is_none_is_refused(file: str) -> None:
    with pytest.raises(ValidationError):
        ServiceAccountForm.model_validate({"project": "p", "location": "l", "service_account": file})


def test_a_form_s_account_is_sealed_and_opened_again() -> None:
    sealed = account().sealable()
    assert ServiceAccountForm.model_validate(orjson.loads(sealed.reveal())).sealable().reveal() == sealed.reveal()


@pytest.mark.parametrize(
    ("error", "type_", "code"),
    [
        ({"type": "rate_limit_error", "message": "slow down"}, "rate_limit_error", None),
        (
            {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens"},
            "invalid_request_error",
            "context_length_exceeded",
        ),
        ({"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "q"}, "RESOURCE_EXHAUSTED", "rate_limit_exceeded"),
    ],
)
def test_an_error_keeps_the_words_of_whoever_says_it(error: dict[str, Any], type_: str, code: str | None) -> None:
    body = orjson.dumps({"type": "error", "error": error} if "type" in error else {"error": error})
    told = orjson.loads(Vertex().error("vertex-ai", 400, {"content-type": "application/json"}, body))["error"]
    assert (told["type"], told["code"]) == (type_, code)
    assert error["message"] in told["message"]
