"""Records in ClickHouse: pages of them, one by its id, those that have come. Every statement names who may see them."""

import base64
import binascii
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from control_plane.analytics import sql
from control_plane.analytics.engine import Engine, Row
from control_plane.analytics.question import Visible
from control_plane.analytics.times import Range
from control_plane.filters import clickhouse, columns
from control_plane.filters.clickhouse import Parameters
from control_plane.filters.tree import Filter
from control_plane.filters.values import WHOLE_USD
from control_plane.records.view import COLUMNS
from control_plane.web.listing import foreign_cursor

_COLUMNS = ", ".join(f"`{name}`" for name in COLUMNS)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Sort:
    """An order of records. Unknown values come last in either direction."""

    name: str
    descending: bool

    @property
    def expression(self) -> str:
        return SORTS[self.name]


SORTS: Mapping[str, str] = {
    "started_at": "started_at",
    "duration": "duration_us",
    "first_byte": "first_byte_us",
    "overhead": "overhead_us",
    "cost": "cost_usd",
    "tokens": columns.RECORD["tokens"],
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
}
"""SQL by what one can sort by."""
SORT_DEFAULT = "-started_at"
_INTEGER_MAX = 2**63 - 1


async def page(
    engine: Engine,
    visible: Visible,
    filter_: Filter,
    asked: Range | None,
    sort: Sort,
    *,
    limit: int,
    cursor: str | None,
) -> tuple[Sequence[Row], str | None]:
    """The rows and the next page's cursor. Raises Invalid for a cursor of another list or order."""
    parameters = Parameters()
    where = [
        *sql.visible(visible, parameters),
        *_within(asked, parameters),
        *clickhouse.conditions(filter_, columns.RECORD, parameters),
    ]
    if cursor:
        where.append(_after(cursor, sort, parameters))
    direction = "desc" if sort.descending else "asc"
    rows = await engine.rows(
        visible.organisation,
        f"select {_COLUMNS}, {sort.expression} as sort_value from record where {' and '.join(where)}"  # noqa: S608
        f" order by {sort.expression} {direction} nulls last, id {direction} limit {limit + 1}",
        parameters,
    )
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    return rows[:limit], _cursor(sort, last["sort_value"], last["id"])


async def find(engine: Engine, visible: Visible, id_: str) -> Row | None:
    parameters = Parameters()
    where = [*sql.visible(visible, parameters), f"id = {parameters.add(id_, 'String')}"]
    rows = await engine.rows(
        visible.organisation,
        f"select {_COLUMNS} from record where {' and '.join(where)} limit 1",  # noqa: S608
        parameters,
    )
    return rows[0] if rows else None


async def arrived(
    engine: Engine, visible: Visible, filter_: Filter, since: datetime, limit: int
) -> Sequence[tuple[str, datetime]]:
    """Id and time of what came after `since`, in that order."""
    parameters = Parameters()
    where = [
        *sql.visible(visible, parameters),
        f"received_at > {_instant(since, parameters)}",
        *clickhouse.conditions(filter_, columns.RECORD, parameters),
    ]
    rows = await engine.rows(
        visible.organisation,
        f"select id, received_at from record where {' and '.join(where)} order by received_at, id limit {limit}",  # noqa: S608
        parameters,
    )
    return [(row["id"], row["received_at"]) for row in rows]


async def arrived_at(
    engine: Engine, visible: Visible, filter_: Filter, received_ms: Collection[int], limit: int
) -> Sequence[tuple[str, datetime]]:
    """Id and time of what came at one of these times, in that order."""
    parameters = Parameters()
    times = parameters.add(sorted(received_ms), "Array(Int64)")
    where = [
        *sql.visible(visible, parameters),
        f"received_at in (select arrayJoin(arrayMap(ms -> fromUnixTimestamp64Milli(ms, 'UTC'), {times})))",
        *clickhouse.conditions(filter_, columns.RECORD, parameters),
    ]
    rows = await engine.rows(
        visible.organisation,
        f"select id, received_at from record where {' and '.join(where)} order by received_at, id limit {limit}",  # noqa: S608
        parameters,
    )
    return [(row["id"], row["received_at"]) for row in rows]


async def these(engine: Engine, visible: Visible, ids: Collection[str], since: datetime) -> Sequence[Row]:
    """Those with these ids that came after `since`, in the order in which they did."""
    parameters = Parameters()
    where = [
        *sql.visible(visible, parameters),
        f"received_at > {_instant(since, parameters)}",
        f"id in {parameters.add(sorted(ids), 'Array(String)')}",
    ]
    return await engine.rows(
        visible.organisation,
        f"select {_COLUMNS} from record where {' and '.join(where)} order by received_at, id",  # noqa: S608
        parameters,
    )


def _within(asked: Range | None, parameters: Parameters) -> list[str]:
    if asked is None:
        return []
    start, end = _instant(asked.start, parameters), _instant(asked.end, parameters)
    return [f"started_at >= {start}", f"started_at < {end}"]


def _instant(at: datetime, parameters: Parameters) -> str:
    return f"fromUnixTimestamp64Milli({parameters.add((at - _EPOCH) // _MILLISECOND, 'Int64')}, 'UTC')"


def _cursor(sort: Sort, value: Any, id_: str) -> str:
    if isinstance(value, datetime):
        value = (value - _EPOCH) // _MILLISECOND
    plain = value if value is None or isinstance(value, int) else f"{value:f}"
    return base64.urlsafe_b64encode(orjson.dumps([sort.name, plain, id_])).decode().rstrip("=")


def _after(cursor: str, sort: Sort, parameters: Parameters) -> str:
    """What comes behind a row in this order. Raises Invalid."""
    try:
        name, value, id_ = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, TypeError):
        raise foreign_cursor() from None
    if name != sort.name or not isinstance(id_, str) or "\0" in id_:
        raise foreign_cursor()
    beyond = "<" if sort.descending else ">"
    id_beyond = f"id {beyond} {parameters.add(id_, 'String')}"
    expression = sort.expression
    if value is None:
        return f"({expression} is null and {id_beyond})"
    place = _place(sort, value, parameters)
    unknown = "" if sort.name == "started_at" else f" or {expression} is null"
    return f"({expression} {beyond} {place} or ({expression} = {place} and {id_beyond}){unknown})"


def _place(sort: Sort, value: object, parameters: Parameters) -> str:
    """The value a row was sorted by. Raises Invalid."""
    if sort.name == "cost":
        if not isinstance(value, str) or not WHOLE_USD.fullmatch(value):
            raise foreign_cursor()
        return parameters.add(value, "Decimal(38, 12)")
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _INTEGER_MAX:
        raise foreign_cursor()
    if sort.name == "started_at":
        return f"fromUnixTimestamp64Milli({parameters.add(value, 'Int64')}, 'UTC')"
    return parameters.add(value, "UInt64")
