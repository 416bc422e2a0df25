"""OpenAI's event stream: the same events however it is cut, usage read in passing, and no ending that lies."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.base import BrokenAnswer, Call, Door, Usage
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


@pytest.mark.parametrize("error", [None, [], 5])
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
    assert stream.usage == Usage(input_tokens=3, output_tokens=1)
    stream.feed(content("b", usage={"prompt_tokens": 3, "completion_tokens": 2}))
    assert stream.usage == Usage(input_tokens=3, output_tokens=2)


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
