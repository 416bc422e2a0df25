"""The queries of conditional routing (pure): checked where a config is read, then asked of a request.

Source: reference/portkey.md 2.4. Everything in a query must hold. What the original leaves out counts here: conditions
beside a `$regex`, conditions behind an `$and` or `$or`, and keys deeper than two names.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import re2

from shared.field_path import FieldPath, parse_path

DEPTH_MAX = 16
COMPARISONS_MAX = 200
"""Comparisons in one query."""
PATTERN_CHARS_MAX = 1_000
PATTERN_MEMORY_BYTES_MAX = 1024 * 1024
SEARCHED_CHARS_MAX = 16_384
"""A pattern looks at the first so many characters of a value."""

PATHNAME = "url.pathname"

Path = tuple[str | int, ...]
Fault = tuple[Path, str]

_NUMBER = re.compile(r"\s*([+-]?(?:Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?))")


@dataclass(frozen=True, slots=True)
class Key:
    """What a condition looks at."""

    source: str
    """`metadata`, `params`, `url`, or `headers`."""
    path: FieldPath
    """Of metadata one name, dots and all: it is flat."""

    def __str__(self) -> str:
        first, *rest = self.path
        steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in rest)
        return f"{self.source}.{first}{steps}"


class Asked(Protocol):
    """What a request answers to a query."""

    def value(self, key: Key) -> Any:
        """A JSON value, or MISSING."""
        ...


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison."""

    key: Key
    operator: str
    operand: Any
    holds: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class AllOf:
    parts: tuple["Query", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple["Query", ...]


Query = Comparison | AllOf | AnyOf


class QueryFaults(ValueError):
    """A query that cannot be asked: each fault with its place in it."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self.faults = faults
        super().__init__("; ".join(message for _, message in faults))


def holds(query: Query, asked: Asked) -> bool:
    if isinstance(query, Comparison):
        return query.holds(asked.value(query.key))
    if isinstance(query, AllOf):
        return all(holds(part, asked) for part in query.parts)
    return any(holds(part, asked) for part in query.parts)


def comparisons_of(query: Query) -> Iterator[Comparison]:
    """Every comparison, in order."""
    if isinstance(query, Comparison):
        yield query
    else:
        for part in query.parts:
            yield from comparisons_of(part)


def parse_key(text: str, *, headers: bool = False) -> Key:
    """`headers`: those of the request may be named too. Raises ValueError with a sentence that names what is wrong."""
    if text == PATHNAME:
        return Key("url", ("pathname",))
    source, _, name = text.partition(".")
    if name and source == "params":
        return Key(source, parse_path(name))
    if name and source == "headers" and headers:
        return Key(source, (name.lower(),))
    if not name or source != "metadata":
        raise ValueError(
            f"{text!r} is none of `metadata.name`, `params.name`, `url.pathname`" + ", `headers.name`" * headers
        )
    return Key(source, (name,))


def parse_query(data: Any) -> Query:
    """Raises QueryFaults naming every fault with its place; never a fault of ours, whatever `data` is."""
    reader = _Reader()
    query = reader.query(data, (), 0)
    if reader.faults:
        raise QueryFaults(tuple(reader.faults))
    return query


class _Reader:
    """Reads one query and gathers what is wrong with it."""

    __slots__ = ("_count", "faults")

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._count = 0

    def query(self, data: Any, path: Path, depth: int) -> Query:
        if depth > DEPTH_MAX:
            self._fault(path, f"a query is nested more than {DEPTH_MAX} deep")
        elif not isinstance(data, dict):
            self._fault(path, "a query is a JSON object")
        else:
            parts = tuple(part for key, value in data.items() for part in self._parts(key, value, (*path, key), depth))
            return parts[0] if len(parts) == 1 else AllOf(parts)
        return AllOf(())

    def _parts(self, key: str, value: Any, path: Path, depth: int) -> Iterator[Query]:
        if key in ("$and", "$or"):
            if not isinstance(value, list):
                self._fault(path, f"`{key}` takes a list of queries")
                return
            parts = tuple(self.query(part, (*path, index), depth + 1) for index, part in enumerate(value))
            yield AllOf(parts) if key == "$and" else AnyOf(parts)
        elif key.startswith("$"):
            self._unsupported(path, key)
        else:
            yield from self._comparisons(key, value, path)

    def _comparisons(self, text: str, value: Any, path: Path) -> Iterator[Query]:
        try:
            key = parse_key(text)
        except ValueError as error:
            self._fault(path, str(error))
            return
        comparisons = value if isinstance(value, dict) else {"$eq": value}
        for operator, operand in comparisons.items():
            place = (*path, operator) if isinstance(value, dict) else path
            make = _OPERATORS.get(operator)
            if make is None:
                self._unsupported(place, operator)
                continue
            self._count += 1
            if self._count == COMPARISONS_MAX + 1:
                self._fault(place, f"a query compares at most {COMPARISONS_MAX} times")
            if self._count > COMPARISONS_MAX:
                return
            try:
                yield Comparison(key, operator, operand, make(operand))
            except ValueError as error:
                self._fault(place, str(error))

    def _unsupported(self, path: Path, operator: str) -> None:
        known = " ".join(("$and", "$or", *_OPERATORS))
        self._fault(path, f"Unsupported operator used in the query router: {operator} (there are: {known})")

    def _fault(self, path: Path, message: str) -> None:
        self.faults.append((path, message))


def _same(value: Any, other: Any) -> bool:
    """Strict equality: nothing is turned into another type, and a list or an object is the same as none."""
    if isinstance(value, bool) or isinstance(other, bool):
        return value is other
    if isinstance(value, int | float) and isinstance(other, int | float):
        return value == other
    if isinstance(value, str) and isinstance(other, str):
        return value == other
    return value is None and other is None


def _number(value: Any) -> float:
    """As JavaScript's parseFloat reads it: a number, or the number a text begins with; else not a number."""
    if isinstance(value, str):
        found = _NUMBER.match(value)
        return float(found[1]) if found is not None else math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _scalar(operand: Any) -> Any:
    if isinstance(operand, dict | list):
        raise ValueError(  # noqa: TRY004 - a fault of the query's text
            "compare with a text, a number, true, false or null; `$in` takes a list"
        )
    return operand


def _equal(operand: Any) -> Callable[[Any], bool]:
    operand = _scalar(operand)
    return lambda value: _same(value, operand)


def _unequal(operand: Any) -> Callable[[Any], bool]:
    operand = _scalar(operand)
    return lambda value: not _same(value, operand)


def _among(operand: Any) -> Callable[[Any], bool]:
    if not isinstance(operand, list):
        raise ValueError("a list is wanted here")  # noqa: TRY004 - a fault of the query's text
    for member in operand:
        _scalar(member)
    return lambda value: any(_same(value, member) for member in operand)


def _not_among(operand: Any) -> Callable[[Any], bool]:
    among = _among(operand)
    return lambda value: not among(value)


def _ordered(compare: Callable[[float, float], bool]) -> Callable[[Any], Callable[[Any], bool]]:
    def make(operand: Any) -> Callable[[Any], bool]:
        limit = _number(operand)
        if math.isnan(limit):
            raise ValueError("a number is wanted here, or a text that begins with one")
        return lambda value: compare(_number(value), limit)

    return make


def _matching(operand: Any) -> Callable[[Any], bool]:
    if not isinstance(operand, str) or len(operand) > PATTERN_CHARS_MAX:
        raise ValueError(f"a pattern of at most {PATTERN_CHARS_MAX} characters is wanted here")
    options = re2.Options()
    options.log_errors = False  # Else the pattern, which may hold anything, is written to our logs.
    options.max_mem = PATTERN_MEMORY_BYTES_MAX
    try:
        pattern = re2.compile(operand, options)
    except (re2.error, UnicodeError):
        raise ValueError(
            "no pattern that runs in linear time (RE2): it is malformed, or looks around or back, or repeats too often"
        ) from None
    return lambda value: isinstance(value, str) and pattern.search(value[:SEARCHED_CHARS_MAX]) is not None


_OPERATORS: Mapping[str, Callable[[Any], Callable[[Any], bool]]] = {
    "$eq": _equal,
    "$ne": _unequal,
    "$gt": _ordered(lambda value, limit: value > limit),
    "$gte": _ordered(lambda value, limit: value >= limit),
    "$lt": _ordered(lambda value, limit: value < limit),
    "$lte": _ordered(lambda value, limit: value <= limit),
    "$in": _among,
    "$nin": _not_among,
    "$regex": _matching,
}

_SCALAR = {"type": ["string", "number", "boolean", "null"]}
_NUMBER_SCHEMA = {"type": ["number", "string"]}
_LIST = {"type": "array", "items": _SCALAR}
_QUERIES = {"type": "array", "items": {"type": "object"}}
QUERY_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"$and": _QUERIES, "$or": _QUERIES},
    "patternProperties": {
        r"^(metadata|params)\..+$|^url\.pathname$": {
            "anyOf": [
                _SCALAR,
                {
                    "type": "object",
                    "properties": {
                        **dict.fromkeys(("$eq", "$ne"), _SCALAR),
                        **dict.fromkeys(("$gt", "$gte", "$lt", "$lte"), _NUMBER_SCHEMA),
                        **dict.fromkeys(("$in", "$nin"), _LIST),
                        "$regex": {"type": "string", "maxLength": PATTERN_CHARS_MAX},
                    },
                    "additionalProperties": False,
                },
            ]
        }
    },
    "additionalProperties": False,
}
"""JSON schema of a query, for editors. What it lets pass is checked by `parse_query` all the same."""
