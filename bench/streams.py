"""Event streams, fast ones and a great many slow ones: what an event costs, how late it comes, and whether all come."""

from statistics import median

from bench import goals, report, source
from bench.measure import Result, Shape
from bench.report import NOTHING, Outcome, Table
from bench.rounds import Case, Scale, answering, interleaved, once
from bench.stack import DIRECT, GATEWAY, Stack, System
from bench.workloads import AT_ONCE, STREAM, STREAM_EVENTS

FEW, MANY = 16, 256
FAST_HEADINGS = (
    "streams",
    "system",
    "events/s",
    "beside direct",
    "first event p50 ms",
    "added",
    "delay p50 ms",
    "p99",
    "gap p50 ms",
    "p99",
    "CPU µs/event",
    "errors",
    "core taken by others",
)
SLOW_HEADINGS = (
    "streams",
    "system",
    "whole",
    "of the core",
    "CPU µs/event",
    "first event p50 ms",
    "p99",
    "delay p50 ms",
    "p99",
    "RSS MB, all open",
    "errors",
)


async def run(stack: Stack, scale: Scale) -> Outcome:
    rows: list[tuple[str, ...]] = []
    figures: dict[str, float] = {}
    errors = 0
    answer, silent = await answering(stack, STREAM)
    for streams in (FEW, MANY):
        results = await _fast(stack, scale, streams, [system for system in answer if not system.peer or streams == FEW])
        rows += [_fast_row(streams, name, results) for name in results]
        errors += report.failed_in_all(results)
        first = report.added(_first(results[DIRECT]), _first(results[GATEWAY]))
        if streams == FEW and first is not None:
            figures[goals.FIRST_EVENT.name] = first
        if streams == MANY:
            figures[goals.EVENT_COST.name] = _event_cost(results[GATEWAY])
            figures[goals.EVENTS_KEPT.name] = _events(results[GATEWAY]) / _events(results[DIRECT])
    slow_rows = []
    for system in (system for system in stack.systems.values() if not system.peer):
        result = await slow(stack, system, scale)
        slow_rows.append(_slow_row(scale.slow_streams, system, result))
        errors += scale.slow_streams - result.calls
        if system.name == GATEWAY:
            figures[goals.SLOW_SHARE.name] = result.core_share * 100
    fast = Table(
        f"Event streams, one event each {AT_ONCE[1] / 1000:g} ms",
        FAST_HEADINGS,
        rows,
        notes=(
            f"Streams of {STREAM_EVENTS} events, begun anew as they end; medians of {scale.rounds} rounds.",
            "Gap: between the events of a stream. Delay: from the upstream's sending to the load's receiving.",
            "An event's cost holds its share of the call's own.",
            *silent,
        ),
    )
    slow_notes = ("One stream for each connection, measured while all of them run.",)
    slow_title = f"Slow streams, one event each {scale.slow_gap_us / 1000:g} ms"
    return Outcome([fast, Table(slow_title, SLOW_HEADINGS, slow_rows, notes=slow_notes)], figures, errors)


async def slow(stack: Stack, system: System, scale: Scale) -> Result:
    """So many streams at once, each from its first event to its last."""
    length_s = STREAM_EVENTS * scale.slow_gap_us / 1e6
    shape = Shape(
        scale.slow_streams, once=True, ramp_s=scale.slow_ramp_s, measure_s=length_s * 2, drain_s=length_s + 10.0
    )
    case = Case(system.name, system, STREAM.waiting(0, scale.slow_gap_us), shape)
    result = await once(stack, case)
    print(f"{scale.slow_streams:,} slow streams: {system.name:<12} {result.calls:,} whole, {result.failed} errors")
    return result


async def _fast(stack: Stack, scale: Scale, streams: int, systems: list[System]) -> dict[str, list[Result]]:
    """A stream's length to begin them all, so that they do not end together."""
    shape = Shape(streams, ramp_s=STREAM_EVENTS * AT_ONCE[1] / 1e6, warm_s=0.6, measure_s=scale.measure_s)
    translating = [
        stack.configured(f"{GATEWAY}, from Anthropic", source.MESSAGES),
        stack.configured(f"{GATEWAY}, from Gemini", source.CONTENTS),
    ]
    return await interleaved(
        stack, [Case(system.name, system, STREAM, shape) for system in (*systems, *translating)], scale.rounds
    )


def _events(results: list[Result]) -> float:
    return median(result.events / result.seconds for result in results)


def _event_cost(results: list[Result]) -> float:
    """CPU microseconds, the rounds' median; infinite if there were none."""
    return median(result.cpu_s * 1e6 / result.events if result.events else float("inf") for result in results)


def _first(results: list[Result]) -> float | None:
    return report.ms(results, lambda result: result.first_event, "p50")


def _fast_row(streams: int, name: str, results: dict[str, list[Result]]) -> tuple[str, ...]:
    rounds, direct = results[name], results[DIRECT]
    return (
        str(streams),
        name,
        f"{_events(rounds):,.0f}",
        f"{_events(rounds) / _events(direct):.1%}" if _events(direct) else NOTHING,
        report.two_places(_first(rounds)),
        report.two_places(report.added(_first(direct), _first(rounds))),
        report.two_places(report.ms(rounds, lambda result: result.delay, "p50")),
        report.two_places(report.ms(rounds, lambda result: result.delay, "p99")),
        report.two_places(report.ms(rounds, lambda result: result.gap, "p50")),
        report.two_places(report.ms(rounds, lambda result: result.gap, "p99")),
        f"{_event_cost(rounds):.1f}" if name != DIRECT else NOTHING,
        str(report.failed(rounds)),
        report.foreign(rounds),
    )


def _slow_row(streams: int, system: System, result: Result) -> tuple[str, ...]:
    rounds = [result]
    measured = system.pid is not None
    return (
        f"{streams:,}",
        system.name,
        f"{result.calls:,}",
        f"{result.core_share:.1%}" if measured else NOTHING,
        f"{result.cpu_s * 1e6 / result.events:.1f}" if measured and result.events else NOTHING,
        report.two_places(report.ms(rounds, lambda result: result.first_event, "p50")),
        report.two_places(report.ms(rounds, lambda result: result.first_event, "p99")),
        report.two_places(report.ms(rounds, lambda result: result.delay, "p50")),
        report.two_places(report.ms(rounds, lambda result: result.delay, "p99")),
        f"{result.ended.rss_bytes / report.MB:.0f}" if measured else NOTHING,
        str(result.failed),
    )
