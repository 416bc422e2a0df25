"""The language on ClickHouse: any filter finds the very records that it holds of, and no value stands in the SQL."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.filters import clickhouse
from control_plane.filters.clickhouse import Parameters
from control_plane.filters.columns import RECORD, SPREAD, SUMS
from control_plane.filters.fields import EQUALITY, META, Field, Operator, Type
from control_plane.filters.names import named, with_ids
from control_plane.filters.parse import parse
from control_plane.filters.records import FIELDS, VOCABULARY
from control_plane.filters.tree import Condition, Filter, Ids, Prefix, Text
from shared.models.record import Record
from tests.fixtures.clickhouse import ClickhouseServer
from tests.fixtures.filters import Known, conditions, holds, with_other_values
from tests.fixtures.measured import failed
from tests.fixtures.recorded import Recorded, recorded_in
from tests.fixtures.traffic import traffic

pytestmark = pytest.mark.asyncio(loop_scope="module")

FROM_MS = 1_793_491_200_000
"""2026-11-01."""
DAY_MS = 86_400_000
_OF_RECORD = {"trace": "trace_id", "span": "span_id", "attempts": "attempt_count", "retries": "retry_count"} | {
    "fallbacks": "fallback_count",
    "unsettled": "unsettled_count",
    "duration": "duration_us",
    "first_byte": "first_byte_us",
    "provider_time": "provider_us",
    "receive_time": "receive_us",
    "overhead": "overhead_us",
}


@dataclass(frozen=True, slots=True)
class Found:
    recorded: Recorded
    records: list[Record]

    async def ids(self, filter_: Filter) -> set[str]:
        parameters = Parameters()
        where = " and ".join(clickhouse.conditions(filter_, RECORD, parameters)) or "true"
        rows = await self.recorded.engine.rows("org", f"select id from record where {where}", parameters)
        return {row["id"] for row in rows}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def found(clickhouse_engine: ClickhouseServer) -> AsyncIterator[Found]:
    records = traffic(Random(7), 400, FROM_MS, FROM_MS + 3 * DAY_MS)
    async with recorded_in(clickhouse_engine) as recorded:
        await recorded.store("org", records)
        yield Found(recorded, records)


def value_of(record: Record, condition: Condition) -> Known:
    name = condition.field.name
    if condition.key is not None:
        return record.metadata.get(condition.key)
    if name == "started":
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=record.started_at_ms)
    if name == "tokens":
        known = [count for count in (record.input_tokens, record.output_tokens) if count is not None]
        return sum(known) if known else None
    if name == "cost":
        return None if record.cost_picousd is None else Decimal(record.cost_picousd).scaleb(-12)
    if name == "model_id":
        return record.model and f"{record.provider or ''}/{record.model}"
    if name == "failed":
        return failed(record)
    if name in ("gateway", "node"):
        return {"gateway": "gw_1", "node": "nd_1"}[name]
    value: Known = getattr(record, _OF_RECORD.get(name, name))
    return value


RECORDS = traffic(Random(7), 400, FROM_MS, FROM_MS + 3 * DAY_MS)


@st.composite
def likely(draw: st.DrawFn) -> Condition:
    """A condition that some of the records meet: its value is one of theirs, or near."""
    field = draw(st.sampled_from([*FIELDS, *[META] * 5]))
    key = draw(st.sampled_from(["team", "the place", "none"])) if field is META else None
    operator = draw(st.sampled_from(field.operators))
    near = value_of(draw(st.sampled_from(RECORDS)), Condition(field, operator, (), key=key))
    text = draw(_written(field, operator, near))
    written = "meta." + (f'"{key}"' if key else "") if field is META else field.name
    return parse(f"{draw(st.sampled_from(['', '-']))}{written}{operator}{text}", VOCABULARY).conditions[0]


def _written(field: Field, operator: Operator, near: Known) -> st.SearchStrategy[str]:
    anything = st.just("*") if operator is Operator.MATCHES else st.nothing()
    match near:
        case None:
            return anything | st.just({Type.TIME: "2026-11-02"}.get(field.type, _plain(field)))
        case bool():
            return anything | st.sampled_from(["true", "false"])
        case int() if field.type is Type.DURATION:
            return anything | st.integers(-1, 1).map(lambda by: f"{max(near + by, 0)}us")
        case int() if field.type is Type.STATUS:
            classes = st.just(f"{near // 100}xx") if operator in EQUALITY else st.nothing()
            return anything | classes | st.integers(-1, 1).map(lambda by: str(near + by))
        case int():
            return anything | st.integers(-1, 1).map(lambda by: str(max(near + by, 0)))
        case Decimal():
            return anything | st.just(f"{near:f}")
        case datetime():
            plain = near.replace(tzinfo=None)
            forms = [plain.date().isoformat(), plain.isoformat("T", "minutes"), plain.isoformat("T", "milliseconds")]
            return anything | st.sampled_from(forms)
        case str():
            quoted = '"{}"'.format(near.replace("\\", "\\\\").replace('"', '\\"'))
            if not near:
                return anything | st.just('"x"')
            half = '"{}"*'.format(near[: len(near) // 2 + 1].replace("\\", "\\\\").replace('"', '\\"'))
            return anything | st.sampled_from([quoted, half, f"{quoted},{half}"])


def _plain(field: Field) -> str:
    return {Type.MONEY: "0.001", Type.DURATION: "1s", Type.STATUS: "200", Type.COUNT: "7"}.get(field.type, "x")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(st.lists(likely(), min_size=1, max_size=3).map(lambda made: Filter(tuple(made))))
async def test_any_filter_finds_the_very_records_it_holds_of(found: Found, filter_: Filter) -> None:
    expected = {r.id for r in found.records if holds(filter_, lambda condition, r=r: value_of(r, condition))}
    assert await found.ids(filter_) == expected


async def test_the_records_differ_enough_that_filters_do_too(found: Found) -> None:
    """The control of the test above: each field has both records that meet a condition and records that do not."""
    for field in VOCABULARY.fields:
        if field.name in ("gateway", "node"):
            continue
        values = {value_of(record, Condition(field, Operator.MATCHES, ())) for record in found.records}
        assert len(values) > 1, field.name


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None)
@given(st.lists(conditions(VOCABULARY), max_size=4).map(lambda made: Filter(tuple(made))))
async def test_no_value_stands_in_the_sql_and_every_filter_is_answered(found: Found, filter_: Filter) -> None:
    parameters = Parameters()
    sql = clickhouse.conditions(filter_, RECORD, parameters)
    other = with_other_values(filter_)
    assert sql == clickhouse.conditions(other, RECORD, Parameters())
    await found.ids(filter_)


async def test_a_name_stands_for_its_ids_and_still_for_itself(found: Found) -> None:
    filter_ = parse("key:ci,nobody,ak_2 -config:x*", VOCABULARY)
    assert named(filter_) == {
        ("api_key", Text("ci")),
        ("api_key", Text("nobody")),
        ("api_key", Text("ak_2")),
        ("config", Prefix("x")),
    }
    resolved = with_ids(filter_, {("api_key", Text("ci")): ["ak_1"], ("config", Prefix("x")): ["cf_1", "cf_9"]})
    assert resolved.conditions[0].values[-1] == Ids(("ak_1",))
    expected = {r.id for r in found.records if r.api_key in ("ak_1", "ak_2") and r.config != "cf_1"}
    assert await found.ids(resolved) == expected
    assert await found.ids(parse("key:nobody", VOCABULARY)) == set()


async def test_each_field_stands_somewhere_and_the_roll_ups_hold_some_of_them(found: Found) -> None:
    names = {field.name for field in FIELDS}
    assert RECORD.keys() == names | {META.name}
    assert SUMS.keys() < names
    assert SPREAD.keys() < names


async def test_an_empty_value_of_metadata_is_found_where_a_dimension_calls_it_unknown(found: Found) -> None:
    unknown = {record.id for record in found.records if not record.metadata.get("team")}
    empty = {record.id for record in found.records if record.metadata.get("team") == ""}
    assert await found.ids(parse("-meta.team:*", VOCABULARY)) == unknown > empty
    assert await found.ids(parse('meta.team=""', VOCABULARY)) == empty > set()
