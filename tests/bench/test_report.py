"""The report's arithmetic: medians, units, and what counts as a failure."""

import math

from bench import report
from bench.load import Result
from bench.report import Memory
from bench.workloads import ALL, SMALL, STREAM


def result(answers: float, cpu_s: float, errors: dict[str, int] | None = None) -> Result:
    return Result(answers, seconds=2.0, cpu_s=cpu_s, calls=int(answers), errors=errors or {}, example="")


def test_cpu_is_per_call_and_for_streams_per_event() -> None:
    assert report.cpu_us(result(10_000, 1.0), SMALL) == 100.0
    assert report.cpu_us(result(200, 1.0), STREAM) == 100.0
    assert report.rate(result(200, 1.0), STREAM) == 5_000.0


def test_a_round_without_answers_costs_infinity_and_never_divides_by_zero() -> None:
    assert report.cpu_us(result(0, 1.0), SMALL) == math.inf


def test_the_ratio_is_of_medians_so_one_bad_round_does_not_move_it() -> None:
    base = [result(10_000, 2.0), result(10_000, 2.0), result(10_000, 9.0)]
    other = [result(10_000, 1.0), result(10_000, 1.0), result(10_000, 0.1)]
    assert report.ratio(base, other, SMALL) == 2.0
    assert report.ratio(other, base, SMALL) == 0.5


def test_every_error_of_every_round_counts() -> None:
    assert report.failed([result(1, 1.0, {"status 500": 2}), result(1, 1.0), result(1, 1.0, {"no answer": 3})]) == 5


def test_a_row_shows_best_median_and_what_one_core_could_do() -> None:
    rounds = [result(10_000, 0.8), result(10_000, 1.0), result(10_000, 1.2, {"no answer": 1})]
    row = dict(zip(report.HEADINGS, report.row(SMALL, "gateway", rounds, Memory(40_000_000, 52_000_000)), strict=True))
    assert row["rounds"] == "3"
    assert (row["CPU µs/unit best"], row["median"], row["units/s per core"]) == ("80.0", "100.0", "10,000")
    assert (row["units/s observed"], row["errors"]) == ("5,000", "1")
    assert (row["RSS MB idle"], row["after"]) == ("40", "52")


def test_a_table_has_a_line_for_each_row_and_columns_that_line_up() -> None:
    rows = [
        report.row(workload, "gateway", [result(10**number, 1.0)], Memory(1, 1))
        for number, workload in enumerate(ALL.values())
    ]
    lines = report.table(rows).splitlines()
    assert len(lines) == 1 + len(rows)
    assert len({len(line) for line in lines}) == 1
