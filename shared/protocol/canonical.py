"""Canonical JSON: one value, one sequence of bytes (GHS/1 2)."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import orjson

Json: TypeAlias = bool | int | str | Sequence["Json"] | Mapping[str, "Json"] | None

INTEGER_MAX = 2**53 - 1
DEPTH_MAX = 64
_TEXT = frozenset({str})
_PLAIN = frozenset({str, bool, type(None)})


class CanonicalError(ValueError):
    """A value that has no canonical form, or bytes that are not one."""


def encode(value: Json) -> bytes:
    """The canonical bytes: UTF-8, keys sorted by their UTF-8 bytes, no whitespace, shortest escapes (GHS/1 2.1).

    Raises CanonicalError for floats, integers beyond ±(2^53 - 1), lone surrogates, keys that are no strings, types
    JSON does not have, and nesting beyond DEPTH_MAX.
    """
    _check(value)
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise CanonicalError(str(error)) from None


def decode(data: bytes) -> Any:
    """The value of canonical bytes. Raises CanonicalError for anything `encode` would have written otherwise (2.2)."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise CanonicalError(f"not JSON: {error}") from None
    if encode(value) != data:
        raise CanonicalError("JSON, but not in its canonical form")
    return value


def _check(value: Json) -> None:
    layer: list[Any] = [value]
    depth = 0
    while layer:
        below: list[Any] = []
        for item in layer:
            kind = type(item)
            if kind in _PLAIN:
                continue
            if kind is int:
                if abs(item) > INTEGER_MAX:
                    raise CanonicalError("an integer is beyond 2^53 - 1")
            elif depth >= DEPTH_MAX:
                raise CanonicalError(f"nested deeper than {DEPTH_MAX}")
            elif kind is dict:
                if not _TEXT.issuperset(map(type, item)):
                    raise CanonicalError("a key is a string")
                below += item.values()
            elif kind in (list, tuple):
                below += item
            else:
                raise CanonicalError(f"{kind.__name__} has no canonical form")
        layer = below
        depth += 1
