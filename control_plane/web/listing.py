"""The one shape of every list: filter, sort, cursor, limit; a page with the next cursor and no total to count.

`?filter=name:team slug:api created_at>2026-11-01&sort=-created_at&limit=50&cursor=…`. The filter's language is that of
`control_plane/filters`. A cursor is the last row's sort value and id, so rows that come or go between two pages neither
repeat nor hide others.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

import asyncpg
import orjson
from pydantic import BaseModel, ConfigDict

from control_plane.errors import Invalid
from control_plane.filters import parse, postgres
from control_plane.filters.fields import Field, Type, Vocabulary

LIMIT_MAX = 200
LIMIT_DEFAULT = 50
PAGE_BYTES_MAX = 8 * 1024 * 1024
"""Of a page's rows as text; the one that goes beyond it is its last. 200 configs of a megabyte take a gigabyte."""
_DIGITS_MAX = 6
"""Of a number, zeros before it among them: Python does not read thousands of them."""

T = TypeVar("T", bound=BaseModel)

FILTER = "Conditions `field:value`, all of which must hold; `-field:value` must not; text matches by part"

QUERY = (
    ("filter", FILTER),
    ("sort", "A field, `-field` for descending"),
    ("limit", f"Rows on a page, 1 to {LIMIT_MAX}; {LIMIT_DEFAULT} by default"),
    ("cursor", "`next_cursor` of the page before"),
)


class Page(BaseModel, Generic[T]):
    model_config = ConfigDict(frozen=True)

    data: tuple[T, ...]
    next_cursor: str | None
    """None: this was the last page."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What may be asked of one list. Field names are the API's; expressions are ours and never a caller's text."""

    table: str
    """Table or join, with the alias the expressions use."""
    columns: str
    text: Mapping[str, str]
    """Fields that match by part."""
    exact: Mapping[str, str]
    """Fields that match whole, compared as text."""
    sort: Mapping[str, str]
    """Fields one can sort by; not null, and of type text or timestamptz."""
    id: str = "id"
    default_sort: str = "-created_at"
    time: Mapping[str, str] = field(default_factory=dict)
    """Fields that are timestamptz."""
    flag: Mapping[str, str] = field(default_factory=dict)
    """Fields that are boolean."""
    number: Mapping[str, str] = field(default_factory=dict)
    """Fields that are whole numbers."""

    @property
    def vocabulary(self) -> Vocabulary:
        types = ((self.text, Type.TEXT), (self.exact, Type.WORD), (self.time, Type.TIME), (self.flag, Type.FLAG))
        typed = [Field(name, type_) for names, type_ in (*types, (self.number, Type.COUNT)) for name in names]
        return Vocabulary(typed)

    @property
    def expressions(self) -> dict[str, str]:
        """Of every field to filter by."""
        return {**self.text, **self.exact, **self.time, **self.flag, **self.number}

    @property
    def query(self) -> tuple[tuple[str, str], ...]:
        """The query parameters, as the API describes them for this list."""
        fields = ", ".join(f"`{f.name}` ({f.type})" for f in self.vocabulary.fields)
        sort = f"{QUERY[1][1]}: {', '.join(f'`{name}`' for name in self.sort)}; `{self.default_sort}` by default"
        return (
            ("filter", f"{FILTER}. Fields: {fields}. docs/analytics.md has the language"),
            ("sort", sort),
            *QUERY[2:],
        )

    async def page(
        self, connection: asyncpg.Connection, query: Mapping[str, str], where: str, values: Sequence[Any]
    ) -> tuple[list[asyncpg.Record], str | None]:
        """The rows and the next cursor. `where` is ours, its parameters `$1…` are `values`. Raises Invalid."""
        parameters = list(values)
        conditions = [where, *self._filters(query.get("filter", ""), parameters)]
        name, descending = self._sort(query.get("sort", self.default_sort))
        expression = self.sort[name]
        if cursor := query.get("cursor"):
            conditions.append(_after(cursor, name, expression, self.id, descending, parameters))
        limit = page_limit(query.get("limit"))
        order = "desc" if descending else "asc"
        sorted_ = f"order by sort_value {order}, sort_id {order}"
        sql = (
            f"with page as materialized (select {self.columns}, {expression} as sort_value, {self.id} as sort_id"  # noqa: S608
            f" from {self.table} where {' and '.join(conditions)}"
            f" order by {expression} {order}, {self.id} {order} limit {limit + 1})"
            " select * from (select page.*, count(*) over () as sort_count, sum(octet_length(page::text))"
            f" over ({sorted_} rows between unbounded preceding and 1 preceding) as sort_bytes from page) as sized"
            f" where coalesce(sort_bytes, 0) < {PAGE_BYTES_MAX} {sorted_}"
        )
        try:
            rows = await connection.fetch(sql, *parameters)
        except asyncpg.DataError:
            raise foreign_cursor() from None  # Only a cursor's value can be of another type than its column.
        page = rows[:limit]
        if not page or page[0]["sort_count"] == len(page):
            return page, None
        return page, _cursor(name, page[-1]["sort_value"], page[-1]["sort_id"])

    def _filters(self, text: str, parameters: list[Any]) -> list[str]:
        return postgres.conditions(parse.parse(text, self.vocabulary), self.expressions, parameters)

    def _sort(self, text: str) -> tuple[str, bool]:
        name = text.removeprefix("-")
        if name not in self.sort:
            raise Invalid(f"no field {name!r} to sort by; there are {', '.join(sorted(self.sort))}", pointer="sort")
        return name, text.startswith("-")


def page_limit(text: str | None) -> int:
    return LIMIT_DEFAULT if text is None else number(text, 1, LIMIT_MAX, "limit")


def number(text: str, least: int, most: int, where: str) -> int:
    """A whole number of the query parameter `where`. Raises Invalid."""
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX and least <= int(text) <= most):
        raise Invalid(f"a number from {least} to {most}", pointer=where)
    return int(text)


def _cursor(name: str, value: object, id_: str) -> str:
    moment = isinstance(value, datetime)
    plain = value.isoformat() if isinstance(value, datetime) else value
    return base64.urlsafe_b64encode(orjson.dumps([name, moment, plain, id_])).decode().rstrip("=")


def _after(
    cursor: str,
    name: str,
    expression: str,
    id_column: str,
    descending: bool,
    parameters: list[Any],
) -> str:
    try:
        sorted_by, moment, value, id_ = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if moment:
            value = datetime.fromisoformat(value)
        fits = sorted_by == name and isinstance(value, str | datetime) and isinstance(id_, str) and "\0" not in id_
    except (binascii.Error, ValueError, TypeError):
        fits = False
    if not fits:
        raise foreign_cursor()
    parameters += [value, id_]
    sign = "<" if descending else ">"
    return f"({expression}, {id_column}) {sign} (${len(parameters) - 1}, ${len(parameters)})"


def foreign_cursor() -> Invalid:
    return Invalid("this cursor is not from a page of this list in this order", pointer="cursor")
