"""The typed tree of a filter. It prints as it may be written: `parse(str(tree))` is the same tree (pure).

Every condition must hold. One with several values holds if any of them does; a negated one holds where it does not,
which is also where the field is unknown.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from control_plane.filters.fields import Field, Operator

DAY, MINUTE, SECOND = timedelta(days=1), timedelta(minutes=1), timedelta(seconds=1)
INSTANT = timedelta(microseconds=1)

_UNITS = (("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1))


@dataclass(frozen=True, slots=True)
class Text:
    text: str

    def __str__(self) -> str:
        return written(self.text)


@dataclass(frozen=True, slots=True)
class Prefix:
    """Whatever begins with `text`, which is not empty."""

    text: str

    def __str__(self) -> str:
        return f"{written(self.text)}*"


@dataclass(frozen=True, slots=True)
class Anything:
    """Known at all."""

    def __str__(self) -> str:
        return "*"


@dataclass(frozen=True, slots=True)
class Flag:
    on: bool

    def __str__(self) -> str:
        return "true" if self.on else "false"


@dataclass(frozen=True, slots=True)
class Number:
    number: int

    def __str__(self) -> str:
        return str(self.number)


@dataclass(frozen=True, slots=True)
class StatusClass:
    """`4xx`: 400 to 499."""

    hundreds: int

    def __str__(self) -> str:
        return f"{self.hundreds}xx"


@dataclass(frozen=True, slots=True)
class Money:
    usd: Decimal

    def __str__(self) -> str:
        return f"{self.usd.normalize():f}"


@dataclass(frozen=True, slots=True)
class Duration:
    us: int

    def __str__(self) -> str:
        unit, size = next((unit, size) for unit, size in _UNITS if self.us % size == 0)
        return f"{self.us // size}{unit}" if self.us else "0s"


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant, and how much time its writing names: `2026-11-01` is a whole day, from its first instant on."""

    at: datetime
    """In UTC."""
    span: timedelta

    @property
    def end(self) -> datetime:
        """The first instant after it."""
        return self.at + self.span

    def bounds(self, operator: Operator) -> tuple[tuple[str, datetime], ...]:
        """What an instant has to be for the operator to hold: the sign, and what stands behind it; all of them.

        What is later than a day begins after it has ended; what is at least a day begins with it.
        """
        match operator:
            case Operator.MORE:
                return ((">=", self.end),)
            case Operator.AT_LEAST:
                return ((">=", self.at),)
            case Operator.LESS:
                return (("<", self.at),)
            case Operator.AT_MOST:
                return (("<", self.end),)
        return ((">=", self.at), ("<", self.end))

    def __str__(self) -> str:
        plain = self.at.replace(tzinfo=None)
        if self.span == DAY:
            return plain.date().isoformat()
        if self.span == MINUTE:
            return plain.isoformat(timespec="minutes") + "Z"
        return plain.isoformat(timespec="seconds" if self.span == SECOND else "microseconds") + "Z"


@dataclass(frozen=True, slots=True)
class Ids:
    """What names were found to stand for (`names.py`). It is nothing that can be written: it prints as its ids."""

    ids: tuple[str, ...]

    def __str__(self) -> str:
        return ",".join(map(written, self.ids))


Value = Text | Prefix | Anything | Flag | Number | StatusClass | Money | Duration | Moment | Ids


@dataclass(frozen=True, slots=True)
class Condition:
    field: Field
    operator: Operator
    values: tuple[Value, ...]
    """One; with `:`, `=` and `!=` also more."""
    negated: bool = False
    key: str | None = None
    """Of the metadata, where the field is `meta`."""

    def __str__(self) -> str:
        name = self.field.name if self.key is None else f"{self.field.name}.{written_key(self.key)}"
        values = ",".join(map(str, self.values))
        return f"{'-' if self.negated else ''}{name}{self.operator}{values}"


@dataclass(frozen=True, slots=True)
class Filter:
    conditions: tuple[Condition, ...] = ()

    def __str__(self) -> str:
        return " ".join(map(str, self.conditions))

    def __bool__(self) -> bool:
        return bool(self.conditions)


def written(text: str) -> str:
    """`text` as a value stands in a filter: as it is where nothing in it means something else, else in quotes."""
    return text if text and not any(c.isspace() or c in '",*' for c in text) else quoted(text)


def written_key(key: str) -> str:
    """The same for a key of the metadata."""
    return key if key and not any(c.isspace() or c in '",:=<>!' for c in key) else quoted(key)


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
