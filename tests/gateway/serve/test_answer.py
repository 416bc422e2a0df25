"""How an answer's bytes are framed, and which of them go out together."""

import pytest

from gateway.serve.answer import LaneAnswer


class Wire:
    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.write_paused = False
        self.waited = 0

    def answers(self) -> bool:
        return False

    def write(self, data: bytes) -> bool:
        self.writes.append(data)
        return not self.write_paused

    def cut(self) -> None: ...

    async def drained(self) -> None:
        self.waited += 1
        self.write_paused = False


def begun(*, http_1_1: bool = True, length: int | None = None) -> tuple[Wire, LaneAnswer]:
    wire = Wire()
    answer = LaneAnswer(wire, http_1_1, False)
    answer.head(200, b"a: b\r\n", length)
    assert not wire.writes
    assert not answer.begun
    return wire, answer


def test_a_stream_s_head_goes_out_with_its_first_chunk_and_its_last_chunk_with_its_end() -> None:
    wire, answer = begun()
    assert answer.put(b"one")
    assert answer.put(b"two")
    assert answer.end(b"three")
    head, _, first = wire.writes[0].partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\na: b\r\n")
    assert b"transfer-encoding: chunked" in head
    assert [first, *wire.writes[1:]] == [b"3\r\none\r\n", b"3\r\ntwo\r\n", b"5\r\nthree\r\n0\r\n\r\n"]


async def test_a_head_that_nothing_follows_yet_goes_out_when_that_is_waited_for() -> None:
    wire, answer = begun()
    await answer.drained()
    assert len(wire.writes) == 1
    assert wire.writes[0].endswith(b"\r\n\r\n")
    await answer.drained()
    wire.write_paused = True
    assert not answer.put(b"one")
    await answer.drained()
    assert (wire.writes[1:], wire.waited) == ([b"3\r\none\r\n"], 1)


@pytest.mark.parametrize("last", [b"", b"last"])
def test_a_stream_may_be_one_write(last: bytes) -> None:
    wire, answer = begun()
    assert answer.end(last)
    (written,) = wire.writes
    assert written.endswith(b"\r\n\r\n" + (b"4\r\nlast\r\n" if last else b"") + b"0\r\n\r\n")


def test_a_chunk_that_came_in_its_frame_goes_on_as_the_very_same_bytes() -> None:
    wire, answer = begun()
    answer.put(b"one")
    put_framed = answer.passes()
    assert put_framed is not None
    came = b"3\r\ntwo\r\n"
    assert put_framed(came)
    assert wire.writes[1] is came


def test_before_its_head_has_gone_no_chunk_passes() -> None:
    _, answer = begun()
    assert answer.passes() is None


def test_http_1_0_has_no_chunks() -> None:
    wire, answer = begun(http_1_1=False)
    answer.put(b"one")
    assert answer.passes() is None
    answer.put(b"two")
    answer.end(b"three")
    head, _, body = b"".join(wire.writes).partition(b"\r\n\r\n")
    assert (b"connection: close" in head, body) == (True, b"onetwothree")
    assert answer.closes


def test_a_body_of_a_known_length_has_no_frames_either() -> None:
    wire, answer = begun(length=6)
    answer.put(b"one")
    assert answer.passes() is None
    answer.put(b"two")
    assert answer.end()
    assert wire.writes[0].endswith(b"\r\n\r\none")
    assert wire.writes[1:] == [b"two"]


@pytest.mark.parametrize(("status", "told"), [(200, True), (204, False), (205, True), (304, False)])
def test_an_answer_without_a_body_says_so_unless_its_head_ends_it(*, status: int, told: bool) -> None:
    wire = Wire()
    answer = LaneAnswer(wire, True, False)
    answer.head(status, b"", 0)
    answer.end()
    assert (b"\r\ncontent-length: 0\r\n" in wire.writes[0]) is told
