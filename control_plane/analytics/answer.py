"""Questions to answers: first the keys with the most, then each family of measures of these, of the rest and of all."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from control_plane.analytics import sql
from control_plane.analytics.engine import Engine, Row
from control_plane.analytics.measures import MEASURES, Family, Measure, Unit, middle_us
from control_plane.analytics.question import Key, Question
from control_plane.analytics.sources import Kept, kept_since, ms
from control_plane.telemetry.retention import Retention
from shared.clock import Clock

Value = int | float | str | None
"""Money is a decimal string, a time one of ISO 8601."""
Values = dict[str, Value]

_MARGIN = timedelta(hours=1)
_EMPTY: Mapping[Unit, Value] = {Unit.COUNT: 0, Unit.TOKENS: 0, Unit.BYTES: 0, Unit.USD: "0"}
"""What is measured where nothing happened; the others are unknown there."""


@dataclass(frozen=True, slots=True)
class Order:
    """Which keys are shown: the first `limit` of them."""

    measure: Measure
    descending: bool
    limit: int


@dataclass(slots=True)
class Group:
    """What was measured of one key, of all others, or of everything."""

    values: Values
    points: dict[str, list[Value]] = field(default_factory=dict)
    """By measure, one value for each step of the question."""

    @classmethod
    def empty(cls, question: Question) -> "Group":
        """Where nothing happened."""
        values = {measure.name: _EMPTY.get(measure.unit) for measure in question.measures}
        return cls(values, {name: [value] * len(question.points) for name, value in values.items() if question.points})


@dataclass(slots=True)
class Answer:
    question: Question
    totals: Group
    by_key: dict[Key, Group]
    """In their order."""
    other: Group | None
    """None: there are no others."""
    kept_since: dict[Family, datetime] = field(default_factory=dict)
    """What lies before is kept no more, and in no value. Of a family that is not in it all is kept."""

    def without_cut(self, *, any_of_it: bool = False) -> None:
        """Nobody knows what a step came to of which something is kept no more. Nor a time of which all is gone;
        `any_of_it`: or anything.
        """
        asked = self.question.range
        for measure, since in self._cut():
            for group in self._groups():
                if any_of_it or since >= asked.end:
                    group.values[measure.name] = None
                for place, point in enumerate(self.question.points):
                    if max(point, asked.start) < since:
                        group.points[measure.name][place] = None

    def _cut(self) -> list[tuple[Measure, datetime]]:
        since = self.kept_since
        return [(measure, since[measure.family]) for measure in self.question.measures if measure.family in since]

    def _groups(self) -> list[Group]:
        return [self.totals, *self.by_key.values(), *([] if self.other is None else [self.other])]


def all_kept_since(*answers: Answer | None) -> datetime | None:
    """From when on all of these are of what is kept; None: they were asked for nothing else."""
    return max((since for answer in answers if answer for since in answer.kept_since.values()), default=None)


class Analyst:
    def __init__(self, engine: Engine, clock: Clock, retention: Retention) -> None:
        self._engine = engine
        self._clock = clock
        self._retention = retention

    async def ask(self, question: Question, order: Order, *, compare: bool) -> tuple[Answer, Answer | None]:
        """The second answer is the same question about the time before, where that is wanted."""
        shown = await self._shown(question, order) if question.dimensions else []
        if not compare:
            return await self._answer(question, shown), None
        before = question.range.previous
        earlier = tuple(point - question.range.length for point in question.points)
        asked = replace(question, range=before, points=earlier)
        now, previous = await asyncio.gather(self._answer(question, shown), self._answer(asked, shown))
        return now, previous

    async def page(self, question: Question, most_of: Measure, offset: int, limit: int) -> tuple[int, Answer]:
        """How many keys there are, and an answer that shows those from `offset` on, the ones with the most first."""
        family = most_of.family
        pieces = sql.pieces(question, family, self._kept())
        counted = self._engine.rows(question.visible.organisation, *sql.keys(question, pieces))
        order = Order(most_of, True, offset + limit)
        rows, found = await asyncio.gather(counted, self._top(question, order))
        shown = found[offset : offset + limit]
        return rows[0]["keys"], await self._answer(question, shown)

    async def _shown(self, question: Question, order: Order) -> list[Key]:
        found = await self._top(question, order)
        if order.measure.family is Family.SPREAD and len(found) < order.limit:
            # Of some keys nobody knows how long they took: they come last.
            rest = await self._top(question, replace(order, measure=MEASURES["requests"], descending=True))
            found += [key for key in rest if key not in found]
        return found[: order.limit]

    async def _top(self, question: Question, order: Order) -> list[Key]:
        pieces = sql.pieces(question, order.measure.family, self._kept())
        asked = sql.top(question, order.measure, pieces, order.limit, descending=order.descending)
        width = range(len(question.dimensions))
        rows = await self._engine.rows(question.visible.organisation, *asked)
        return [tuple(row[f"k{number}"] for number in width) for row in rows]

    async def _answer(self, question: Question, shown: Sequence[Key]) -> Answer:
        answer = Answer(question, Group.empty(question), {key: Group.empty(question) for key in shown}, None)
        families, kept = question.families, self._kept()
        for family in families:
            since = kept_since(sql.pieces(question, family, kept), kept)
            if since is not None:
                answer.kept_since[family] = since
        found = await asyncio.gather(*(self._rows(question, family, shown) for family in families))
        places = {ms(point): place for place, point in enumerate(question.points)}
        for family, rows in zip(families, found, strict=True):
            for row in rows:
                _take(question, family, row, places, answer)
        return answer

    async def _rows(self, question: Question, family: Family, shown: Sequence[Key]) -> Sequence[Row]:
        pieces = sql.pieces(question, family, self._kept())
        return await self._engine.rows(question.visible.organisation, *sql.totals(question, family, pieces, shown))

    def _kept(self) -> Kept:
        now, of = datetime.fromtimestamp(self._clock.wall_ms() / 1000, UTC), self._retention
        return Kept(*(now - timedelta(days=days) + _MARGIN for days in (of.record_days, of.minute_days, of.hour_days)))


def _take(question: Question, family: Family, row: Row, places: Mapping[int, int], answer: Answer) -> None:
    """Put a row's values where they belong."""
    group = answer.totals
    if question.dimensions and not row["all_keys"]:
        if row["is_shown"]:
            key = tuple(row[f"s{number}"] for number in range(len(question.dimensions)))
            group = answer.by_key[key]
        else:
            group = answer.other = answer.other or Group.empty(question)
    values = _values(question.of(family), family, row)
    if not question.points or row["all_points"]:
        group.values |= values
        return
    for name, value in values.items():
        group.points[name][places[row["t"]]] = value


def _values(measures: Sequence[Measure], family: Family, row: Row) -> Values:
    if family is not Family.SPREAD:
        return {measure.name: _told(measure.unit, row[measure.name]) for measure in measures}
    quantiles = dict(zip(map(str, sql.QUANTILES), row["quantiles"], strict=True))
    return {m.name: middle_us(quantiles[m.sql]) for m in measures if m.spread == sql.SPREADS[row["c_measure"]]}


def _told(unit: Unit, value: Any) -> Value:
    match value:
        case None:
            return None
        case Decimal():
            return f"{value.normalize():f}"
        case datetime():
            return f"{value.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
        case float() if unit is Unit.MICROSECONDS:
            return round(value)
        case int() | float():
            return value
    raise AssertionError(f"{type(value)} is no {unit}")
