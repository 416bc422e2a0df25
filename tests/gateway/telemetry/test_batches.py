"""Frames become batches: in time, not too large, of one kind, and with what was damaged counted."""

from collections import deque

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry import batches, segments
from gateway.telemetry.batches import WAIT_S, Draft, Watch
from gateway.telemetry.segments import Kind, Segment
from gateway.telemetry.tails import Tail
from shared.models.record import FIELDS
from shared.protocol.batch import ROWS_BYTES_MAX, ROWS_MAX
from shared.protocol.canonical import INTEGER_MAX
from shared.protocol.drop import Drop

FEW = ("id", "started_at_ms")
NOW_MS = 1_795_000_000_000


def tail(
    payloads: list[bytes], *, worker: str = "worker-0", fields: tuple[str, ...] = FEW, kind: int = Kind.RECORD
) -> Tail:
    """A tail that has read these."""
    found = segments.read(b"".join(segments.frame(Kind(kind), payload) for payload in payloads), 100, sealed=False)
    return Tail(
        Segment(worker, 1),
        at=100,
        read_to=found.end,
        fields=fields,
        stretches=deque(found.stretches),
    )


def payloads_of(one: Tail) -> list[bytes]:
    return [payload for stretch in one.stretches for payload in stretch.payloads]


def drafted(group: list[Tail], now_ms: int) -> Draft:
    return batches.draft(group, now_ms, None)


def row(number: int, started_at_ms: int = NOW_MS) -> bytes:
    return orjson.dumps([f"lg_{number}", started_at_ms])


def test_a_record_waits_a_second_for_others_and_no_longer() -> None:
    one = tail([row(1)])
    assert batches.due([one], WAIT_S - 0.01, last=False) is None
    assert batches.due([one], WAIT_S, last=False) == [one]
    assert batches.due([one], 0.0, last=True) == [one]
    assert batches.due([tail([])], 99.0, last=True) is None


def test_many_or_large_ones_do_not_wait() -> None:
    halves = [tail([row(1)] * (ROWS_MAX // 2)), tail([row(1)] * (ROWS_MAX // 2), worker="worker-1")]
    assert batches.due(halves, 0.0, last=False) == halves
    assert batches.due(halves[:1], 0.0, last=False) is None
    large = tail([orjson.dumps(["x" * 60_000, 1])] * (ROWS_BYTES_MAX // 60_000 + 1))
    assert batches.due([large], 0.0, last=False) == [large]


@given(st.lists(st.integers(1, 60_000), max_size=60))
def test_a_batch_ends_with_the_row_that_fills_it(sizes: list[int]) -> None:
    one = tail([orjson.dumps(["x" * size, 1]) for size in sizes] or [row(1)])
    lengths = [len(payload) for payload in payloads_of(one)]
    made = drafted([one], NOW_MS)
    taken = [len(text) for text in made.rows]
    assert taken == lengths[: len(taken)]
    assert sum(taken[:-1]) < ROWS_BYTES_MAX
    assert len(taken) == len(lengths) or sum(taken) >= ROWS_BYTES_MAX


def test_a_batch_has_at_most_so_many_rows_and_the_rest_stays() -> None:
    one = tail([row(number) for number in range(ROWS_MAX + 7)])
    made = drafted([one], NOW_MS)
    assert len(made.rows) == ROWS_MAX
    made.apply()
    assert payloads_of(one) == [row(number) for number in range(ROWS_MAX, ROWS_MAX + 7)]
    assert one.frame_count == 7
    assert one.payload_bytes == sum(map(len, payloads_of(one)))
    assert one.at == one.stretches[0].start


def test_rows_of_other_fields_are_another_batch_and_the_longest_wait_is_first() -> None:
    one, other = tail([row(1)]), tail([orjson.dumps([1])], worker="worker-1", fields=("status",))
    one.since_s, other.since_s = 2.0, 1.0
    group = batches.due([one, other], 9.0, last=False)
    assert group == [other]
    made = drafted(group, NOW_MS)
    assert (made.fields, made.rows) == (("status",), [b"[1]"])
    made.apply()
    assert batches.due([one, other], 9.0, last=False) == [one]


def test_a_batch_says_when_its_records_began() -> None:
    made = drafted([tail([row(1, 30), row(2, 10)]), tail([row(3, 20)], worker="worker-1")], NOW_MS)
    assert (made.first_ms, made.last_ms) == (10, 30)
    nonsense = tail([orjson.dumps(["lg", time]) for time in (None, "x", -1, True, 2**60)])
    assert drafted([nonsense], NOW_MS).first_ms == NOW_MS


def test_each_record_is_seen_once_and_nothing_that_is_none() -> None:
    seen: list[list[object]] = []
    one = tail([row(1), b"junk", row(2), b"[1]"])
    for wanted in (("id",), ("started_at_ms", "id")):
        seen.clear()
        batches.draft([one], NOW_MS, Watch(wanted, lambda columns: seen.extend(map(list, zip(*columns, strict=True)))))
        assert seen == [[{"id": f"lg_{number}", "started_at_ms": NOW_MS}[name] for name in wanted] for number in (1, 2)]


def test_drops_that_workers_tell_are_summed_by_reason() -> None:
    """GHS/1 17.8."""
    told = [
        Drop(reason="disk_full", count=2, from_ms=10, to_ms=20),
        Drop(reason="disk_full", count=3, from_ms=5, to_ms=15),
        Drop(reason="other", count=INTEGER_MAX, from_ms=1, to_ms=1),
        Drop(reason="other", count=1, from_ms=2, to_ms=2),
    ]
    made = drafted([tail([drop.model_dump_json().encode() for drop in told], kind=Kind.DROP)], NOW_MS)
    assert made.rows == []
    assert made.drops == [
        Drop(reason="disk_full", count=5, from_ms=5, to_ms=20),
        Drop(reason="other", count=INTEGER_MAX, from_ms=1, to_ms=2),
    ]


@pytest.mark.parametrize("payload", [b"", b"{}", b"[1", b"[1]", b"null", b'["a", 1, 2]'])
def test_what_is_whole_and_yet_no_record_is_counted_as_damaged(payload: bytes) -> None:
    """GHS/1 17.8."""
    made = drafted([tail([row(1), payload, row(2)])], NOW_MS)
    assert made.rows == [row(1), row(2)]
    assert made.drops == [Drop(reason="damaged", count=1, from_ms=NOW_MS, to_ms=NOW_MS)]


def test_a_drop_that_is_none_and_a_kind_nobody_knows_are_counted_as_damaged() -> None:
    for frame in (segments.frame(Kind.DROP, b"{}"), segments.frame(99, b"[]")):
        stretches = segments.read(frame, 200, sealed=False).stretches
        one = Tail(Segment("worker-0", 1), at=200, fields=FEW, stretches=deque(stretches))
        assert [drop.count for drop in drafted([one], NOW_MS).drops] == [1]


def test_records_below_a_damaged_head_are_counted_one_by_one() -> None:
    made = drafted([tail([row(1), row(2)], fields=())], NOW_MS)
    assert (made.rows, made.fields) == ([], FIELDS)
    assert [drop.count for drop in made.drops] == [2]
