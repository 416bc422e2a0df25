"""What Prometheus is told of requests: counted by the agent from the records it reads, so that no call pays for it.

Each record is counted once, when it is in a batch. The number of series is bounded: of each label so many values are
known by name and the others are `other`, and beyond so many series a new one goes under `other` too.
"""

import threading
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.telemetry.batches import Columns, Watch

SERIES_MAX = 10_000
"""Of one metric."""
NOTED_MAX = 2_000
OTHER = "other"
NONE = "none"
"""Where the record names none."""
VALUES_MAX = {
    "door": 50,
    "provider": 100,
    "model": 200,
    "workspace": 200,
    "status": 100,
    "ending": 20,
    "cache": 20,
}
"""Known by name, of each label."""

TOKENS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "reasoning": "reasoning_tokens",
    "audio_input": "audio_input_tokens",
    "audio_output": "audio_output_tokens",
}
"""Field of each class. `input` and `output` are all of them, whatever they were counted as besides."""
_LABELS = ("door", "provider", "model", "workspace", "status", "ending", "cache")
_OWNERS = ("workspace", "provider", "model")
_CALLS = {"attempts": "attempt_count", "retries": "retry_count", "fallbacks": "fallback_count"}
_TIMES = {"duration": "duration_us", "first_byte": "first_byte_us", "overhead": "overhead_us"}
_NUMBERS = (*TOKENS.values(), "cost_picousd", *_CALLS.values(), *_TIMES.values())
_COUNTED = (*_LABELS, *_NUMBERS)
_SUMS = len(_NUMBERS) - len(_TIMES)
"""So many of them are summed; of the others it is counted how long they were."""
_COST = _NUMBERS.index("cost_picousd")

SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
OVERHEAD_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
_BOUNDS = {"duration": SECONDS, "first_byte": SECONDS, "overhead": OVERHEAD_SECONDS}

_Key = tuple[str, ...]
_Values = tuple[Any, ...]
"""What stands in a record where its labels are from."""


class _Histogram:
    __slots__ = ("counts", "sum_us")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * (buckets + 1)
        self.sum_us = 0

    def add(self, values: Sequence[int], sum_us: int, bounds_us: Sequence[int]) -> None:
        self.sum_us += sum_us
        ordered = sorted(values)
        below = 0
        for place, bound in enumerate(bounds_us):
            if below == len(ordered):
                return
            upto = bisect_right(ordered, bound, below)
            self.counts[place] += upto - below
            below = upto
        self.counts[-1] += len(ordered) - below


class _Series:
    """What is known of the requests that have the same labels."""

    __slots__ = ("cost_unknown", "count", "sums", "times")

    def __init__(self) -> None:
        self.count = 0
        self.cost_unknown = 0
        self.sums = [0] * _SUMS
        self.times = [_Histogram(len(bounds)) for bounds in _BOUNDS.values()]

    def add(self, columns: Sequence[Sequence[int | None]], bounds_us: Sequence[Sequence[int]]) -> None:
        """`columns` in the order of _NUMBERS, each with a value of every record."""
        self.count += len(columns[0])
        self.cost_unknown += columns[_COST].count(None)
        for index in range(_SUMS):
            self.sums[index] += _told(columns[index])[1]
        for histogram, bounds, column in zip(self.times, bounds_us, columns[_SUMS:], strict=True):
            histogram.add(*_told(column), bounds)


def _nothing_noted() -> defaultdict[_Values, list[list[int | None]]]:
    return defaultdict(lambda: [[] for _ in _NUMBERS])


def _grouped(labels: Columns, numbers: Columns) -> dict[_Values, Iterable[Sequence[int | None]]]:
    """The columns of numbers of the records that have the same labels. Raises TypeError for what can be no label."""
    if all(column.count(column[0]) == len(column) for column in labels):
        return {tuple([column[0] for column in labels]): numbers}  # All have, as where a node has one use.
    groups: defaultdict[_Values, list[tuple[int | None, ...]]] = defaultdict(list)
    for values, counted in zip(zip(*labels, strict=True), zip(*numbers, strict=True), strict=True):
        groups[values].append(counted)
    return {values: zip(*group, strict=True) for values, group in groups.items()}


def _told(column: Sequence[Any]) -> tuple[Sequence[int], int]:
    """The numbers in it, and their sum."""
    try:
        return column, sum(column)
    except TypeError:  # Some records have none. What else is no number no build writes, and no batch may wait for it.
        known = [value for value in column if type(value) is int]
        return known, sum(known)


class RequestMetrics(Collector):
    """Written to by the batcher's thread, read by whoever scrapes."""

    def __init__(self, series_max: int = SERIES_MAX) -> None:
        self._series_max = series_max
        self._lock = threading.Lock()
        self._known: dict[str, set[str]] = {label: set() for label in _LABELS}
        self._noted = _nothing_noted()
        """Of records that are not added up yet, by their labels: each of their numbers, in the order of _NUMBERS."""
        self._noted_count = 0
        self._folded = dict.fromkeys((*_LABELS, "series"), 0)
        self._series: dict[_Key, _Series] = {}
        self._by_values: dict[_Values, _Series] = {}
        """By what stood in the records, so that most of them cost one look."""
        self._bounds_us = [[round(bound * 1_000_000) for bound in bounds] for bounds in _BOUNDS.values()]

    def watch(self, fields: Collection[str]) -> Watch | None:
        """Counts records of these fields; None: they are of a build that wrote other things."""
        return Watch(_COUNTED, self._count) if set(_COUNTED).issubset(fields) else None

    def _count(self, columns: Columns) -> None:
        try:
            groups = _grouped(columns[: len(_LABELS)], columns[len(_LABELS) :])
        except TypeError:
            return  # A list where a label should be. No build writes that, and no batch may wait for it.
        with self._lock:
            for values, group in groups.items():
                for noted, column in zip(self._noted[values], group, strict=True):
                    noted.extend(column)
            self._noted_count += len(columns[0])
            if self._noted_count >= NOTED_MAX:
                self._settle()

    def _settle(self) -> None:
        """Add up what was noted; by columns, which takes a third of the time of adding each record by itself."""
        all_noted, self._noted, self._noted_count = self._noted, _nothing_noted(), 0
        for values, noted in all_noted.items():
            series = self._by_values.get(values) or self._named(values, len(noted[0]))
            series.add(noted, self._bounds_us)

    def _named(self, values: _Values, records: int) -> _Series:
        """The series of so many records with these labels, as far as those are known by name."""
        key = tuple([self._value(label, value, records) for label, value in zip(_LABELS, values, strict=True)])
        if key not in self._series and len(self._series) >= self._series_max:
            self._folded["series"] += records
            open_ended = ("provider", "model", "workspace")
            pairs = zip(_LABELS, key, strict=True)
            key = tuple([OTHER if label in open_ended else value for label, value in pairs])
        series = self._series.setdefault(key, _Series())
        if OTHER not in key and len(self._by_values) < self._series_max:
            self._by_values[values] = series
        return series

    def _value(self, label: str, value: Any, records: int) -> str:
        text = NONE if value is None else str(value)
        known = self._known[label]
        if text not in known:
            if len(known) >= VALUES_MAX[label]:
                self._folded[label] += records
                return OTHER
            known.add(text)
        return text

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            self._settle()
            yield from [self._requests(), *self._tokens(), *self._costs(), *self._calls(), *self._times()]
            folded = CounterMetricFamily(
                "gatehouse_label_values_folded",
                "Records told as `other` since their label had too many values; `series`: there were too many in all",
                labels=["label"],
            )
            for label, count in self._folded.items():
                folded.add_metric([label], count)
            yield folded

    def _requests(self) -> Metric:
        requests = CounterMetricFamily("gatehouse_requests", "Requests that ended", labels=_LABELS)
        for key, series in self._series.items():
            requests.add_metric(key, series.count)
        return requests

    def _tokens(self) -> Iterator[Metric]:
        metric = CounterMetricFamily(
            "gatehouse_tokens",
            "Tokens by class; `input` and `output` are all of them, the others parts of these",
            labels=[*_OWNERS, "class"],
        )
        for owner, group in self._grouped(_OWNERS).items():
            for index, name in enumerate(TOKENS):
                if total := sum(series.sums[index] for series in group):
                    metric.add_metric([*owner, name], total)
        yield metric

    def _costs(self) -> Iterator[Metric]:
        cost = CounterMetricFamily("gatehouse_cost_usd", "Cost in US dollars, where it is known", labels=_OWNERS)
        unknown = CounterMetricFamily(
            "gatehouse_cost_unknown", "Requests whose cost is not known; never counted as 0", labels=_OWNERS
        )
        for owner, group in self._grouped(_OWNERS).items():
            cost.add_metric(owner, sum(series.sums[_COST] for series in group) / 1e12)
            unknown.add_metric(owner, sum(series.cost_unknown for series in group))
        yield cost
        yield unknown

    def _calls(self) -> Iterator[Metric]:
        texts = {
            "attempts": "Calls made to providers, by the provider of the last",
            "retries": "Of these, repeated to the same target",
            "fallbacks": "Targets given up for another",
        }
        groups = self._grouped(("provider",))
        for index, name in enumerate(_CALLS):
            metric = CounterMetricFamily(f"gatehouse_{name}", texts[name], labels=["provider"])
            for key, group in groups.items():
                metric.add_metric(key, sum(series.sums[_COST + 1 + index] for series in group))
            yield metric

    def _times(self) -> Iterator[Metric]:
        texts = {
            "duration": ("gatehouse_request_duration_seconds", "From a request's head to its last byte"),
            "first_byte": ("gatehouse_first_byte_seconds", "From its head to the first byte of content"),
            "overhead": ("gatehouse_overhead_seconds", "The gateway's own share of that"),
        }
        groups = self._grouped(("door", "provider"))
        for index, (name, bounds) in enumerate(_BOUNDS.items()):
            metric = HistogramMetricFamily(*texts[name], labels=["door", "provider"])
            for key, group in groups.items():
                counts = [sum(column) for column in zip(*(s.times[index].counts for s in group), strict=True)]
                total = sum(series.times[index].sum_us for series in group)
                metric.add_metric(key, _buckets(bounds, counts), total / 1_000_000)
            yield metric

    def _grouped(self, labels: Sequence[str]) -> dict[_Key, list[_Series]]:
        places = [_LABELS.index(label) for label in labels]
        groups: dict[_Key, list[_Series]] = {}
        for key, series in self._series.items():
            groups.setdefault(tuple([key[place] for place in places]), []).append(series)
        return groups


def _buckets(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Cumulative, as Prometheus has them."""
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip([*(str(bound) for bound in bounds), "+Inf"], counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets
