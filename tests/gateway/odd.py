"""JSON with something odd at one place after the other: what a host may answer that means no good."""

from collections.abc import Iterator
from typing import Any

import orjson

TOO_DEEP = {"400": b'{"a":' * 400 + b"1" + b"}" * 400, "1000": b"[" * 1_000 + b"]" * 1_000}
"""Deeper than orjson writes, though it reads it; and than Python writes."""
_MARK = "§odd"


def everywhere(value: Any, odd: bytes) -> Iterator[bytes]:
    """`odd` is JSON, and may be more than Python can write."""
    for path in _places(value):
        yield orjson.dumps(_with(value, path)).replace(b'"%b"' % _MARK.encode(), odd)


def _places(value: Any) -> Iterator[tuple[Any, ...]]:
    yield ()
    if isinstance(value, dict | list):
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from ((step, *path) for path in _places(inner))


def _with(value: Any, path: tuple[Any, ...]) -> Any:
    if not path:
        return _MARK
    made = value.copy()
    made[path[0]] = _with(value[path[0]], path[1:])
    return made
