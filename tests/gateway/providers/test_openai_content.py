"""How much an answer says, in bytes: the quick way through events finds what a parse of each would find."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.openai.content import ContentMeter, content_bytes, parsed
from gateway.upstream.events import data_of

TEXT = st.text(max_size=8) | st.sampled_from(
    ['"', "\\", '\\"', "\n", "é", "日本", '"content":"x"', '","text":"', "\u2028"]
)
TOOL = st.builds(
    lambda name, arguments: {"tool_calls": [{"index": 0, "function": {"name": name, "arguments": arguments}}]},
    st.none(),
    TEXT,
) | st.builds(lambda name: {"tool_calls": [{"index": 0, "function": {"name": name, "arguments": ""}}]}, TEXT)
"""A call's name comes first, and alone."""
DELTA = st.one_of(
    st.builds(lambda text: {"content": text}, TEXT | st.none()),
    st.builds(lambda text: {"role": "assistant", "content": text, "refusal": None}, TEXT),
    st.builds(lambda text: {"reasoning_content": text, "content": None}, TEXT),
    st.builds(lambda text: {"content": "", "reasoning": text}, TEXT),
    st.builds(lambda text: {"refusal": text}, TEXT),
    TOOL,
    st.just({}),
    st.none(),
)
CHOICE = st.one_of(
    st.builds(lambda delta: {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}, DELTA),
    st.builds(lambda text: {"index": 0, "text": text, "finish_reason": None}, TEXT),
)
CHUNK = st.one_of(
    st.builds(lambda choice: {"id": "x", "choices": [choice], "usage": None}, CHOICE),
    st.just({"choices": []}),
    st.sampled_from([{}, {"choices": None}, {"choices": [None, 5]}]),
)


def compact(chunk: dict[str, Any]) -> bytes:
    return orjson.dumps(chunk)


def spaced(chunk: dict[str, Any]) -> bytes:
    """As hosts in Python write it."""
    return json.dumps(chunk).encode()


@given(st.lists(CHUNK, max_size=12), st.sampled_from([compact, spaced]))
def test_the_quick_way_finds_what_a_parse_finds(chunks: list[dict[str, Any]], write: Any) -> None:
    events = [b"data: %b\n\n" % write(chunk) for chunk in chunks]
    meter = ContentMeter()
    for event in events:
        meter.see(event)
    assert meter.bytes == sum(content_bytes(parsed(data_of(event))) for event in events)


def test_a_thought_beside_an_empty_text_is_not_missed_after_a_text() -> None:
    meter = ContentMeter()
    meter.see(b'data: {"choices":[{"delta":{"content":"one"}}]}\n\n')
    meter.see(b'data: {"choices":[{"delta":{"content":"","reasoning":"three"}}]}\n\n')
    assert meter.bytes == 3 + 5


def test_most_events_are_not_parsed() -> None:
    """What follows its last word in an event may be no JSON at all: nobody looked."""
    meter = ContentMeter()
    meter.see(b'data: {"choices":[{"delta":{"content":"one"}}]}\n\n')
    meter.see(b'data: {"choices":[{"delta":{"content":"three"}}}}}}\n\n')
    meter.see(b'data: {"choices":[{"delta":{"content":"a\\nb"}}}}}}\n\n')
    assert meter.bytes == 3 + 5 + 3


@pytest.mark.parametrize(
    "event",
    [
        b"",
        b": ping\n\n",
        b"data: [DONE]\n\n",
        b"data: {\n\n",
        b'data: "content":"\n\n',
        b'data: {"content":"x"}\n\n',
        b"\xff\n\n",
    ],
)
def test_what_is_no_chunk_says_nothing(event: bytes) -> None:
    meter = ContentMeter()
    meter.see(event)
    assert meter.bytes == 0


@given(st.binary(max_size=60), st.integers(0, 60))
def test_no_bytes_break_it(junk: bytes, at: int) -> None:
    event = b'data: {"choices":[{"delta":{"content":"one"}}]}\n\n'
    meter = ContentMeter()
    meter.see(event)
    meter.see(event[:at] + junk + event[at:])
    assert meter.bytes >= 3


def test_a_whole_answer_is_counted_over_all_its_choices() -> None:
    chat = {"choices": [{"message": {"content": "abc"}}, {"message": {"content": "d", "reasoning": "e"}}, 5]}
    assert content_bytes(chat) == 5
    assert content_bytes({"choices": [{"text": "abc"}, {"text": "é"}]}) == 5
    assert content_bytes({"data": [{"embedding": [0.1]}]}) == 0
