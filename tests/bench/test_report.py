"""The report's arithmetic: medians, units, slopes, and what counts as a failure."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import goals, report
from bench.measure import Result, Sample, Spread
from bench.report import Table
from bench.workloads import SMALL, STREAM


def result(answers: float, cpu_s: float, errors: dict[str, int] | None = None, busy_s: float | None = None) -> Result:
    return Result(
        answers,
        seconds=2.0,
        calls=int(answers),
        events=0,
        latency=None,
        first_event=None,
        delay=None,
        gap=None,
        errors=errors or {},
        example="",
        began=Sample(10.0, 1.0, 0, 50.0),
        ended=Sample(12.0, 1.0 + cpu_s, 0, 50.0 + (cpu_s if busy_s is None else busy_s)),
    )


def timed(p50_us: float) -> Result:
    return replace(result(1, 1.0), latency=Spread(9, p50_us, p50_us, p50_us * 2, p50_us * 3, p50_us * 4))


def test_cpu_is_per_call_and_for_streams_per_event() -> None:
    assert report.cpu_us(result(10_000, 1.0), SMALL) == pytest.approx(100.0)
    assert report.cpu_us(result(200, 1.0), STREAM) == pytest.approx(100.0)
    assert report.rate(result(200, 1.0), STREAM) == 5_000.0


def test_a_round_without_answers_costs_infinity_and_never_divides_by_zero() -> None:
    assert report.cpu_us(result(0, 1.0), SMALL) == math.inf


def test_the_ratio_is_of_medians_so_one_bad_round_does_not_move_it() -> None:
    base = [result(10_000, 2.0), result(10_000, 2.0), result(10_000, 9.0)]
    other = [result(10_000, 1.0), result(10_000, 1.0), result(10_000, 0.1)]
    assert report.ratio(base, other, SMALL) == pytest.approx(2.0)
    assert report.ratio(other, base, SMALL) == pytest.approx(0.5)


def test_beside_one_that_did_not_answer_there_is_no_ratio() -> None:
    silent, other = [result(0, 1.0)], [result(10_000, 1.0)]
    assert report.ratio(silent, other, SMALL) is None
    assert report.ratio(other, silent, SMALL) is None


def test_every_error_of_every_round_counts() -> None:
    rounds = [result(1, 1.0, {"status 500": 2}), result(1, 1.0), result(1, 1.0, {"no answer": 3})]
    assert report.failed(rounds) == 5
    assert report.failed_in_all({"a": rounds, "b": rounds}) == 10


def test_others_have_of_the_core_what_the_measured_processes_did_not_use_of_its_busy_time() -> None:
    assert result(1, 1.0, busy_s=1.5).foreign_share == pytest.approx(0.25)
    assert result(1, 1.0, busy_s=0.9).foreign_share == 0.0
    assert result(1, 1.0).core_share == pytest.approx(0.5)


def test_times_are_medians_of_percentiles_and_none_where_nothing_was_timed() -> None:
    rounds = [timed(1_000), timed(3_000), timed(2_000), result(0, 1.0)]
    assert report.ms(rounds, lambda round_: round_.latency, "p50") == 2.0
    assert report.ms(rounds, lambda round_: round_.latency, "p99") == 4.0
    assert report.ms(rounds, lambda round_: round_.gap, "p50") is None
    assert report.added(1.5, 2.0) == 0.5
    assert report.added(None, 2.0) is None
    assert (report.two_places(0.456), report.two_places(None)) == ("0.46", report.NOTHING)


@given(st.floats(-5, 5), st.floats(-100, 100), st.lists(st.integers(0, 1_000), min_size=3, max_size=50, unique=True))
def test_the_slope_of_a_line_is_its_own_without_error(grows: float, start: float, at_s: list[int]) -> None:
    found, error = report.slope(at_s, [start + grows * at for at in at_s])
    assert found == pytest.approx(grows, abs=1e-6)
    assert error == pytest.approx(0.0, abs=1e-6)


def test_the_slope_of_noise_is_within_its_error() -> None:
    grows, error = report.slope(range(100), [(-1) ** at * 5.0 for at in range(100)])
    assert abs(grows) < 2 * error


def test_a_table_has_a_line_for_each_row_and_columns_that_line_up() -> None:
    table = Table("Title", ("a", "b", "figure"), [("x", "y", "1"), ("longer", "z", "1,000")], notes=("as it was",))
    title, empty, *lines, note = report.text(table).splitlines()
    assert (title, empty, note) == ("Title", "", "  as it was")
    assert lines == ["a       b  figure", "x       y       1", "longer  z   1,000"]


def test_goals_say_which_are_reached_and_leave_out_what_was_not_measured() -> None:
    table = goals.table({goals.RATIO_AIOHTTP.name: 3.0, goals.EVENT_COST.name: 16.1})
    assert [(row[1], row[2], row[3]) for row in table.rows] == [
        ("3.00 x", "at least 3 x", "reached"),
        ("16.10 µs", "at most 16 µs", "not reached"),
    ]
