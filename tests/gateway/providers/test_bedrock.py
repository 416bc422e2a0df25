"""What the corpus does not ask of Bedrock's adapter: signatures, roles, damaged frames, models' own words."""

import re
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, quote
from zlib import crc32

import orjson
import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from embedded.simulator.errors import Refused
from embedded.simulator.manners import ACCESS_KEY_ID, Shown, Signed
from gateway.providers.base import BrokenAnswer, Call, Door, Grant, GrantRefused, Translated, Untranslatable, Usage
from gateway.providers.bedrock.answer import counted
from gateway.providers.bedrock.event_stream import FRAME_BYTES_MAX, Frame, FrameBroken, FrameReader
from gateway.providers.bedrock.provider import Bedrock
from gateway.providers.bedrock.signature import AwsSigner
from gateway.providers.registry import built_in_rows
from gateway.upstream.messages import Origin
from gateway.view.plan import place_at, place_of
from shared.crypto.secret import Secret
from shared.models.credential import AwsForm
from tests.conformance.corpus.bedrock import KEYS, event, frame

PLACE = place_of(built_in_rows()["bedrock"])
NOW_MS = 1_750_000_000_123
ROLE = KEYS.model_copy(update={"role_arn": "arn:aws:iam::123456789012:role/caller", "external_id": "x-1"})
ASK = {"messages": [{"role": "user", "content": "Hello"}]}


def asked(body: dict[str, Any], *, model: str = "m", door: Door = Door.CHAT, **fields: Any) -> Translated:
    call = Call(door, b"", {"model": model, **body}, stream=False, id="lg_1", **fields)
    return Bedrock().request(call, PLACE, KEYS, {}, model)


def headers_of(block: bytes) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in block.decode().split("\r\n") if line)


# Requests


@pytest.mark.parametrize(
    ("named", "name"),
    [
        ("Q1, 2026.pdf", "Q1 2026 pdf"),
        ("two  spaces", "two spaces"),
        ("a - b (1)", "a - b (1)"),
        ("\u6f22. \u5b57", "document"),
        ("x" * 201, "x" * 200),
    ],
)
def test_a_file_s_name_is_one_that_the_provider_takes(named: str, name: str) -> None:
    """It takes no two spaces one behind the other: what stood in the place of a sign made two of one."""
    part = {"type": "file", "file": {"filename": named, "file_data": "data:application/pdf;base64,JVBERg=="}}
    translated = asked({"messages": [{"role": "user", "content": [part]}]})
    *_, block = orjson.loads(translated.body)["messages"][0]["content"]
    assert block["document"]["name"] == name
    assert translated.left_out == (set() if name == named else {"filename"})


@pytest.mark.parametrize("tools", [{}, {"tools": None}, {"tools": []}])
def test_a_call_without_tools_brings_one_where_its_history_tells_of_some(tools: dict[str, Any]) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": "x"}]
    made = orjson.loads(asked({"messages": [*ASK["messages"], *turns], **tools}).body)
    assert [tool["toolSpec"]["name"] for tool in made["toolConfig"]["tools"]] == ["nothing"]
    assert "toolConfig" not in orjson.loads(asked({**ASK, **tools}).body)


@pytest.mark.parametrize(
    ("model", "first"),
    [
        ("amazon.nova-pro-v1:0", "user"),
        ("us.meta.llama3-3-70b-instruct-v1:0", "user"),
        ("arn:aws:bedrock:us-east-1:1:application-inference-profile/abc", "user"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "assistant"),
        ("anthropic.claude-3-haiku-20240307-v1:0", "assistant"),
        ("qwen.qwen3-32b-v1:0", "assistant"),
    ],
)
def test_what_a_model_said_first_has_a_user_before_it_where_one_is_wanted(model: str, first: str) -> None:
    """A greeting, for one. Most of the provider's models take no conversation that begins with it."""
    said = [{"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "Hi"}]
    messages = orjson.loads(asked({"messages": said}, model=model).body)["messages"]
    assert [message["role"] for message in messages] == [*["user"] * (first == "user"), "assistant", "user"]
    assert messages[-2:] == [{"role": one["role"], "content": [{"text": one["content"]}]} for one in said]


def test_each_file_of_a_conversation_has_a_name_of_its_own() -> None:
    """The provider refuses a request in which two have the same, and a conversation is sent whole each time."""

    def file(name: str | None) -> dict[str, Any]:
        told = {} if name is None else {"filename": name}
        return {"type": "file", "file": {**told, "file_data": "data:application/pdf;base64,JVBERg=="}}

    def user(*names: str | None) -> dict[str, Any]:
        return {"role": "user", "content": [*map(file, names), {"type": "text", "text": "Read"}]}

    long = "x" * 200
    said = [user(None, "report"), {"role": "assistant", "content": "Yes"}, user("Report", None, "report", long, long)]
    translated = asked({"messages": said})
    blocks = [block for turn in orjson.loads(translated.body)["messages"] for block in turn["content"]]
    names = [block["document"]["name"] for block in blocks if "document" in block]
    assert names == ["document", "report", "Report 2", "document 2", "report 3", long, "x" * 198 + " 2"]
    assert translated.left_out == {"filename"}
    assert asked({"messages": [user(None), user(None)]}).left_out == set()


def test_a_claude_goes_on_without_a_thought_that_it_did_not_begin_with() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": "x"}]
    body = {"messages": [*ASK["messages"], *turns], "reasoning_effort": "low"}
    model = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    made = asked(body, model=model)
    assert "additionalModelRequestFields" not in orjson.loads(made.body)
    assert made.left_out == {"reasoning_effort"}
    assert "thinking" in orjson.loads(asked({**body, **ASK}, model=model).body)["additionalModelRequestFields"]
    turns[0] |= {"content_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": "gatehouse:google:c2ln"}]}
    own = {"messages": [*ASK["messages"], *turns], "thinking": {"type": "enabled", "budget_tokens": 2_000}}
    made = asked(own, model=model)
    assert orjson.loads(made.body)["additionalModelRequestFields"] == {"thinking": {"type": "disabled"}}
    assert "thinking" in made.left_out


@pytest.mark.parametrize("text", [None, "  ", "Read it"])
def test_a_document_that_nobody_says_a_word_to_has_one_beside_it(text: str | None) -> None:
    """The provider refuses it else: "A text block must be included when using documents"."""
    file = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}}
    said = [] if text is None else [{"type": "text", "text": text}]
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": "x"}]
    body = {"messages": [*ASK["messages"], *turns, {"role": "user", "content": [file, *said]}]}
    content = orjson.loads(asked(body).body)["messages"][-1]["content"]
    kinds = [kind for block in content for kind in block]
    assert kinds == ["toolResult", "document", "text"] if text == "Read it" else ["toolResult", "text", "document"]
    assert all(block["text"].strip() for block in content if "text" in block)


def test_a_tool_s_result_that_says_nothing_holds_no_empty_text() -> None:
    """The provider refuses texts that are empty, and a command that succeeds often says nothing."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": ""}]
    made = orjson.loads(asked({"messages": [*ASK["messages"], *turns]}).body)
    assert made["messages"][2]["content"] == [{"toolResult": {"toolUseId": "c", "content": []}}]


@pytest.mark.parametrize(
    ("id_", "model", "kept"),
    [
        ("call_1", "eu.anthropic.claude-x-v1:0", True),
        ("functions.get_weather:0", "eu.anthropic.claude-x-v1:0", False),
        ("functions.get_weather:0", "moonshot.kimi-k2-thinking", True),
        ("a|b", "moonshot.kimi-k2-thinking", False),
        ("x" * 65, "m", False),
    ],
)
def test_ids_of_calls_are_such_as_the_provider_and_its_model_take(id_: str, model: str, kept: bool) -> None:
    call = {"id": id_, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": id_, "content": "x"}]
    made = orjson.loads(asked({"messages": [*ASK["messages"], *turns]}, model=model).body)["messages"]
    used = made[1]["content"][0]["toolUse"]["toolUseId"]
    assert re.fullmatch("[a-zA-Z0-9_-]{1,64}" if "claude" in model else "[a-zA-Z0-9_.:-]{1,64}", used)
    assert (used == id_) is kept
    assert made[2]["content"][0]["toolResult"]["toolUseId"] == used


@pytest.mark.parametrize(
    ("model", "thinking", "config", "limit"),
    [
        ("us.anthropic.claude-opus-4-7", {"type": "adaptive"}, {"effort": "low"}, 5_120),
        ("anthropic.claude-opus-5", {"type": "adaptive"}, {"effort": "low"}, 5_120),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", {"type": "enabled", "budget_tokens": 1_024}, None, 5_120),
        ("anthropic.claude-opus-4-6-v1", {"type": "enabled", "budget_tokens": 1_024}, None, 5_120),
        ("amazon.nova-2-lite-v1:0", None, {"effort": "low"}, None),
    ],
)
def test_a_claude_is_told_how_hard_to_think_as_at_its_maker(
    model: str, thinking: Any, config: Any, limit: int | None
) -> None:
    """Else it does not think, or its provider refuses the word for effort."""
    made = orjson.loads(asked({**ASK, "reasoning_effort": "low"}, model=model).body)
    assert made.get("additionalModelRequestFields", {}).get("thinking") == thinking
    assert made.get("outputConfig") == config
    assert made.get("inferenceConfig", {}).get("maxTokens") == limit
    own = {"additionalModelRequestFields": {"thinking": {"type": "disabled"}}}
    made = orjson.loads(asked({**ASK, **own, "reasoning_effort": "low"}, model=model).body)
    assert made["additionalModelRequestFields"]["thinking"] == {"type": "disabled"}
    assert made["outputConfig"] == {"effort": "low"}


@pytest.mark.parametrize(("effort", "said"), [("minimal", "low"), ("low", "low"), ("xhigh", "xhigh")])
def test_a_word_for_effort_is_one_that_the_provider_knows(effort: str, said: str) -> None:
    made = orjson.loads(asked({**ASK, "reasoning_effort": effort}).body)
    assert made["outputConfig"] == {"effort": said}


@pytest.mark.parametrize(("model", "told"), [("eu.anthropic.claude-x-v1:0", True), ("deepseek.r1-v1:0", False)])
def test_a_thought_that_nobody_signed_is_left_out_where_the_model_knows_its_own_by_that(model: str, told: bool) -> None:
    turn = {"role": "assistant", "content": "x", "content_blocks": [{"type": "thinking", "thinking": "Hm."}]}
    translated = asked({"messages": [*ASK["messages"], turn, *ASK["messages"]]}, model=model)
    assert translated.left_out == ({"content_blocks"} if told else set())
    assert (b"Hm." in translated.body) is not told


# Signatures

_MODELS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)


@settings(deadline=None, max_examples=60)
@given(
    model=_MODELS.filter(lambda name: name not in (".", "..")),
    body=st.binary(max_size=200),
    token=st.none() | st.text("abcXYZ019+/=", min_size=1, max_size=30),
    host=st.sampled_from(("bedrock-runtime.eu-west-1.amazonaws.com", "127.0.0.1", "::1")),
    port=st.sampled_from((443, 8_443)),
)
def test_signatures_are_those_that_a_receiver_makes_of_what_it_gets(
    model: str, body: bytes, token: str | None, host: str, port: int
) -> None:
    target = f"/model/{quote(model, safe='')}/converse"
    origin, secret = Origin("https", host, port), Secret("s3/cr+t")
    signer = AwsSigner(Secret(ACCESS_KEY_ID), secret, Secret(token) if token else None, "eu-west-1", "bedrock")
    said = b"content-type: application/json\r\naccept: application/json\r\n"
    added = headers_of(signer.sign("POST", origin, target, said, body))
    assert added.keys() == {"x-amz-date", "authorization"} | ({"x-amz-security-token"} if token else set())
    assert added.get("x-amz-security-token") == token
    assert token is None or "x-amz-security-token" in added["authorization"]

    headers = {"host": origin.authority, "content-type": "application/json", "accept": "application/json", **added}
    receiver = Signed()
    receiver.authenticate(Shown("POST", target, headers, sha256(body).hexdigest()), secret)
    for other in (
        Shown("POST", target, headers, sha256(body + b" ").hexdigest()),
        Shown("POST", target + "x", headers, sha256(body).hexdigest()),
        Shown("POST", target, {**headers, "host": "other.test"}, sha256(body).hexdigest()),
    ):
        with pytest.raises(Refused):
            receiver.authenticate(other, secret)


def test_a_request_is_signed_where_it_goes_and_shows_no_secret() -> None:
    translated = asked(ASK, model="arn:aws:bedrock:eu-central-1:1:inference-profile/eu.x-v1:0")
    assert translated.origin == Origin("https", "bedrock-runtime.eu-central-1.amazonaws.com", 443)
    assert translated.target == (
        "/model/arn%3Aaws%3Abedrock%3Aeu-central-1%3A1%3Ainference-profile%2Feu.x-v1%3A0/converse"
    )
    assert translated.signer is not None
    line = translated.signer.sign("POST", translated.origin, translated.target, translated.headers, b"")
    assert b"/eu-central-1/bedrock/aws4_request" in line
    assert b"s3cr3t" not in line + translated.headers
    assert "s3cr3t" not in f"{translated!r}{KEYS!r}"
    assert b"authorization" not in translated.headers


def test_a_key_of_bedrock_s_own_goes_into_the_header() -> None:
    call = Call(Door.CHAT, b"", ASK, stream=True)
    key = AwsForm(region="us-east-1", api_key="bk-1")  # type: ignore[arg-type]
    translated = Bedrock().request(call, PLACE, key, {}, "m")
    assert translated.signer is None
    assert b"authorization: Bearer bk-1\r\n" in translated.headers
    assert b"accept: application/vnd.amazon.eventstream\r\n" in translated.headers
    assert translated.target == "/model/m/converse-stream"
    with pytest.raises(Untranslatable, match="region"):
        Bedrock().request(call, PLACE, Secret("callers-own"), {}, "m")
    own = Bedrock().request(call, place_at(PLACE, "https://vpce.example"), Secret("callers-own"), {}, "m")
    assert (own.origin, b"Bearer callers-own" in own.headers) == (None, True)


# Roles

SESSION = b"""<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>sec/ret&amp;2</SecretAccessKey><SessionToken>tok+en==</SessionToken>
<Expiration>2026-01-01T01:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""


def test_a_role_is_taken_for_a_session_that_signs_like_any_keys() -> None:
    assert Bedrock().exchange(KEYS) is None
    exchange = Bedrock().exchange(ROLE)
    assert exchange is not None
    wanted = exchange.request(NOW_MS)
    assert wanted.origin == Origin("https", "sts.eu-central-1.amazonaws.com", 443)
    assert {name: values[0] for name, values in parse_qs(wanted.body.decode()).items()} == {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": "arn:aws:iam::123456789012:role/caller",
        "RoleSessionName": "gatehouse",
        "DurationSeconds": "3600",
        "ExternalId": "x-1",
    }
    assert wanted.signer is not None
    signed = wanted.signer.sign("POST", wanted.origin, "/", wanted.headers, wanted.body)
    assert b"/eu-central-1/sts/aws4_request" in signed

    grant = exchange.grant(200, SESSION, NOW_MS)
    assert isinstance(grant, Grant)
    assert grant.expires_at_ms == int(datetime(2026, 1, 1, 1, tzinfo=UTC).timestamp() * 1_000)
    assert isinstance(grant.key, AwsForm)
    assert Bedrock().exchange(grant.key) is None
    assert orjson.loads(grant.key.sealable().reveal()) == {
        "region": "eu-central-1",
        "access_key_id": "ASIA1",
        "secret_access_key": "sec/ret&2",
        "session_token": "tok+en==",
    }


def test_the_same_credential_has_the_same_exchange_and_another_has_not() -> None:
    names = [
        exchange.name
        for key in (ROLE, ROLE.model_copy(), ROLE.model_copy(update={"external_id": None}))
        if (exchange := Bedrock().exchange(key))
    ]
    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>", "AccessDenied"),
        (500, b"", "status 500"),
        (200, b"<html>", "no session"),
        (200, SESSION.replace(b"2026-01-01T01:00:00Z", b"soon"), "no session"),
        (200, SESSION.replace(b"ASIA1", b""), "no session"),
    ],
)
def test_a_role_that_is_not_given_is_told_without_a_secret(status: int, body: bytes, said: str) -> None:
    exchange = Bedrock().exchange(ROLE)
    assert exchange is not None
    with pytest.raises(GrantRefused, match=said) as refused:
        exchange.grant(status, body, NOW_MS)
    assert "s3cr3t" not in str(refused.value)


# Frames

_frames = st.lists(
    st.tuples(
        st.dictionaries(st.text("abc:-", min_size=1, max_size=12), st.text(max_size=12), max_size=3),
        st.binary(max_size=60),
    ),
    max_size=4,
)


@settings(deadline=None)
@given(frames=_frames, cuts=st.lists(st.integers(0, 400), max_size=8))
def test_frames_come_whole_wherever_the_stream_is_cut_as_the_vendor_reads_them(
    frames: list[tuple[dict[str, str], bytes]], cuts: list[int]
) -> None:
    data = b"".join(frame(headers, payload) for headers, payload in frames)
    theirs = EventStreamBuffer()
    theirs.add_data(data)
    expected = [Frame(message.headers, message.payload) for message in theirs]
    for ends in (range(len(data)), sorted({min(cut, len(data)) for cut in cuts})):
        reader, found, start = FrameReader(), [], 0
        for end in (*ends, len(data)):
            found += reader.feed(data[start:end])
            start = end
        assert found == expected == [Frame(*one) for one in frames]
        assert reader.is_between_frames


@settings(deadline=None)
@given(at=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_damage_anywhere_is_noticed(at: int, flip: int) -> None:
    data = bytearray(event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hello"}}))
    data[at % len(data)] ^= flip
    with pytest.raises(FrameBroken):
        FrameReader().feed(bytes(data))


def test_header_values_of_every_type_are_stepped_over() -> None:
    values = {0: b"", 1: b"", 2: b"1", 3: b"12", 4: b"1234", 5: b"12345678", 8: b"12345678", 9: b"x" * 16}
    block = b"".join(b"\x01a" + bytes((kind,)) + value for kind, value in values.items())
    block += b"\x01b\x06\x00\x03xyz" + b"\x01c\x07\x00\x02ok"
    assert FrameReader().feed(_raw(block)) == [Frame({"c": "ok"}, b"{}")]
    for bad in (b"\x01", b"\x05ab", b"\x01a\x0a", b"\x01a\x07\x00\x09no", b"\x01a\x07\x00", b"\x02\xff\xfe\x00"):
        with pytest.raises(FrameBroken):
            FrameReader().feed(_raw(bad))


def test_a_frame_that_claims_too_much_is_refused_before_it_is_held() -> None:
    for size, headers_size in ((FRAME_BYTES_MAX + 1, 0), (20, 10), (15, 0), (1_000_000, 200_000)):
        prelude = size.to_bytes(4, "big") + headers_size.to_bytes(4, "big")
        with pytest.raises(FrameBroken):
            FrameReader().feed(prelude + crc32(prelude).to_bytes(4, "big"))


def _raw(block: bytes) -> bytes:
    prelude = (16 + len(block) + 2).to_bytes(4, "big") + len(block).to_bytes(4, "big")
    message = prelude + crc32(prelude).to_bytes(4, "big") + block + b"{}"
    return message + crc32(message).to_bytes(4, "big")


def test_a_damaged_stream_is_a_broken_answer() -> None:
    reader = Bedrock().stream(Call(Door.CHAT, b"", ASK, stream=True))
    with pytest.raises(BrokenAnswer, match="checksum"):
        reader.feed(b"data: {}\n\ndata: [DONE]\n\n")


# Words of models and of the caller


def test_advice_on_the_cache_stands_behind_what_it_is_about() -> None:
    hint = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    point = {"cachePoint": {"type": "default", "ttl": "1h"}}
    function = {"name": "f", "parameters": {"type": "object"}}
    translated = asked(
        {
            "messages": [
                {"role": "system", "content": [{"type": "text", "text": "s", **hint}]},
                {"role": "user", "content": [{"type": "text", "text": "u", **hint}]},
                {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "r", **hint}]},
            ],
            "tools": [{"type": "function", "function": function, **hint}],
        }
    )
    sent = orjson.loads(translated.body)
    assert sent["system"] == [{"text": "s"}, point]
    assert sent["messages"][0]["content"] == [{"text": "u"}, point]
    assert sent["messages"][2]["content"] == [{"toolResult": {"toolUseId": "1", "content": [{"text": "r"}]}}, point]
    assert sent["toolConfig"]["tools"][1] == point


@pytest.mark.parametrize(
    ("details", "unpriced"),
    [
        (None, False),
        ([{"ttl": "5m", "inputTokens": 5}], False),
        ([{"ttl": "1h", "inputTokens": 0}, {"ttl": "5m", "inputTokens": 5}], False),
        ([{"ttl": "1h", "inputTokens": 5}], True),
        ([7, {"ttl": "1h"}], False),
    ],
)
def test_what_is_kept_for_an_hour_is_not_charged_as_what_is_kept_for_five_minutes(details: Any, unpriced: bool) -> None:
    told = {"inputTokens": 2, "outputTokens": 3, "cacheReadInputTokens": 7, "cacheWriteInputTokens": 5}
    assert counted({"usage": {**told, "cacheDetails": details}}) == Usage(14, 3, 7, 5, unpriced=unpriced)
    assert counted({"usage": {**told, "cacheReadInputTokens": "7"}}) == Usage(7, 3, None, 5, unpriced=True)


def test_what_only_some_models_know_is_passed_on_to_them() -> None:
    thinking = {"type": "enabled", "budget_tokens": 1_024}
    translated = asked(
        {
            **ASK,
            "thinking": thinking,
            "top_k": 5,
            "additionalModelRequestFields": {"x": 1},
            "reasoning_effort": "low",
            "guardrailConfig": {"guardrailIdentifier": "g"},
            "metadata": {"team": "a"},
            "service_tier": "flex",
        },
        forwarded=b"traceparent: 0\r\nanthropic-beta: one-1, two-2\r\n",
    )
    sent = orjson.loads(translated.body)
    assert sent["additionalModelRequestFields"] == {
        "x": 1,
        "thinking": thinking,
        "top_k": 5,
        "anthropic_beta": ["one-1", "two-2"],
    }
    assert sent["outputConfig"] == {"effort": "low"}
    assert sent["guardrailConfig"] == {"guardrailIdentifier": "g"}
    assert sent["requestMetadata"] == {"team": "a"}
    assert sent["serviceTier"] == {"type": "flex"}


def test_sealed_thoughts_go_there_and_come_back() -> None:
    answer = {
        "output": {"message": {"content": [{"reasoningContent": {"redactedContent": "c2VhbGVk"}}, {"text": "x"}]}}
    }
    call = Call(Door.CHAT, b"", {"model": "@main/m", **ASK}, stream=False, id="lg_1")
    chat = orjson.loads(Bedrock().answer(call, orjson.dumps(answer))[0])
    assert (chat["id"], chat["model"]) == ("chatcmpl-lg_1", "m")
    message = chat["choices"][0]["message"]
    sent = orjson.loads(asked({"messages": [*ASK["messages"], message, *ASK["messages"]]}).body)
    assert sent["messages"][1]["content"] == answer["output"]["message"]["content"]


def test_embeddings_of_cohere_take_several_texts_and_say_what_for() -> None:
    body = {"input": ["a", "b"], "encoding_format": "base64", "dimensions": 256, "input_type": "search_query"}
    translated = asked(body, model="cohere.embed-v4:0", door=Door.EMBEDDINGS)
    assert translated.target == "/model/cohere.embed-v4%3A0/invoke"
    assert orjson.loads(translated.body) == {
        "texts": ["a", "b"],
        "input_type": "search_query",
        "embedding_types": ["float"],
        "output_dimension": 256,
    }
    call = Call(Door.EMBEDDINGS, b"", {"model": "m", **body}, stream=False)
    for answer in ({"embeddings": {"float": [[0.5], [1.0]]}}, {"embeddings": [[0.5], [1.0]]}):
        told, usage = Bedrock().answer(call, orjson.dumps(answer))
        assert [row["embedding"] for row in orjson.loads(told)["data"]] == ["AAAAPw==", "AACAPw=="]
        assert usage.estimated
    with pytest.raises(Untranslatable) as refused:
        asked({"input": "a"}, model="acme.embed", door=Door.EMBEDDINGS)
    assert (refused.value.pointer, refused.value.unsupported) == ("/model", True)
    for broken in ({}, {"embeddings": 5}, {"embedding": ["x"]}, {"embedding": []}):
        with pytest.raises(BrokenAnswer):
            Bedrock().answer(call, orjson.dumps(broken))
