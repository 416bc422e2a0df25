"""Reading a body: what is malformed is refused with its place, what the gateway need not know is left alone."""

import json
import re
from typing import cast

import orjson
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from gateway.cache.key import ANSWER_HEADERS
from gateway.errors import Code, GatewayError
from gateway.pipeline.known import Known
from gateway.pipeline.read import read_call
from gateway.providers.base import Call, Door
from gateway.providers.body import caller_wants_usage
from gateway.view.route import Target

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
_PLACE = re.compile(r"at line (\d+), column (\d+) \(byte (\d+)\)$")


def read(body: bytes, door: Door = Door.CHAT, headers: dict[str, str] | None = None) -> Call:
    return read_call(door, headers or {}, body)


def refused(body: bytes) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        read(body)
    assert caught.value.row.status == 400
    return caught.value


def place(error: GatewayError) -> tuple[int, int, int]:
    found = _PLACE.search(error.message)
    assert found is not None, error.message
    line, column, byte = map(int, found.groups())
    return line, column, byte


@given(JSON, st.sampled_from([None, 2]))
def test_the_place_of_a_fault_is_where_it_is_in_any_text(value: object, indent: int | None) -> None:
    before = json.dumps({"ä日😀": value}, ensure_ascii=False, indent=indent)[:-1] + ","
    error = refused((before + "§ rest").encode("utf-8", "surrogatepass"))
    assert error.code is Code.JSON_MALFORMED
    line, column, byte = place(error)
    assert byte == len(before.encode())
    assert line == before.count("\n") + 1
    last = before.rsplit("\n", 1)[-1]
    assert column == len(last) + 1


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters='"\\'), max_size=20))
def test_bytes_that_are_not_utf_8_are_named_with_their_place(text: str) -> None:
    before = ('{"a":\n"' + "".join(c for c in text if c.isprintable())).encode()
    error = refused(before + b'\xff"}')
    assert error.code is Code.JSON_MALFORMED
    line, column, byte = place(error)
    assert byte == len(before)
    assert line == 2
    assert column == len(before.decode().split("\n")[1]) + 1


@given(st.binary(max_size=60))
def test_whatever_comes_is_read_or_refused_with_400(body: bytes) -> None:
    try:
        outcome: Call | GatewayError = read(body)
    except GatewayError as error:
        outcome = error
    if isinstance(outcome, Call):
        assert outcome.raw == body
        assert outcome.body == orjson.loads(body)
    else:
        assert outcome.row.status == 400


def test_an_empty_body_is_named() -> None:
    error = refused(b"")
    assert error.code is Code.JSON_MALFORMED
    assert "empty" in error.message


@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"1", b"true"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    assert refused(body).code is Code.BODY_INVALID


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_numbers_that_json_has_not_are_malformed(number: bytes) -> None:
    assert refused(b'{"temperature": ' + number + b"}").code is Code.JSON_MALFORMED


@pytest.mark.parametrize("model", ["", 1, True, [], {}, ["gpt"]])
def test_a_model_of_the_wrong_type_is_named_by_pointer(model: object) -> None:
    error = refused(orjson.dumps({"model": model}))
    assert (error.code, error.param) == (Code.BODY_INVALID, "/model")


@pytest.mark.parametrize("stream", [1, 0, "true", [], {}])
def test_a_stream_of_the_wrong_type_is_named_by_pointer(stream: object) -> None:
    error = refused(orjson.dumps({"model": "m", "stream": stream}))
    assert (error.code, error.param) == (Code.BODY_INVALID, "/stream")


@pytest.mark.parametrize("depth", [1_100, 100_000])
def test_nesting_without_end_is_refused(depth: int) -> None:
    assert refused(b'{"a":' * depth + b"1" + b"}" * depth).code is Code.JSON_MALFORMED


def test_null_is_as_good_as_absent() -> None:
    call = read(b'{"model": null, "stream": null}')
    assert call.stream is False


def test_embeddings_do_not_stream() -> None:
    body = b'{"model": "m", "stream": true}'
    assert read(body, Door.CHAT).stream
    assert read(body, Door.COMPLETIONS).stream
    assert not read(body, Door.EMBEDDINGS).stream


def test_only_the_listed_headers_are_forwarded() -> None:
    sent = {
        "openai-organization": "org-1",
        "idempotency-key": "i-1",
        "traceparent": "00-a-b-01",
        "authorization": "Bearer gh_secret",
        "cookie": "session=1",
        "x-portkey-api-key": "gh_secret",
        "x-portkey-metadata": "{}",
        "x-forwarded-for": "10.0.0.1",
        "host": "gateway",
        "content-length": "9",
        "transfer-encoding": "chunked",
    }
    forwarded = read(b"{}", headers=sent).forwarded.split(b"\r\n")
    assert sorted(forwarded) == [
        b"",
        b"idempotency-key: i-1",
        b"openai-organization: org-1",
        b"traceparent: 00-a-b-01",
        b"x-gatehouse-hop: 1",
    ]


@pytest.mark.parametrize("name", ANSWER_HEADERS)
@pytest.mark.parametrize("whose", ["x-portkey", "x-gatehouse"])
def test_what_a_provider_is_told_has_a_name_of_the_original_s_too(name: str, whose: str) -> None:
    line = f"{name}: a".encode()
    assert line in read(b"{}", headers={f"{whose}-{name}": "a"}).forwarded.split(b"\r\n")
    both = read(b"{}", headers={f"{whose}-{name}": "a", name: "b"}).forwarded
    assert line in both.split(b"\r\n")
    assert both.count(name.encode()) == 1
    assert f"{name}: b".encode() in read(b"{}", headers={f"{whose}-{name}": "", name: "b"}).forwarded


@pytest.mark.parametrize("value", ["a\x00b", "a\x7fb", "a\x1fb", "a\rb", "a\nhost: b"])
def test_a_forwarded_header_with_a_control_character_is_refused(value: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read(b"{}", headers={"idempotency-key": value})
    assert (caught.value.code, caught.value.param) == (Code.HEADER_INVALID, "idempotency-key")


HUGE = re.compile(rb"[0-9][eE]\+?[0-9]{3}")
"""A number that no reader holds: skipped, it is not looked at."""


def known(model: object) -> Known:
    """Of a connection whose call before this one was passed on as it came."""
    before = Known()
    before.plain, before.forwarded, before.model = cast(Target, object()), b"", cast(str, model)
    return before


BODIES = st.one_of(
    st.fixed_dictionaries({"model": st.sampled_from(["m", "other", 1, None])}, optional={
        "stream": st.sampled_from([True, False, None, 0, "yes"]), "user": JSON, "messages": JSON,
        "stream_options": st.sampled_from([None, {}, {"include_usage": True}, {"include_usage": 1}, "x"]),
    }).map(lambda body: json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")),
    st.binary(max_size=20),
)  # fmt: skip


def verdict(body: bytes, before: Known | None) -> object:
    try:
        call = read_call(Door.CHAT, {}, body, before)
    except GatewayError as error:
        return error.code, error.message, error.param
    user = call.body.get("user") if call.few is None else call.few.user
    model = call.body.get("model") if call.few is None else call.few.model
    return call.raw, call.stream, model, user, caller_wants_usage(call), call.body


ODD = st.one_of(st.binary(max_size=2), st.sampled_from([b"\\ud800", b"\\uDFFF", b"\\ud83d\\ude00", b"\\u00e9"]))


@given(BODIES, st.integers(0, 200), ODD, st.booleans())
@example(b'{"model": "m", "messages": [{"content": ""}]}', 40, b"\\ud800", False)
@example(b'{"model": "m", "messages": [{"content": ""}]}', 40, b"\\udc00", False)
def test_read_only_as_far_as_needed_a_body_says_the_same(body: bytes, at: int, odd: bytes, is_cut: bool) -> None:
    at = min(at, len(body))
    body = body[:at] + odd + body[at + is_cut :]
    assume(not HUGE.search(body))
    assert verdict(body, known("m")) == verdict(body, None)


@pytest.mark.parametrize("door", [Door.CHAT, Door.COMPLETIONS, Door.EMBEDDINGS])
def test_of_a_stream_s_body_no_more_is_read_than_of_another(door: Door) -> None:
    call = read_call(door, {}, b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}', known("m"))
    assert (call.parsed, call.stream) == (None, door is not Door.EMBEDDINGS)
    assert caller_wants_usage(call)
    assert call.parsed is None


def test_a_body_is_built_when_somebody_needs_it_whole() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"user":"u"}'
    call = read_call(Door.CHAT, {}, body, known("m"))
    assert call.few is not None
    assert (call.few.model, call.few.user) == ("m", "u")
    assert call.body == orjson.loads(body)
    assert call.body is call.body
    with pytest.raises(AttributeError):
        _ = call.nothing  # type: ignore[attr-defined]


@pytest.mark.parametrize("before", [known("m"), known("other"), Known()])
def test_a_number_that_no_reader_holds_goes_on_and_is_refused_where_it_has_to_be_read(before: Known) -> None:
    call = read_call(Door.CHAT, {}, b'{"model":"m","stream":true,"seed":1e999}', before)
    assert (call.model, call.stream, call.parsed) == ("m", True, None)
    with pytest.raises(GatewayError) as caught:
        _ = call.body
    assert caught.value.code is Code.JSON_MALFORMED


@pytest.mark.parametrize("rest", [b"}", b',"x":NaN}', b',"stream":1}', b',"x":01}'])
def test_what_is_malformed_beside_such_a_number_is_refused_by_every_call(rest: bytes) -> None:
    body = b'{"model":"","x":1e999' + rest
    for before in (known("m"), Known()):
        with pytest.raises(GatewayError) as caught:
            read_call(Door.CHAT, {}, body, before)
        assert caught.value.row.status == 400
