"""OpenAI's event stream: the same events however it is cut, usage read in passing, and no ending that lies."""

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.providers.base import BrokenAnswer, Call, Door, StreamFailure, Usage
from gateway.providers.openai.content import ContentMeter
from gateway.providers.openai.stream import OpenAIStream

DONE = b"data: [DONE]\n\n"


def event(**chunk: Any) -> bytes:
    return b"data: %b\n\n" % orjson.dumps({"object": "chat.completion.chunk", **chunk})


def content(text: str, **more: Any) -> bytes:
    return event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": None}], **more)


def last(**more: Any) -> bytes:
    return event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}], **more)


USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 2}}
USAGE_ONLY = event(choices=[], usage=USAGE)
SEEN = Usage(input_tokens=3, output_tokens=17, estimated=True)
"""Of WORDS, and of ASKED."""
READ = Usage(input_tokens=3, output_tokens=5, cache_read_tokens=2)
WORDS = [content("Grüße 日本 😀", usage=None), content('"finish_reason":"stop" data: [DONE]\n\n"error":{}'), last()]
ODD = [b": a comment\n\n", b"event: ping\ndata: {}\n\n", b"data:\n\n", b"data: not json\n\n", b"\n"]


ASKED = Call(Door.CHAT, b"", {"messages": [{"role": "user", "content": "x" * 12}]}, stream=True)


def new_stream(*, drops_usage: bool) -> OpenAIStream:
    return OpenAIStream(ASKED, drops_usage=drops_usage)


def run(stream: OpenAIStream, *pieces: bytes) -> bytes:
    return b"".join([stream.feed(piece) for piece in pieces]) + stream.end()


def test_events_pass_byte_for_byte_and_the_usage_chunk_nobody_asked_for_does_not() -> None:
    stream = new_stream(drops_usage=True)
    assert run(stream, *WORDS, USAGE_ONLY, DONE) == b"".join(WORDS) + DONE
    assert stream.usage == READ
    assert stream.complete
    assert not stream.failed


def test_the_usage_chunk_stays_for_who_asked() -> None:
    stream = new_stream(drops_usage=False)
    assert run(stream, *WORDS, USAGE_ONLY, DONE) == b"".join([*WORDS, USAGE_ONLY, DONE])
    assert stream.usage == READ


def test_usage_on_a_chunk_with_content_is_read_and_the_chunk_stays() -> None:
    stream = new_stream(drops_usage=True)
    whole = [content("a"), last(usage=USAGE), DONE]
    assert run(stream, *whole) == b"".join(whole)
    assert stream.usage == READ


@given(st.data())
def test_a_stream_cut_anywhere_gives_the_same_events(data: st.DataObject) -> None:
    odd = data.draw(st.lists(st.sampled_from(ODD), max_size=3))
    usage = data.draw(st.sampled_from([[], [USAGE_ONLY]]))
    tail = data.draw(st.sampled_from([[DONE], [b"data: [DONE]"], [], [b"data: [DONE]\n"]]))
    ends = data.draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    drops = data.draw(st.booleans())
    whole = b"".join([*odd, *WORDS, *usage, *tail]).replace(b"\n", ends)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=20)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    at_once, cut = new_stream(drops_usage=drops), new_stream(drops_usage=drops)
    expected = run(at_once, whole)
    assert run(cut, *pieces) == expected
    assert (cut.usage, cut.complete, cut.failed) == (at_once.usage, at_once.complete, at_once.failed)
    assert at_once.usage == (READ if usage else SEEN)
    assert (b"prompt_tokens" in expected) == (bool(usage) and not drops)
    assert expected.count(b"data: [DONE]" + ends * 2) + expected.count(DONE) * (ends != b"\n") == 1


def test_a_stream_byte_by_byte_gives_the_same_events() -> None:
    whole = b"".join([*WORDS, USAGE_ONLY, DONE])
    stream = new_stream(drops_usage=True)
    assert run(stream, *(whole[i : i + 1] for i in range(len(whole)))) == b"".join(WORDS) + DONE


def test_only_whole_events_leave() -> None:
    stream = new_stream(drops_usage=True)
    first = content("a")
    assert stream.feed(first + first[:-1]) == first
    assert stream.feed(first[-1:]) == first


@pytest.mark.parametrize("end", [b"", b"data: [DONE]", b"data: [DONE]\n", b"data:[DONE]\r\n"])
def test_a_missing_last_line_or_event_is_put_right_after_a_finish_reason(end: bytes) -> None:
    assert run(new_stream(drops_usage=True), content("a"), last(), end) == content("a") + last() + DONE


def test_a_finish_reason_that_is_empty_is_none_yet() -> None:
    """As LocalAI's are until the last."""

    def said(**delta: str) -> bytes:
        return event(choices=[{"index": 0, "delta": delta, "finish_reason": ""}])

    stream = new_stream(drops_usage=True)
    stream.feed(said(role="assistant"))
    assert not stream.begun
    stream.feed(said(content="Hel"))
    assert stream.begun
    with pytest.raises(BrokenAnswer):
        stream.end()
    assert run(new_stream(drops_usage=True), said(content="Hel"), last()).endswith(DONE)


@pytest.mark.parametrize("cut", [b"", content("a"), content("a") + last()[:-1], content("[DONE]"), b": ping\n\n"])
def test_a_stream_that_ends_before_its_finish_reason_is_broken(cut: bytes) -> None:
    stream = new_stream(drops_usage=True)
    passed = stream.feed(cut)
    assert DONE not in passed
    with pytest.raises(BrokenAnswer):
        stream.end()


@pytest.mark.parametrize("error", [{"message": "overloaded"}, "overloaded"])
def test_the_provider_s_own_error_event_passes_and_no_done_is_added(error: Any) -> None:
    stream = new_stream(drops_usage=True)
    sent = content("a") + event(error=error)
    assert run(stream, sent) == sent
    assert stream.failed


def test_an_event_that_is_an_error_and_says_so_of_itself_is_one() -> None:
    """As vLLM and FastChat tell theirs."""
    stream = new_stream(drops_usage=True)
    sent = b'data: {"object":"error","message":"busy","type":"ServerError","code":503}\n\n'
    assert run(stream, sent) == sent
    assert stream.failure is not None
    assert (stream.failure.status, stream.begun) == (503, False)


def test_an_error_in_each_choice_is_one() -> None:
    """As OpenRouter ends a stream whose model failed."""
    failed = {"index": 0, "delta": {"content": ""}, "finish_reason": "error", "error": {"code": 502, "message": "busy"}}
    stream = new_stream(drops_usage=True)
    run(stream, content("a") + event(choices=[failed]))
    assert stream.failure == StreamFailure(502, b'{"error":{"code":502,"message":"busy"}}')
    of_two = new_stream(drops_usage=True)
    run(of_two, content("a") + event(choices=[failed, {"index": 1, "delta": {"content": "b"}}]), last(), DONE)
    assert not of_two.failed


@pytest.mark.parametrize("error", [None, [], 5, "", {}])
def test_an_error_field_that_says_nothing_is_no_error(error: Any) -> None:
    stream = new_stream(drops_usage=True)
    run(stream, event(choices=[], error=error), last(), DONE)
    assert not stream.failed


@pytest.mark.parametrize("tokens", [-1, 1.5, "3", True, None, 2**50])
def test_usage_that_is_no_count_is_estimated_and_not_zero(tokens: Any) -> None:
    stream = new_stream(drops_usage=True)
    run(stream, last(), event(choices=[], usage={"prompt_tokens": tokens, "completion_tokens": 0}), DONE)
    assert stream.usage == Usage(input_tokens=3, output_tokens=0, estimated=True)


def test_a_zero_that_was_counted_is_no_gap() -> None:
    stream = new_stream(drops_usage=True)
    run(stream, content("a"), last(usage={"prompt_tokens": 0, "completion_tokens": 0}), DONE)
    assert stream.usage == Usage(input_tokens=0, output_tokens=0)


def test_usage_that_says_nothing_leaves_what_was_said_before() -> None:
    stream = new_stream(drops_usage=True)
    run(stream, content("a", usage=USAGE), last(usage={}), DONE)
    assert stream.usage == READ


def test_usage_counted_as_the_stream_goes_is_the_last_that_was_said() -> None:
    stream = new_stream(drops_usage=False)
    stream.feed(content("a", usage={"prompt_tokens": 3, "completion_tokens": 1}))
    stream.feed(content("b", usage={"prompt_tokens": 3, "completion_tokens": 200}))
    assert stream.usage == Usage(input_tokens=3, output_tokens=200, estimated=True)
    stream.feed(last(usage={"prompt_tokens": 3, "completion_tokens": 201}))
    assert stream.usage == Usage(input_tokens=3, output_tokens=201)


def test_usage_that_is_zero_until_the_end_is_not_what_a_cut_stream_used() -> None:
    """Nor is one that was cut between its last word and what it used."""
    stream = new_stream(drops_usage=False)
    nothing = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    stream.feed(content("x" * 40, usage=nothing))
    assert stream.usage == Usage(input_tokens=3, output_tokens=10, estimated=True)
    stream.feed(last())
    assert stream.usage == Usage(input_tokens=3, output_tokens=10, estimated=True)
    stream.feed(USAGE_ONLY)
    assert stream.usage == READ


def test_where_nobody_says_it_is_estimated_from_what_passed() -> None:
    stream = new_stream(drops_usage=True)
    assert stream.usage == Usage(input_tokens=3, output_tokens=0, estimated=True)
    run(stream, *WORDS, DONE)
    assert stream.usage == SEEN


@pytest.mark.parametrize("cut_after", range(4))
def test_a_stream_that_was_cut_is_estimated_up_to_the_cut(cut_after: int) -> None:
    stream = new_stream(drops_usage=True)
    for word in ("four", "more", "text")[:cut_after]:
        stream.feed(content(word))
    assert stream.usage == Usage(input_tokens=3, output_tokens=cut_after, estimated=True)


def test_an_event_without_end_is_broken() -> None:
    stream = new_stream(drops_usage=True)
    with pytest.raises(BrokenAnswer):
        stream.feed(b"data: " + b"x" * (9 * 1024 * 1024))


def test_usage_counts_where_one_host_puts_it() -> None:
    reader = OpenAIStream(ASKED, drops_usage=True)
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    frame = b"data: %b\n\n" % orjson.dumps(
        {**last, "x_groq": {"id": "r", "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}}}
    )
    assert reader.feed(frame) == frame
    assert (reader.usage.input_tokens, reader.usage.output_tokens, reader.usage.estimated) == (5, 3, False)


TEXTS = [
    "a",
    " the",
    "é",
    "日本",
    "😀",
    "",
    "error",
    "finish_reason",
    "usage",
    "[DONE]",
    'q"',
    "back\\slash",
    "\n",
    "}",
    ",",
]


def worded(text: str, word: str = "Xb1", **more: Any) -> bytes:
    return content(text, **more, obfuscation=word)


def spaced(text: str) -> bytes:
    return b"data: %b\n\n" % json.dumps({"choices": [{"delta": {"content": text}, "finish_reason": None}]}).encode()


def thought(text: str) -> bytes:
    return event(choices=[{"index": 0, "delta": {"reasoning_content": text}, "finish_reason": None}])


def argued(text: str) -> bytes:
    called = [{"index": 0, "function": {"arguments": text}}]
    return event(choices=[{"index": 0, "delta": {"tool_calls": called}, "finish_reason": None}])


def raw(text: str) -> bytes:
    """What no JSON is, but like the others."""
    return content("~").replace(b"~", text.encode())


said = st.sampled_from(TEXTS)
likely = st.one_of(
    said.map(content),
    said.map(content),
    st.builds(worded, said, st.sampled_from(["Xb1", "tQ7xW2mK9pLr4", "", "a-b", "error"])),
    said.map(spaced),
    said.map(thought),
    said.map(argued),
    said.map(raw),
    st.sampled_from(
        [
            raw('","x":"'),
            raw("\r\n\r\ndata: [DONE]\r\n\r\n"),
            raw("\n\ndata: [DONE]\n\nx"),
            raw('"},"finish_reason":"stop","y":{"z":"'),
            content("a") + content("b"),
            content("a", usage=USAGE),
            worded("a", "b", usage=None),
            event(error={"message": "overloaded"}),
            last(),
            last(usage=USAGE),
            USAGE_ONLY,
            DONE,
            b"\0" + content("a"),
            b": ping\n\n",
        ]
    ),
)


def seen_of(stream: OpenAIStream, pieces: list[bytes]) -> tuple[Any, ...]:
    passed = []
    for piece in pieces:
        passed.append(stream.feed(piece))
        if stream.complete:
            break
    try:
        ending = stream.end()
    except BrokenAnswer as error:
        ending = str(error).encode()
    return passed, ending, stream.usage, stream.complete, stream.failed, stream.begun


@settings(max_examples=500, deadline=None)
@given(data=st.data())
def test_an_event_like_the_one_before_is_seen_as_if_it_were_the_first(data: st.DataObject) -> None:
    events = data.draw(st.lists(likely, max_size=12))
    same = data.draw(st.lists(st.sampled_from([content("a"), *events]), max_size=6))
    whole = [*events, *same]
    edges = [sum(map(len, whole[:count])) for count in range(len(whole) + 1)]
    size = edges[-1]
    cuts = {edge for edge in edges if data.draw(st.integers(0, 4))}
    cuts |= data.draw(st.sets(st.integers(0, size), max_size=3))
    marks = [0, *sorted(cuts - {0, size}), size]
    pieces = [b"".join(whole)[a:b] for a, b in pairwise(marks) if a < b]
    drops = data.draw(st.booleans())
    fast = seen_of(new_stream(drops_usage=drops), pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ContentMeter, "sees_again", lambda meter, event: False)
        assert fast == seen_of(new_stream(drops_usage=drops), pieces)


@pytest.mark.parametrize("form", [content, worded, spaced, thought, argued])
def test_an_event_like_the_one_before_goes_on_as_the_very_same_bytes(form: Callable[[str], bytes]) -> None:
    stream, meter = new_stream(drops_usage=True), []
    for text in ("one", "two", "three", "fourth"):
        piece = form(text)
        meter.append(stream.feed(piece) is piece)
    assert meter == [False, True, True, True]
    for several in ([form("five")], [form("six"), form("seven")], [form(text) for text in ("e", "ni\nne", 't"en')]):
        piece = b"".join(several)
        assert stream.feed(piece) is piece
        assert stream._meter.sees_again(piece)
    assert not stream._meter.sees_again(form("a") + form(""))
    assert not stream._meter.sees_again(form("a") + form("b")[:-1])


@pytest.mark.parametrize("form", [content, worded, spaced, thought, argued])
def test_what_is_like_the_one_before_is_counted_as_it_is_read(form: Callable[[str], bytes]) -> None:
    texts = ["a", " the", "é", "日本", "😀", 'q"', "back\\slash", "\n", "}", "[DONE]"]
    stream = new_stream(drops_usage=True)
    for count in range(len(texts)):
        before = stream._meter.bytes
        stream.feed(b"".join(map(form, texts[: count + 1])))
        assert stream._meter.bytes - before == sum(len(text.encode()) for text in texts[: count + 1])


def test_the_last_word_may_be_another_each_time() -> None:
    stream = new_stream(drops_usage=True)
    stream.feed(worded("a"))
    stream.feed(worded("a"))
    assert stream._meter.sees_again(worded("b", "another"))
    for word in ("", "an other", "a\\nb"):
        assert not stream._meter.sees_again(worded("b", word))


def test_behind_half_an_event_nothing_is_like_another() -> None:
    stream = new_stream(drops_usage=True)
    for _ in range(3):
        stream.feed(content("a"))
    half = content("b")[:-1]
    assert stream.feed(half) == b""
    assert stream.feed(content("c")) != content("c")
