"""What one can filter by: fields as data, the types they have, and which operators a type takes (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum


class Operator(StrEnum):
    MATCHES = ":"
    EQUALS = "="
    DIFFERS = "!="
    MORE = ">"
    AT_LEAST = ">="
    LESS = "<"
    AT_MOST = "<="


class Type(StrEnum):
    TEXT = "text"
    """`:` finds a part of it, in any case; `=` takes it whole."""
    WORD = "word"
    """Taken whole."""
    NAME = "name"
    """Of something that stands in the database: its id, its slug or its name finds it."""
    FLAG = "flag"
    STATUS = "status"
    COUNT = "count"
    MONEY = "money"
    DURATION = "duration"
    TIME = "time"


EQUALITY = (Operator.MATCHES, Operator.EQUALS, Operator.DIFFERS)
_ORDER = (*EQUALITY, Operator.MORE, Operator.AT_LEAST, Operator.LESS, Operator.AT_MOST)

OPERATORS: Mapping[Type, tuple[Operator, ...]] = {
    Type.TEXT: EQUALITY,
    Type.WORD: EQUALITY,
    Type.NAME: EQUALITY,
    Type.FLAG: EQUALITY,
    Type.STATUS: _ORDER,
    Type.COUNT: _ORDER,
    Type.MONEY: _ORDER,
    Type.DURATION: _ORDER,
    Type.TIME: _ORDER,
}

METADATA = "meta"
"""`meta.team` is the value of the metadata key `team`."""


@dataclass(frozen=True, slots=True)
class Field:
    """`name` is how it is printed; `aliases` are how people write it too."""

    name: str
    type: Type
    description: str = ""
    aliases: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    """Those that are known beforehand, to complete from; others may come."""

    @property
    def operators(self) -> tuple[Operator, ...]:
        return OPERATORS[self.type]


META = Field(METADATA, Type.TEXT, "Value of a metadata key that the workspace declared shareable: `meta.team=search`")


class Vocabulary:
    """The fields of one list. Raises ValueError for two that share a name."""

    __slots__ = ("_by_name", "fields", "metadata")

    def __init__(self, fields: Sequence[Field], *, metadata: bool = False) -> None:
        self.fields = tuple(fields)
        self.metadata = metadata
        self._by_name: dict[str, Field] = {}
        for field in self.fields:
            for name in (field.name, *field.aliases):
                if name in self._by_name:
                    raise ValueError(f"two fields are called {name!r}")
                self._by_name[name] = field

    def find(self, name: str) -> Field | None:
        return self._by_name.get(name)

    def like(self, name: str) -> str | None:
        """The field most probably meant."""
        close = get_close_matches(name[:50].lower(), self._by_name, n=1)
        return close[0] if close else None

    def told(self) -> str:
        """The fields there are, for people."""
        names = sorted(field.name for field in self.fields)
        return ", ".join([*names, f"{METADATA}.<key>"] if self.metadata else names)
