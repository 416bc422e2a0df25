"""Events like the one before: the quick way through a native stream finds what a parse of each event would find."""

import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.dialects.again import Again
from gateway.dialects.messages.watch import MessagesWatch
from gateway.dialects.native_stream import NativeStream, Watch
from gateway.dialects.responses.watch import ResponsesWatch
from gateway.providers.base import BrokenAnswer, Door
from tests.gateway.dialects.chats import fuzz
from tests.gateway.dialects.test_native import MESSAGES, RESPONSES, spoken

Event = dict[str, Any]

SAID = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "one"}}
NUMBERED = {
    "type": "response.output_text.delta",
    "sequence_number": 4,
    "item_id": "msg_1",
    "output_index": 0,
    "delta": "one",
    "logprobs": [],
}
WORDED = {**NUMBERED, "obfuscation": "aQ7"}
REFUSED = {"type": "error", "message": "no"}

TEXT = st.text(max_size=8) | st.sampled_from(
    ['"', "\\", '{"command": "ls', "\n", "é", "日本", '"text":"x"', '","delta":"', "\u2028", "x\r\n\r\ny"]
)
MESSAGE_EVENT = st.one_of(
    *[
        st.builds(
            lambda text, index, name=name, kind=kind: {
                "type": "content_block_delta",
                "index": index,
                "delta": {"type": kind, name: text},
            },
            TEXT,
            st.sampled_from([0, 0, 0, 1]),
        )
        for name, kind in (("text", "text_delta"), ("thinking", "thinking_delta"), ("partial_json", "input_json_delta"))
    ],
    st.builds(
        lambda text: {"type": "content_block_delta", "index": 0, "delta": {"thinking": "same", "text": text}}, TEXT
    ),
    st.sampled_from(
        [
            {"type": "ping"},
            {"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1}}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2ln"}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
            {"type": "message_stop"},
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        ]
    ),
)
RESPONSE_EVENT = st.one_of(
    *[
        st.builds(
            lambda kind, number, item, text, padding: {
                "type": f"response.{kind}.delta",
                "sequence_number": number,
                "item_id": item,
                "output_index": 0,
                "delta": text,
                "logprobs": [],
                **padding,
            },
            st.sampled_from(["output_text", "output_text", "function_call_arguments"]),
            st.integers(0, 2_000),
            st.sampled_from(["msg_1", "msg_1", "msg_22"]),
            TEXT,
            st.just({}) | st.builds(lambda word: {"obfuscation": word}, st.text("ab9", min_size=1, max_size=9)),
        )
    ]
    * 3,
    st.sampled_from(
        [
            {"type": "response.created", "response": {"status": "in_progress"}},
            {"type": "response.output_text.done", "sequence_number": 8, "text": "abc"},
            {"type": "response.completed", "response": {"usage": {"input_tokens": 3, "output_tokens": 1}}},
            {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "no"}}},
            {"type": "error", "sequence_number": 5, "delta": "abc"},
        ]
    ),
)


def compact(event: Event) -> bytes:
    return orjson.dumps(event)


def padded(event: Event) -> bytes:
    """As Anthropic hides how long its texts are."""
    return orjson.dumps(event)[:-1] + b" " * (len(str(event)) % 7) + b"}"


def spaced(event: Event) -> bytes:
    """As hosts in Python write it."""
    return json.dumps(event).encode()


WRITERS = st.sampled_from([compact, padded, spaced])
DOORS = st.sampled_from([(Door.MESSAGES, MESSAGE_EVENT), (Door.RESPONSES, RESPONSE_EVENT)])


def framed(event: Event, write: Callable[[Event], bytes], line: bytes = b"\n") -> bytes:
    return b"event: %b%bdata: %b%b%b" % (event["type"].encode(), line, write(event), line, line)


def opened(door: Door) -> tuple[NativeStream, Watch]:
    call, adapter = spoken(door, MESSAGES if door is Door.MESSAGES else RESPONSES)
    stream = adapter.stream(call)
    assert isinstance(stream, NativeStream)
    return stream, stream._watch


def read(door: Door, pieces: list[bytes]) -> list[object]:
    """All that can be seen of a stream after each piece, as the corridor reads it."""
    stream, watch = opened(door)
    found: list[object] = []
    for piece in pieces:
        passed = piece if stream.sees_again(piece) else stream.feed(piece)
        failure = None if stream.failure is None else (stream.failure.status, stream.failure.body)
        found.append((passed, watch.content_bytes, watch.usage, stream.begun, stream.complete, failure))
    return found


def read_by_parsing_each(door: Door, pieces: list[bytes]) -> list[object]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Again, "sees", lambda _self, _event: False)
        return read(door, pieces)


@st.composite
def streams(draw: st.DrawFn) -> tuple[Door, list[bytes]]:
    """Most often an event comes alone, else some together, or cut anywhere."""
    door, kinds = draw(DOORS)
    write, line = draw(WRITERS), draw(st.sampled_from([b"\n", b"\n", b"\n", b"\r\n"]))
    pieces: list[bytes] = [b""]
    for event in draw(st.lists(kinds, max_size=12)):
        data = framed(event, write, line)
        at = draw(st.sampled_from([0] * 8 + [1, len(data) // 2, len(data) - 1]))
        if at or draw(st.integers(0, 3)) == 0:
            pieces[-1] += data[:at] if at else data
            pieces.append(data[at:] if at else b"")
        else:
            pieces.append(data)
    return door, [piece for piece in pieces if piece]


def numbered(number: bytes) -> bytes:
    return framed(NUMBERED, compact).replace(b":4,", b":%b," % number)


BEFORE_ITS_TEXT = b'"item_id":"msg_1","output_index":0,"delta":"'


@given(streams())
@example((Door.MESSAGES, [framed(SAID, compact), framed(SAID, compact).replace(b"one", b"o\ne")]))
@example((Door.MESSAGES, [framed(SAID, compact), framed(SAID, compact).replace(b"one", b"o\re")]))
@example((Door.MESSAGES, [framed(SAID, compact), framed(SAID, compact).replace(b"one", b"o\\q")]))
@example((Door.MESSAGES, [framed(SAID, compact) + b'data: {"x":"', framed(SAID, compact)]))
@example((Door.MESSAGES, [framed(SAID, compact), framed(SAID, compact).replace(b'"}}', b'","usage":{"a":1}}}')]))
@example((Door.RESPONSES, [numbered(b"4"), numbered(b'4}\n\ndata: {"type":"error"}\n\ndata: {"type":"x.delta"')]))
@example((Door.RESPONSES, [numbered(b"4"), numbered(b"5").replace(BEFORE_ITS_TEXT, b"")]))
@example((Door.RESPONSES, [framed(WORDED, compact), framed(WORDED, compact) + framed(REFUSED, compact)]))
@example((Door.RESPONSES, [framed(WORDED, compact), framed(WORDED, compact).replace(b"obf", b"bof")]))
@example((Door.RESPONSES, [framed(WORDED, compact, b"\r")] * 2 + [b"\n" + framed(WORDED, compact)]))
@settings(deadline=None, max_examples=400)
def test_the_quick_way_finds_what_a_parse_of_each_finds(stream: tuple[Door, list[bytes]]) -> None:
    assert read(*stream) == read_by_parsing_each(*stream)


@fuzz
@given(st.sampled_from([(Door.MESSAGES, SAID), (Door.RESPONSES, NUMBERED)]), WRITERS, st.data())
def test_what_is_damaged_passes_as_it_came_and_ends_as_it_would(
    said: tuple[Door, Event], write: Callable[[Event], bytes], data: st.DataObject
) -> None:
    door, event = said
    whole = framed(event, write)
    at, junk = (
        data.draw(st.integers(0, len(whole))),
        data.draw(st.sampled_from([b"", b"\n", b"\r", b"\n\n", b'"', b"}", b"0", b"\\"])),
    )
    damaged = whole[:at] + junk + whole[at + data.draw(st.integers(0, 3)) :]
    pieces = [whole, whole, damaged, whole, whole]

    def seen(found: list[Any]) -> list[object]:
        return [(passed, begun, complete, failure) for passed, _, _, begun, complete, failure in found]

    try:
        expected = seen(read_by_parsing_each(door, pieces))
    except BrokenAnswer:
        with pytest.raises(BrokenAnswer):
            read(door, pieces)
    else:
        assert seen(read(door, pieces)) == expected


@pytest.mark.parametrize("write", [compact, padded, spaced])
@pytest.mark.parametrize(("door", "event"), [(Door.MESSAGES, SAID), (Door.RESPONSES, NUMBERED)])
def test_most_events_are_not_parsed(
    door: Door, event: Event, write: Callable[[Event], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["one", " two", " thrée", '{"a', " five"]
    events = []
    for number, word in enumerate(words * 4, 8):
        one = json.loads(json.dumps(event).replace('"one"', json.dumps(word)))
        events.append(framed({**one, "sequence_number": number} if "sequence_number" in one else one, write))
    kind = MessagesWatch if door is Door.MESSAGES else ResponsesWatch
    looks: list[object] = []
    see = kind.see
    monkeypatch.setattr(kind, "see", lambda self, event: looks.append(event) or see(self, event))
    found = read(door, [*events[:10], b"".join(events[10:])])
    assert found[-1][1] == 4 * sum(len(word.encode()) for word in words)
    assert len(looks) == 1
