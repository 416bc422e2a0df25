"""The short way of OpenAI's dialect to a request: it says what the long one says, or nothing."""

from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.pipeline.known import Known
from gateway.pipeline.read import read_call
from gateway.providers.azure.provider import Azure
from gateway.providers.base import (
    HEAD_LINES_BYTES_MAX,
    HEADS_MAX,
    Call,
    Door,
    Heads,
    Place,
    ProviderKey,
    Quirks,
    Untranslatable,
)
from gateway.providers.openai.provider import OpenAI
from gateway.providers.registry import adapters
from gateway.upstream.messages import Deadlines, Origin, UpstreamRequest
from gateway.view.plan import place_of
from gateway.view.route import Target
from shared.crypto.secret import Secret
from shared.models.credential import AccountForm
from shared.models.provider import Provider

PLACE = Place(
    "acme", Origin("https", "acme.test", 443), "/v1", b"authorization", b"Bearer ", stream_usage=True, doors=frozenset()
)
KEY = Secret("sk-1")
DEADLINES = Deadlines()

places = st.builds(
    replace,
    st.just(PLACE),
    stream_usage=st.booleans(),
    prefix=st.sampled_from(["", "/v1"]),
    headers=st.sampled_from([(), ((b"x-v", b"x-v: 2\r\n"),)]),
    auth_header=st.sampled_from([b"authorization", b"x-key"]),
    auth_prefix=st.sampled_from([b"", b"Bearer "]),
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(["m", "@main/m", "other"]),
        "stream": st.booleans(),
        "stream_options": st.sampled_from([None, {}, {"include_usage": True}, {"include_usage": False, "x": 1}]),
        "n": st.integers(0, 9),
    },
)


def call(body: dict[str, Any], door: Door = Door.CHAT, forwarded: bytes = b"") -> Call:
    stream = body.get("stream") is True and door is not Door.EMBEDDINGS
    return Call(door, orjson.dumps(body, option=orjson.OPT_INDENT_2), body, stream, forwarded)


def plain(
    asked: Call, place: Place = PLACE, key: ProviderKey | None = KEY, heads: Heads | None = None
) -> UpstreamRequest | None:
    return OpenAI().plain_request(asked, place, key, "m", DEADLINES, heads or Heads())


doors = st.sampled_from([Door.CHAT, Door.COMPLETIONS, Door.EMBEDDINGS])
callers_lines = st.sampled_from([b"", b"openai-beta: x\r\n", b"x-v: 3\r\n"])


def said(request: UpstreamRequest | None) -> tuple[str, str, bytes, bytes]:
    assert request is not None
    return request.head.method, request.head.target, request.head.headers, request.body


@given(bodies, doors, callers_lines, places, st.sampled_from([KEY, None]))
def test_both_ways_say_the_same(
    body: dict[str, Any], door: Door, forwarded: bytes, place: Place, key: ProviderKey | None
) -> None:
    asked = call(body, door, forwarded)
    before = orjson.dumps(body)
    short, long = plain(asked, place, key), OpenAI().request(asked, place, key, {}, "m")
    assert short is not None
    assert (short.origin, short.deadlines, short.upload) == (place.origin, DEADLINES, None)
    assert said(short) == (long.method, long.target, long.headers, long.body)
    assert (long.origin, long.signer, long.answer, long.left_out, long.skip) == (None, None, None, frozenset(), 0)
    assert orjson.dumps(asked.body) == before


@given(bodies, doors, places, st.sampled_from([None, orjson.OPT_INDENT_2, orjson.OPT_APPEND_NEWLINE]))
def test_of_a_body_that_was_read_in_part_the_same_is_sent(
    body: dict[str, Any], door: Door, place: Place, written: int | None
) -> None:
    body = {**body, "model": "m"}
    known = Known()
    known.plain, known.forwarded, known.model = cast(Target, object()), b"", "m"
    asked = read_call(door, {}, orjson.dumps(body, option=written), known)
    assert asked.few is not None
    short, long = plain(asked, place), OpenAI().request(call(body, door), place, KEY, {}, "m")
    assert short is not None
    assert orjson.loads(short.body) == orjson.loads(long.body)
    assert asked.parsed is None or short.body != asked.raw, "nobody needs it whole that goes on as it came"


@given(st.lists(st.tuples(bodies, doors, callers_lines, places), max_size=40), st.sampled_from([KEY, None]))
def test_what_is_kept_of_calls_before_changes_nothing(
    calls: list[tuple[dict[str, Any], Door, bytes, Place]], key: ProviderKey | None
) -> None:
    heads = Heads()
    for body, door, forwarded, place in calls + calls + calls:
        asked = call(body, door, forwarded)
        long = OpenAI().request(asked, place, key, {}, "m")
        assert said(plain(asked, place, key, heads)) == (long.method, long.target, long.headers, long.body)
        assert len(heads.kept) <= HEADS_MAX


def test_a_head_is_kept_when_it_comes_a_second_time() -> None:
    heads, asked = Heads(), call({"model": "m"})
    made = [plain(asked, heads=heads) for _ in range(4)]
    first, second, third, fourth = (request.head for request in made if request is not None)
    assert first is not second
    assert second is third is fourth


def test_lines_that_change_with_each_call_neither_stay_nor_push_out_what_does() -> None:
    heads = Heads()
    for _ in range(2):
        plain(call({"model": "m"}), heads=heads)
    kept = dict(heads.kept)
    for number in range(10 * HEADS_MAX):
        plain(call({"model": "m"}, forwarded=b"traceparent: %d\r\n" % number), heads=heads)
        assert len(heads._once) <= HEADS_MAX
    assert heads.kept == kept
    assert len(kept) == 1


def test_lines_of_a_caller_s_choice_fill_no_memory() -> None:
    heads = Heads()
    for number in range(10 * HEADS_MAX):
        for _ in range(3):
            plain(call({"model": "m"}, forwarded=b"openai-project: %d\r\n" % number), heads=heads)
            assert len(heads.kept) <= HEADS_MAX
    heads = Heads()
    for _ in range(3):
        plain(call({"model": "m"}, forwarded=b"x: %b\r\n" % (b"a" * HEAD_LINES_BYTES_MAX)), heads=heads)
    assert (heads.kept, heads._once) == ({}, {})


def test_a_key_that_cannot_be_sent_is_refused_each_time() -> None:
    heads = Heads()
    for _ in range(3):
        with pytest.raises(ValueError, match="the header block is"):
            plain(call({"model": "m"}), key=Secret("sk\nx: y"), heads=heads)
    assert heads.kept == {}


def test_a_place_that_is_no_address_yet_takes_no_head_that_another_left() -> None:
    heads = Heads()
    for _ in range(3):
        plain(call({"model": "m"}), heads=heads)
    assert plain(call({"model": "m"}), replace(PLACE, template="https://{account}.acme.test/v1"), heads=heads) is None
    assert plain(call({"model": "m"}), replace(PLACE, quirks=Quirks(ignored=("seed",))), heads=heads) is None


STRICT = replace(PLACE, quirks=Quirks(ignored_in_messages=("thoughts",)))


def test_a_host_that_refuses_fields_of_messages_is_called_the_short_way_while_none_has_one() -> None:
    asked = call({"model": "m", "messages": [{"role": "user", "content": "my thoughts"}]})
    long = OpenAI().request(asked, STRICT, KEY, {}, "m")
    assert said(plain(asked, STRICT)) == (long.method, long.target, long.headers, long.body)
    assert plain(call({"model": "m", "messages": [{"role": "assistant", "thoughts": "x"}]}), STRICT) is None


def test_what_else_such_a_host_lacks_is_told_the_long_way() -> None:
    quirks = Quirks(ignored=("seed",), ignored_in_messages=("thoughts",))
    assert plain(call({"model": "m"}), replace(STRICT, quirks=quirks)) is None
    assert plain(call({"model": "m"}), replace(STRICT, template="https://{account}.acme.test/v1")) is None


ACCOUNT = AccountForm(account="a", api_key="k")  # type: ignore[arg-type]
TEMPLATED = place_of(Provider(id="acme", name="Acme", base_url="https://{account}.acme.test"))


@pytest.mark.parametrize(
    ("place", "key"),
    [
        (TEMPLATED, ACCOUNT),
        (TEMPLATED, KEY),
        (PLACE, ACCOUNT),
        (replace(PLACE, quirks=Quirks(ignored=("seed",))), KEY),
    ],
)
def test_where_there_is_more_to_say_the_long_way_is_gone(place: Place, key: ProviderKey | None) -> None:
    assert plain(call({"model": "m"}), place, key) is None


@pytest.mark.parametrize("adapter", [a for a in adapters().values() if type(a) is not OpenAI])
def test_no_other_dialect_has_it_nor_one_that_is_made_of_this(adapter: Any) -> None:
    assert adapter.plain_request(call({"model": "m"}), PLACE, KEY, "m", DEADLINES, Heads()) is None
    assert Azure().plain_request(call({"model": "m"}), PLACE, KEY, "m", DEADLINES, Heads()) is None


def test_what_cannot_be_written_is_refused_on_both() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    asked = Call(Door.CHAT, b"", {"model": "@main/m", "x": deep}, stream=False)
    with pytest.raises(Untranslatable, match="nested too deep"):
        plain(asked)


def test_a_request_does_not_print_its_key() -> None:
    heads = Heads()
    for _ in range(3):
        request = plain(call({"model": "m"}), heads=heads)
        assert request is not None
        assert b"sk-1" in request.head.headers
        assert "sk-1" not in repr(request) + str(request.head) + repr(heads) + repr(heads.kept)
