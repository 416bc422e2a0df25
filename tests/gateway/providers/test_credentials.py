"""Whatever a credential consists of, and whichever door a call came through: it is in the request, or there is none."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from gateway.dialects.passed import PASSED
from gateway.dialects.registry import DIALECTS
from gateway.providers.base import Call, Door, Passage, ProviderKey, Translated, Untranslatable, key_of
from gateway.providers.registry import adapters
from gateway.view.plan import place_of
from shared.models.credential import FORMS, CredentialForm
from shared.models.provider import Provider

SECRET = "sesame-7"
ACCOUNT_FILE = orjson.dumps({"client_email": "a@b.test", "private_key": SECRET}).decode()
_APPLICATION = {"resource": "r", "tenant_id": "t", "client_id": "c", "client_secret": SECRET}
_KEYS = {"region": "eu-west-1", "access_key_id": "AKID", "secret_access_key": SECRET}
CREDENTIALS: Mapping[str, tuple[CredentialForm, Mapping[str, str]]] = {
    "a key": ("api_key", {"api_key": SECRET}),
    "a key that may be none": ("optional_api_key", {"api_key": SECRET}),
    "a key of an account": ("account", {"account": "a", "api_key": SECRET}),
    "a key of a workspace": ("workspace", {"host": "h.test", "api_key": SECRET}),
    "a key at AWS": ("aws", {"region": "eu-west-1", "api_key": SECRET}),
    "keys that sign": ("aws", _KEYS),
    "keys that take a role": ("aws", {**_KEYS, "role_arn": "arn:aws:iam::123456789012:role/caller"}),
    "a resource's key": ("entra", {"resource": "r", "api_key": SECRET}),
    "an application of a tenant": ("entra", _APPLICATION),
    "a service account": (
        "service_account",
        {"project": "p", "location": "europe-west1", "service_account": ACCOUNT_FILE},
    ),
}
_CHAT: Mapping[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}
BODIES: Mapping[Door, Mapping[str, Any]] = {
    Door.CHAT: _CHAT,
    Door.COMPLETIONS: {"prompt": "x"},
    Door.EMBEDDINGS: {"input": "x"},
    Door.MESSAGES: {**_CHAT, "max_tokens": 9},
    Door.COUNT_TOKENS: _CHAT,
    Door.RESPONSES: {"input": "x", "store": False},
    Door.FILES: {},
}
MODELS = {Door.EMBEDDINGS: "amazon.titan-embed-text-v2:0"}


def asked(name: str, dialect: str, door: Door, *, native: bool) -> tuple[Translated, ProviderKey]:
    """Raises Untranslatable."""
    form, fields = CREDENTIALS[name]
    row = {"id": "acme", "name": "Acme", "dialect": dialect, "base_url": "https://acme.test/v1", "credential": form}
    place = place_of(Provider.model_validate(row))
    if native:
        place = replace(place, doors=place.doors | {Door.MESSAGES, Door.RESPONSES})
    adapter = adapters()[dialect]
    adapter.prepare(form)
    key = key_of(FORMS[form].model_validate(fields))
    assert key is not None
    if (exchange := adapter.exchange(key)) is not None:
        key = exchange.mask
    model = MODELS.get(door, "m")
    body = {"model": model, **BODIES[door]}
    passage = Passage(Door.FILES, "GET", "/v1/files") if door is Door.FILES else None
    spoken = PASSED if passage is not None else DIALECTS.get(door)
    call = Call(door, orjson.dumps(body), body, stream=False, dialect=spoken, passage=passage, id="lg_1")
    speaks = adapter if spoken is None else spoken.between(adapter, place)
    return speaks.request(call, place, key, {}, model), key


@pytest.mark.parametrize("native", [False, True], ids=["translated", "native"])
@pytest.mark.parametrize("door", BODIES)
@pytest.mark.parametrize("dialect", adapters())
@pytest.mark.parametrize("name", CREDENTIALS)
def test_nobody_is_called_without_the_credential(name: str, dialect: str, door: Door, native: bool) -> None:
    try:
        made, key = asked(name, dialect, door, native=native)
    except Untranslatable:
        return
    if made.answer is not None:
        return  # Nobody is called at all.
    lines = made.headers.decode().split("\r\n")
    said = [line for line in lines if line.endswith((SECRET, "****"))]
    assert len(said) == (0 if made.signer is not None else 1), key


@pytest.mark.parametrize(
    ("name", "dialect", "door"),
    [
        ("an application of a tenant", "azure", Door.CHAT),
        ("an application of a tenant", "azure", Door.RESPONSES),
        ("a resource's key", "azure", Door.RESPONSES),
        ("a service account", "vertex", Door.CHAT),
        ("a service account", "vertex", Door.MESSAGES),
        ("keys that sign", "bedrock", Door.CHAT),
        ("keys that take a role", "bedrock", Door.EMBEDDINGS),
        ("a key at AWS", "bedrock", Door.MESSAGES),
        ("a key of an account", "openai", Door.RESPONSES),
        ("a key of an account", "openai", Door.FILES),
    ],
)
def test_whoever_can_be_called_is(name: str, dialect: str, door: Door) -> None:
    asked(name, dialect, door, native=True)


@pytest.mark.parametrize(
    ("name", "dialect", "door"),
    [
        ("keys that sign", "bedrock", Door.MESSAGES),
        ("keys that sign", "openai", Door.CHAT),
        ("an application of a tenant", "openai", Door.CHAT),
        ("a service account", "gemini", Door.CHAT),
        ("a service account", "openai", Door.RESPONSES),
        ("an application of a tenant", "azure", Door.FILES),
        ("keys that sign", "openai", Door.FILES),
    ],
)
def test_where_a_credential_cannot_be_said_the_call_is_refused(name: str, dialect: str, door: Door) -> None:
    with pytest.raises(Untranslatable, match="more than one header") as refused:
        asked(name, dialect, door, native=True)
    assert refused.value.unsupported


def test_what_is_shown_of_a_credential_that_is_exchanged_is_a_mask() -> None:
    made, _ = asked("a service account", "vertex", Door.CHAT, native=False)
    assert b"authorization: Bearer ****\r\n" in made.headers
