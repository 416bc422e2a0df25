"""Metrics of requests: sums of the records, whatever they are grouped by, and never more series than agreed."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry.request_metrics import (
    NONE,
    NOTED_MAX,
    OTHER,
    SECONDS,
    TOKENS,
    VALUES_MAX,
    RequestMetrics,
)
from shared.models.record import FIELDS, Record
from tests.fixtures.records import a_record, records

Sample = tuple[str, frozenset[tuple[str, str]]]


def told(metrics: RequestMetrics) -> dict[Sample, float]:
    """Every sample as Prometheus reads it."""
    registry = CollectorRegistry()
    registry.register(metrics)
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def counted(made: Iterable[Record], metrics: RequestMetrics | None = None, at_once: int = 64) -> RequestMetrics:
    metrics = metrics or RequestMetrics()
    watch = metrics.watch(FIELDS)
    assert watch is not None
    rows = orjson.loads(orjson.dumps([[record._asdict()[name] for name in watch.fields] for record in made]))
    for some in (rows[at : at + at_once] for at in range(0, len(rows), at_once)):
        watch.seen(list(zip(*some, strict=True)))
    return metrics


def total(samples: dict[Sample, float], name: str, **labels: str) -> float:
    return sum(value for (n, own), value in samples.items() if n == name and labels.items() <= dict(own).items())


@given(st.lists(records(), max_size=30))
def test_sums_are_those_of_the_records(made: list[Record]) -> None:
    samples = told(counted(made))
    assert total(samples, "gatehouse_requests_total") == len(made)
    for workspace, count in Counter(record.workspace or NONE for record in made).items():
        assert total(samples, "gatehouse_requests_total", workspace=workspace) == count
    for name, field in TOKENS.items():
        tokens = sum(getattr(record, field) or 0 for record in made)
        assert total(samples, "gatehouse_tokens_total", **{"class": name}) == tokens
    cost = sum(record.cost_picousd or 0 for record in made)
    assert total(samples, "gatehouse_cost_usd_total") == pytest.approx(cost / 1e12)
    assert total(samples, "gatehouse_cost_unknown_total") == sum(record.cost_picousd is None for record in made)
    assert total(samples, "gatehouse_attempts_total") == sum(record.attempt_count for record in made)
    known = [record.duration_us for record in made if record.duration_us is not None]
    assert total(samples, "gatehouse_request_duration_seconds_count") == len(known)
    assert total(samples, "gatehouse_request_duration_seconds_sum") == pytest.approx(sum(known) / 1e6)
    for bound in SECONDS:
        below = sum(value <= bound * 1e6 for value in known)
        assert total(samples, "gatehouse_request_duration_seconds_bucket", le=str(bound)) == below


@given(st.lists(records(), max_size=30), st.integers(1, 30))
def test_it_is_the_same_however_many_come_at_once(made: list[Record], at_once: int) -> None:
    assert told(counted(made, at_once=at_once)) == told(counted(made, at_once=1))


def test_labels_are_what_the_record_says() -> None:
    samples = told(counted([a_record(status=None, provider=None, model=None, workspace=None)]))
    labels = {
        "door": "chat",
        "provider": NONE,
        "model": NONE,
        "workspace": NONE,
        "status": NONE,
        "ending": "complete",
        "cache": "disabled",
    }
    assert samples["gatehouse_requests_total", frozenset(labels.items())] == 1


def test_what_is_noted_and_not_added_up_yet_is_told_too() -> None:
    metrics = counted(a_record(n) for n in range(NOTED_MAX + 3))
    assert total(told(metrics), "gatehouse_requests_total") == NOTED_MAX + 3
    assert total(told(metrics), "gatehouse_requests_total") == NOTED_MAX + 3


def test_beyond_so_many_models_the_others_are_other_and_counted() -> None:
    models = VALUES_MAX["model"] + 50
    metrics = counted(a_record(model=f"m{n % models}") for n in range(3 * models))
    samples = told(metrics)
    names = {dict(labels)["model"] for name, labels in samples if name == "gatehouse_requests_total"}
    assert len(names) == VALUES_MAX["model"] + 1
    assert total(samples, "gatehouse_requests_total", model=OTHER) == 150
    assert total(samples, "gatehouse_requests_total", model="m0") == 3
    assert total(samples, "gatehouse_label_values_folded_total", label="model") == 150
    assert total(samples, "gatehouse_tokens_total", **{"class": "input"}) == 3 * models * 1_200


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 9)), max_size=200))
def test_there_are_never_many_more_series_than_agreed(calls: Sequence[tuple[int, int, int]]) -> None:
    metrics = counted(
        (a_record(model=f"m{model}", workspace=f"ws_{space}", status=500 + status) for model, space, status in calls),
        RequestMetrics(series_max=20),
    )
    samples = told(metrics)
    assert total(samples, "gatehouse_requests_total") == len(calls)
    series = [labels for name, labels in samples if name == "gatehouse_requests_total"]
    # What is folded keeps the labels that are few by nature: status, ending, door, cache.
    assert len(series) <= 20 + 10


def test_records_of_other_fields_are_not_counted() -> None:
    assert RequestMetrics().watch(("id", "status")) is None


@pytest.mark.parametrize("odd", ["7", [7], {}])
def test_what_is_no_number_adds_nothing_and_fails_nothing(odd: Any) -> None:
    metrics = RequestMetrics()
    for tokens in (odd, 5):
        counted([a_record(input_tokens=tokens)], metrics)
    samples = told(metrics)
    assert total(samples, "gatehouse_requests_total") == 2
    assert total(samples, "gatehouse_tokens_total", **{"class": "input"}) == 5


def test_what_can_be_no_label_is_not_counted_and_fails_nothing() -> None:
    metrics = RequestMetrics()
    made = [a_record(model=model) for model in ("one", ["a", "list"])]
    for some in (made, made[1:], made[:1]):
        counted(some, metrics)
    assert total(told(metrics), "gatehouse_requests_total") == 1
