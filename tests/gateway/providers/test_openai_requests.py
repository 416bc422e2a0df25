"""OpenAI's dialect as bytes: what goes out is what came in, changed only where it must be."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.base import BrokenAnswer, Call, Door, Place, Translated, Untranslatable, Usage
from gateway.providers.openai.provider import OpenAI
from gateway.providers.registry import built_in_rows
from gateway.upstream.messages import Origin
from shared.crypto.secret import Secret

PLACE = Place(
    "acme", Origin("https", "acme.test", 443), "/v1", b"authorization", b"Bearer ", stream_usage=True, doors=frozenset()
)
MUTE = Place("mute", PLACE.origin, "", b"x-key", b"", stream_usage=False, doors=frozenset())
KEY = Secret("sk-1")


def call(raw: bytes, *, door: Door = Door.CHAT, forwarded: bytes = b"") -> Call:
    body = orjson.loads(raw)
    return Call(door, raw, body, stream=bool(body.get("stream")), forwarded=forwarded)


def sent(raw: bytes, overrides: dict[str, Any] | None = None, model: str = "m", place: Place = PLACE) -> Translated:
    return OpenAI().request(call(raw), place, KEY, overrides or {}, model)


RAW = b'{ "model" :"m",  "seed": 12345678901234567890, "n": 1.0, "x":"\\u00e9\\ud83d\\ude00", "a":1, "a":2 }'


def test_a_body_that_nothing_changes_goes_out_byte_for_byte() -> None:
    assert sent(RAW).body == RAW
    wanted = b'{"model":"m", "stream":true, "stream_options": {"include_usage":true}}'
    assert sent(wanted).body == wanted
    streamed = b'{"model":"m",   "stream":true}'
    assert sent(streamed, place=MUTE).body == streamed


def test_a_stream_asks_for_usage_and_keeps_the_caller_s_options() -> None:
    raw = b'{"model":"m","stream":true,"stream_options":{"include_usage":false,"x":1}}'
    assert orjson.loads(sent(raw).body)["stream_options"] == {"include_usage": True, "x": 1}
    assert orjson.loads(sent(b'{"model":"m","stream":true}').body)["stream_options"] == {"include_usage": True}
    assert "stream_options" not in orjson.loads(sent(b'{"model":"m"}', {"n": 1}).body)


def test_overrides_win_and_the_model_is_the_target_s() -> None:
    body = orjson.loads(sent(b'{"model":"@main/m","temperature":1,"n":1}', {"temperature": 0, "top_p": 1}).body)
    assert body == {"model": "m", "temperature": 0, "n": 1, "top_p": 1}


def test_nothing_that_one_target_changes_is_seen_by_the_next() -> None:
    asked = call(b'{"model":"m","stream":true,"stream_options":{"x":1},"tools":[{"a":1}]}')
    overrides = {"temperature": 0, "stream_options": {"y": 2}}
    before, overrides_before = orjson.dumps(asked.body), orjson.dumps(overrides)
    OpenAI().request(asked, PLACE, KEY, overrides, "other")
    assert orjson.dumps(asked.body) == before
    assert orjson.dumps(overrides) == overrides_before
    assert OpenAI().request(asked, MUTE, KEY, {}, "m").body == asked.raw


@pytest.mark.parametrize(
    ("door", "path"),
    [(Door.CHAT, "/chat/completions"), (Door.COMPLETIONS, "/completions"), (Door.EMBEDDINGS, "/embeddings")],
)
def test_each_door_has_its_path_behind_the_provider_s_prefix(door: Door, path: str) -> None:
    asked = call(b'{"model":"m"}', door=door)
    assert OpenAI().request(asked, PLACE, KEY, {}, "m").target == "/v1" + path
    assert OpenAI().request(asked, MUTE, KEY, {}, "m").target == path


def test_the_key_goes_as_the_provider_wants_it_and_the_listed_headers_with_it() -> None:
    asked = call(b'{"model":"m"}', forwarded=b"openai-beta: x\r\n")
    lines = OpenAI().request(asked, PLACE, KEY, {}, "m").headers.split(b"\r\n")
    assert lines == [
        b"content-type: application/json",
        b"accept: application/json",
        b"user-agent: gatehouse",
        b"openai-beta: x",
        b"authorization: Bearer sk-1",
        b"",
    ]
    assert b"x-key: sk-1\r\n" in OpenAI().request(asked, MUTE, KEY, {}, "m").headers
    assert b"authorization" not in OpenAI().request(asked, PLACE, None, {}, "m").headers
    assert b"accept: text/event-stream\r\n" in sent(b'{"model":"m","stream":true}').headers


@pytest.mark.parametrize("depth", [253, 254, 400, 1_000])
def test_a_body_nested_deeper_than_can_be_written_passes_unchanged_or_is_refused(depth: int) -> None:
    raw = b'{"model":"m","a":' + b"[" * depth + b"]" * depth + b"}"
    assert sent(raw).body == raw
    if depth < 254:
        assert orjson.loads(sent(raw, {"n": 1}).body)["n"] == 1
        return
    with pytest.raises(Untranslatable):
        sent(raw, {"n": 1})


def test_a_whole_answer_passes_byte_for_byte_with_its_usage_read() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 1}}
    body = b' {"id": "x",  "usage": %b}' % orjson.dumps(usage)
    passed, read = OpenAI().answer(call(b'{"model":"m"}'), body)
    assert passed == body
    assert read == Usage(input_tokens=1, output_tokens=2, reasoning_tokens=1)


def test_a_whole_answer_without_usage_is_estimated_from_what_it_says() -> None:
    asked = b'{"model":"m","messages":[{"role":"user","content":"12345"}]}'
    said = b'{"choices":[{"message":{"content":"123456789"}}]}'
    assert OpenAI().answer(call(asked), said)[1] == Usage(input_tokens=2, output_tokens=3, estimated=True)
    assert OpenAI().answer(call(asked), b"{}")[1] == Usage(input_tokens=2, output_tokens=0, estimated=True)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"<html>", b"\xff", b'"text"'])
def test_a_2xx_that_is_no_json_object_is_broken_and_its_content_not_repeated(body: bytes) -> None:
    with pytest.raises(BrokenAnswer) as caught:
        OpenAI().answer(call(b'{"model":"m"}'), body)
    assert "html" not in str(caught.value)


def error(body: bytes, content_type: str = "application/json") -> dict[str, Any]:
    shaped: dict[str, Any] = orjson.loads(OpenAI().error("acme", 418, {"content-type": content_type}, body))
    assert set(shaped["error"]) >= {"message", "type", "param", "code"}
    assert shaped["error"]["message"].startswith("acme error: ")
    assert shaped["provider"] == "acme"
    return shaped


def test_a_provider_s_error_keeps_its_fields() -> None:
    inner = {"message": "too many", "type": "rate_limit", "param": "n", "code": "rate", "extra": 1}
    assert error(orjson.dumps({"error": inner}))["error"] == {**inner, "message": "acme error: too many"}


@pytest.mark.parametrize(
    "body",
    [
        {"error": "too many"},
        {"message": "too many"},
        {"error": {"message": "too many"}},
        {"error": None, "message": "too many"},
        {"status": 404, "title": "Not Found", "detail": "too many"},
    ],
)
def test_errors_of_other_shapes_say_their_message(body: Any) -> None:
    assert error(orjson.dumps(body))["error"]["message"] == "acme error: too many"


@pytest.mark.parametrize("body", [[], {}, "text", None, 5, {"error": {"message": 5}}, {"error": []}])
def test_an_error_without_a_message_says_its_status(body: Any) -> None:
    assert "418" in error(orjson.dumps(body))["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"success": False, "errors": [{"code": 7003, "message": "No route for that URI"}]},
        {"detail": [{"loc": ["body", "n"], "msg": "No route for that URI"}]},
        {"base_resp": {"status_code": 1004, "status_msg": "No route for that URI"}},
        "No route for that URI",
    ],
)
def test_an_error_of_a_shape_of_its_own_is_told_as_it_stands(body: Any) -> None:
    """Nothing of it reached the caller but its status."""
    message = error(orjson.dumps(body))["error"]["message"]
    assert "418" in message
    assert "No route for that URI" in message
    assert len(error(orjson.dumps({"errors": "x" * 9_000}))["error"]["message"]) < 4_100


def test_a_page_comes_along_as_text() -> None:
    shaped = error(b"<html>\xff caf\xc3\xa9" + b"x" * 100_000, "text/html; charset=utf-8")
    assert shaped["html-message"].startswith("<html>\ufffd café")
    assert len(shaped["html-message"]) == 4_000
    assert "text/html" in shaped["error"]["message"]


@given(st.binary(max_size=50) | st.builds(lambda n: b'{"error":' + b"[" * n + b"]" * n + b"}", st.integers(0, 1_100)))
def test_any_error_body_becomes_one_of_ours(body: bytes) -> None:
    error(body)


def test_an_error_that_nests_deep_inside_is_still_relayed() -> None:
    body = b'{"error":{"message":"m","more":' + b"[" * 500 + b"]" * 500 + b"}}"
    assert error(body)["html-message"].startswith('{"error"')


def test_the_table_of_providers_is_sound() -> None:
    rows = built_in_rows()
    for row in rows.values():
        assert row.doors
        # What people run themselves is told from the rest by its address.
        assert row.base_url.startswith("http://localhost:" if row.credential == "optional_api_key" else "https://")
