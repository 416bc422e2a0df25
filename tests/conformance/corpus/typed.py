"""Requests held against the types of a provider's official SDK."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter


def require(adapter: TypeAdapter[Any], sent: dict[str, Any]) -> None:
    """It is of the type, and has no field that the type does not know: what is unknown does not come back."""
    known = _plain(adapter.validate_python(sent))
    assert known == sent


def nothing_extra(value: Any) -> None:
    """The same of a type that keeps what it does not know."""
    if isinstance(value, BaseModel):
        assert not value.model_extra, f"{type(value).__name__} has no field {', '.join(value.model_extra)}"
        for name in type(value).model_fields:
            nothing_extra(getattr(value, name))
    elif isinstance(value, list):
        for inner in value:
            nothing_extra(inner)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [_plain(inner) for inner in value]
    return value
