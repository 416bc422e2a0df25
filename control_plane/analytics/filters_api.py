"""`/api/v1/filter-fields` and `/api/v1/filter-values`: what a filter of records can be completed with."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from control_plane.analytics import dimensions, names, sql
from control_plane.analytics.answer import Analyst, Order
from control_plane.analytics.api import WORKSPACE
from control_plane.analytics.dimensions import DIMENSIONS
from control_plane.analytics.engine import Engine
from control_plane.analytics.measures import MEASURES
from control_plane.analytics.question import Question, Visible
from control_plane.analytics.scope import visible
from control_plane.analytics.times import Range
from control_plane.db.pool import Database
from control_plane.errors import Invalid
from control_plane.filters.fields import META, METADATA, Field, Operator
from control_plane.filters.parse import parse
from control_plane.filters.records import VOCABULARY
from control_plane.filters.tree import Filter, quoted
from control_plane.web.route import Call, Route, View
from shared.clock import Clock

SUGGESTED_MAX = 50
DAYS = 7
"""Of whose records values are suggested."""
KEYS_DAYS = 1
"""The same for keys of metadata, which stand in records alone."""
TEXT_CHARS_MAX = 200

_REQUESTS = MEASURES["requests"]


class FilterField(View):
    name: str
    """As it is printed; `meta.<key>` stands for every key of the metadata."""
    type: str
    """`text`, `word`, `name`, `flag`, `status`, `count`, `money`, `duration` or `time`: docs/analytics.md."""
    operators: tuple[str, ...]
    description: str
    aliases: tuple[str, ...]
    """Other ways to write it."""
    values: tuple[str, ...]
    """Those known beforehand."""
    suggests: bool
    """`filter-values` has values of it."""


class FilterFields(View):
    fields: tuple[FilterField, ...]


class FilterValue(View):
    value: str
    """As it stands in a filter, but for quotes."""
    name: str | None
    """What has this id is called."""
    requests: int
    """That had it lately."""


class FilterValues(View):
    data: tuple[FilterValue, ...]
    """The most frequent ones first."""


class FilterHelp:
    def __init__(self, database: Database, engine: Engine, analyst: Analyst, clock: Clock) -> None:
        self._database = database
        self._engine = engine
        self._analyst = analyst
        self._clock = clock

    def routes(self) -> list[Route]:
        query = (
            ("field", "A field that suggests; `meta` for keys of the metadata, `meta.<key>` for values of one"),
            ("text", "What the value, or the name, begins with"),
            WORKSPACE,
        )
        return [
            Route(
                "GET",
                "/api/v1/filter-fields",
                "analytics.view",
                self.fields,
                "What records can be filtered by",
                answer=FilterFields,
                operation="filter_fields",
                tag="filters",
            ),
            Route(
                "GET",
                "/api/v1/filter-values",
                "analytics.view",
                self.values,
                f"Values of a field in the records of the last {DAYS} days",
                answer=FilterValues,
                query=query,
                operation="filter_values",
                tag="filters",
                abandons=True,
            ),
        ]

    async def fields(self, _: Call) -> FilterFields:
        metadata = replace(META, name=f"{METADATA}.<key>")
        return FilterFields(fields=tuple(map(_field, (*VOCABULARY.fields, metadata))))

    async def values(self, call: Call) -> FilterValues:
        given, organisation = call.query, call.principal.organisation
        name, text = given.get("field", ""), given.get("text", "")
        if len(text) > TEXT_CHARS_MAX:
            raise Invalid(f"at most {TEXT_CHARS_MAX} characters", pointer="text")
        field = VOCABULARY.find(name)
        name = name if field is None else field.name
        known = field is not None and field.name in DIMENSIONS
        if not known and name != METADATA and not name.startswith(f"{METADATA}."):
            raise Invalid(f"no values of {name!r} are suggested", pointer="field")
        filter_ = parse(f"{name}{Operator.EQUALS}{quoted(text)}*" if text and name != METADATA else "", VOCABULARY)
        async with self._database.tenant(organisation) as connection:
            seen = await visible(connection, call.principal, given.get("workspace"))
            found = await names.resolved(connection, organisation, filter_)
        if name == METADATA:
            return FilterValues(data=tuple(await self._keys(seen, text)))
        counted = await self._counted(seen, name, found)
        async with self._database.tenant(organisation) as connection:
            called = (await names.of(connection, organisation, {name: counted.keys()})).get(name, {})
        values = (FilterValue(value=v, name=called.get(v), requests=n) for v, n in counted.items() if v)
        return FilterValues(data=tuple(values))

    async def _counted(self, seen: Visible, name: str, filter_: Filter) -> dict[str, int]:
        question = Question(seen, self._lately(DAYS), (_REQUESTS,), (dimensions.find(name),), filter_)
        answer, _ = await self._analyst.ask(question, Order(_REQUESTS, True, SUGGESTED_MAX), compare=False)
        return {key[0]: int(group.values[_REQUESTS.name] or 0) for key, group in answer.by_key.items()}

    async def _keys(self, seen: Visible, text: str) -> list[FilterValue]:
        asked = sql.metadata_keys(seen, self._lately(KEYS_DAYS), text, SUGGESTED_MAX)
        rows = await self._engine.rows(seen.organisation, *asked)
        return [FilterValue(value=row["k"], name=None, requests=row["requests"]) for row in rows]

    def _lately(self, days: int) -> Range:
        now = datetime.fromtimestamp(self._clock.wall_ms() // 1000, UTC)
        return Range(now - timedelta(days=days), now + timedelta(hours=1))


def _field(field: Field) -> FilterField:
    return FilterField(
        name=field.name,
        type=field.type,
        operators=tuple(field.operators),
        description=field.description,
        aliases=field.aliases,
        values=field.values,
        suggests=field.name in DIMENSIONS or field.name.startswith(METADATA),
    )
