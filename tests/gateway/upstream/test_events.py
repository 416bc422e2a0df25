"""The event cutter against a slow reading of the standard, in every cut."""

from itertools import groupby, pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.upstream.events import EventSplitter, EventTooLarge, LineSplitter, data_of, line_of, name_of

pieces_of_streams = st.lists(
    st.sampled_from(
        [b"data", b":", b" ", b"\n", b"\r", b"\r\n", b"event", b"id: 1", b"x", b"\xef\xbb\xbf", b"\xc3\xa9", b"\x00"]
    )
    | st.binary(max_size=3),
    max_size=40,
)
streams = pieces_of_streams.map(b"".join)


def reference(stream: bytes) -> list[tuple[bytes, bytes]]:
    """WHATWG HTML 9.2.6, word for word: the dispatched events as (type, data), and nothing for an unfinished one."""
    text = stream.removeprefix(b"\xef\xbb\xbf")
    lines, line, at = [], b"", 0
    while at < len(text):
        if text[at : at + 2] == b"\r\n":
            lines.append(line)
            line, at = b"", at + 2
        elif text[at : at + 1] in (b"\r", b"\n"):
            lines.append(line)
            line, at = b"", at + 1
        else:
            line, at = line + text[at : at + 1], at + 1
    events, data, kind = [], b"", b""
    for line in lines:
        if not line:
            if data:
                events.append((kind or b"message", data[:-1]))
            data, kind = b"", b""
            continue
        if line.startswith(b":"):
            continue
        name, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if name == b"event":
            kind = value
        elif name == b"data":
            data += value + b"\n"
    return events


def split(*parts: bytes) -> tuple[list[bytes], bytes]:
    splitter = EventSplitter()
    events = [event for part in parts for event in splitter.feed(part)]
    events += splitter.finish()
    return events, splitter.pending


def joined(events: list[bytes]) -> list[bytes]:
    """Blank lines that end nothing are as many events as pieces they come in."""
    runs = groupby(events, key=lambda event: not event.strip(b"\r\n"))
    return [part for blank, run in runs for part in ([b"".join(run)] if blank else run)]


def dispatched(events: list[bytes]) -> list[tuple[bytes, bytes]]:
    read = [(name_of(event) or b"message", data_of(event)) for event in events]
    return [(name, data) for name, data in read if data is not None]


@given(streams)
@example(b"data: a\n\ndata: b\r\n\r\ndata: c\r\rdata: d\n\r\ndata: e\r\n\n")
@example(b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n")
@example(b"\n\ndata: a\n\n\n\n")
@example(b"data\n\ndata:\ndata\n\nevent: a\nevent\ndata:  two  \n\n")
def test_reads_what_the_standard_reads(stream):
    events, _ = split(stream)
    assert dispatched(events) == reference(stream)


@given(streams, st.lists(st.integers(0, 200), max_size=8))
def test_any_cuts_give_the_same_events_and_lose_no_byte(stream, at):
    edges = [0, *sorted({edge % (len(stream) + 1) for edge in at}), len(stream)]
    events, pending = split(stream)
    for parts in ([stream[a:b] for a, b in pairwise(edges)], [bytes([byte]) for byte in stream]):
        cut_events, cut_pending = split(*parts)
        assert joined(cut_events) == joined(events)
        assert cut_pending == pending
    assert b"".join(events) + pending == stream.removeprefix(b"\xef\xbb\xbf")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r", b"\n\r"])
def test_a_flood_of_blank_lines_is_an_event_or_two(end):
    """Each by itself they would cost a worker more than their provider."""
    flood = 1_000 * end
    events, pending = split(b"data: x\n\n" + flood, flood + b"data: y\n\n")
    assert events[0] == b"data: x\n\n"
    assert events[-1] == b"data: y\n\n"
    assert b"".join(events[1:-1]) == 2 * flood
    assert len(events) <= 6
    assert pending == b""


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_an_event_is_given_with_its_last_byte(end):
    splitter = EventSplitter()
    event = b"data: x" + end + end
    for _ in range(3):
        for byte in event[:-1]:
            assert splitter.feed(bytes([byte])) == []
        assert splitter.feed(event[-1:]) == [event]
        assert splitter.feed(event) == [event]


def test_an_event_that_ends_in_a_lone_cr_comes_with_the_next_byte_or_the_end():
    splitter = EventSplitter()
    assert splitter.feed(b"data: x\r\r") == []
    assert splitter.feed(b"data: y\r\r") == [b"data: x\r\r"]
    assert splitter.finish() == [b"data: y\r\r"]
    assert splitter.finish() == []


def test_several_events_in_one_piece():
    splitter = EventSplitter()
    assert splitter.feed(b"data: 1\n\n: ping\n\nid: 2\n\n\ndata") == [
        b"data: 1\n\n",
        b": ping\n\n",
        b"id: 2\n\n",
        b"\n",
    ]
    assert splitter.pending == b"data"


def test_an_event_that_never_ended_stays_pending():
    splitter = EventSplitter()
    assert splitter.feed(b"data: [DONE]\n") == []
    assert splitter.finish() == []
    assert splitter.pending == b"data: [DONE]\n"


@pytest.mark.parametrize("step", [1, 3, 1000])
@pytest.mark.parametrize("start", [b"", b"data: first\n\n"])
@pytest.mark.parametrize("tail", [b"", b"\n\n", b"\r\n\r\n"])
def test_an_event_over_the_limit_is_refused_in_every_cut(step, start, tail):
    splitter = EventSplitter(event_bytes_max=100)
    stream = start + b"data: " + b"x" * 95 + tail
    with pytest.raises(EventTooLarge):
        feed_all(splitter, stream, step)


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_events_up_to_the_limit_pass_however_many_come_at_once(step):
    splitter = EventSplitter(event_bytes_max=100)
    event = b"data: " + b"x" * 92 + b"\n\n"
    stream = event * 5
    assert feed_all(splitter, stream, step) == [event] * 5


def feed_all(splitter: EventSplitter, stream: bytes, step: int) -> list[bytes]:
    return [event for at in range(0, len(stream), step) for event in splitter.feed(stream[at : at + step])]


@pytest.mark.parametrize(
    ("event", "data", "name"),
    [
        (b"data: x\n\n", b"x", None),
        (b"data:x\n\n", b"x", None),
        (b"data:  x \r\n\r\n", b" x ", None),
        (b"data: a\ndata: b\n\n", b"a\nb", None),
        (b"data: a\rdata\rdata: b\r\r", b"a\n\nb", None),
        (b"event: delta\ndata: {}\n\n", b"{}", b"delta"),
        (b"data: an event\n\n", b"an event", None),
        (b"event: a\nevent: b\ndata: x\n\n", b"x", b"b"),
        (b"event:\ndata: x\n\n", b"x", None),
        (b"data\n\n", b"", None),
        (b": ping\n\n", None, None),
        (b"DATA: x\n\n", None, None),
        (b" data: x\n\n", None, None),
        (b"databank: x\n\n", None, None),
        (b"\n", None, None),
        (b"data: a\x0bb\x0cc\x85d\n\n", b"a\x0bb\x0cc\x85d", None),
    ],
)
def test_reads_one_event(event, data, name):
    assert (data_of(event), name_of(event)) == (data, name)


# JSON by the line

lines = st.lists(st.binary(max_size=6) | st.sampled_from([b"\n", b"\r\n", b"{}", b" "]), max_size=30).map(b"".join)


def cut_lines(*parts: bytes, splitter: LineSplitter | None = None) -> list[bytes]:
    splitter = splitter or LineSplitter()
    return [line for part in parts for line in splitter.feed(part)] + splitter.finish()


@given(lines, st.lists(st.integers(0, 200), max_size=8))
@example(b"{}\n\n{}", [1])
def test_any_cuts_give_the_same_lines_and_lose_no_byte(stream, at):
    edges = [0, *sorted({edge % (len(stream) + 1) for edge in at}), len(stream)]
    whole = cut_lines(stream)
    assert b"".join(whole) == stream
    assert [line.removesuffix(b"\n") for line in whole] == stream.removesuffix(b"\n").split(b"\n")[: len(whole)]
    assert cut_lines(*(stream[a:b] for a, b in pairwise(edges))) == whole
    assert cut_lines(*(bytes([byte]) for byte in stream)) == whole


def test_a_line_says_what_stands_in_it_and_a_blank_one_nothing():
    assert [line_of(line) for line in (b'{"a":1}\r\n', b"\n", b" \r\n", b"x")] == [b'{"a":1}', None, None, b"x"]


@pytest.mark.parametrize("parts", [[b"x" * 101], [b"x" * 60, b"x" * 60], [b"x" * 100 + b"\n"], [b"y\n" + b"x" * 101]])
def test_a_line_that_is_too_long_is_refused_whole_or_not(parts):
    splitter = LineSplitter(event_bytes_max=100)
    with pytest.raises(EventTooLarge):
        cut_lines(*parts, splitter=splitter)
