"""A request's fields, read with their place: what is malformed, or cannot be said, is refused by its pointer (pure)."""

from collections.abc import Container, Mapping
from typing import Any, TypeVar

from gateway.providers.base import Untranslatable
from shared.models.config import pointer

T = TypeVar("T")
Path = tuple[str | int, ...]

_NAMED: Mapping[type[Any], str] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    dict: "an object",
    list: "a list",
}


def malformed(path: Path, why: str) -> Untranslatable:
    place = pointer(path)
    return Untranslatable(f"`{place}` {why}", place)


def unsayable(path: Path, why: str = "has no counterpart in a chat") -> Untranslatable:
    place = pointer(path)
    message = f"`{place}` {why}, and the target of this call speaks nothing else; leave it out, or name another target"
    return Untranslatable(message, place, unsupported=True)


def of(kind: type[T], value: Any, path: Path) -> T:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise malformed(path, f"must be {_NAMED[kind]}")
    return value


def given(kind: type[T], holder: Mapping[str, Any], name: str, path: Path) -> T | None:
    """A field that may be absent, or null."""
    value = holder.get(name)
    return None if value is None else of(kind, value, (*path, name))


def needed(kind: type[T], holder: Mapping[str, Any], name: str, path: Path) -> T:
    if holder.get(name) is None:
        raise malformed((*path, name), "is missing")
    return of(kind, holder[name], (*path, name))


def only(holder: Mapping[str, Any], known: Container[str], path: Path) -> None:
    """Refuse the first field that is not known, unless it is null."""
    for name, value in holder.items():
        if name not in known and value is not None:
            raise unsayable((*path, name))


def must_be(holder: Mapping[str, Any], name: str, values: Container[Any], path: Path) -> None:
    """Refuse a field that asks for anything but what happens anyway."""
    value = holder.get(name)
    if value is None:
        return
    if isinstance(value, list | dict) or value not in values:
        raise unsayable((*path, name))
