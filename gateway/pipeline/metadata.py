"""The metadata a caller sends along (pure): read once, for conditions, sticky sessions and records alike."""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from shared.models.record import METADATA_CHARS_MAX


@dataclass(frozen=True, slots=True)
class Metadata:
    values: Mapping[str, str]
    """What is metadata as the original takes it: texts of at most 128 characters."""
    unfit: frozenset[str] = frozenset()
    """Names of what is not."""
    fault: str | None = None
    """Why the header as a whole is none."""


NO_METADATA = Metadata({})


def read_metadata(headers: Mapping[str, str]) -> Metadata:
    """A header that is no JSON object is no metadata, as in the original; only who needs it minds."""
    text = headers.get("x-portkey-metadata") or headers.get("x-gatehouse-metadata")
    if text is None:
        return NO_METADATA
    try:
        parsed = orjson.loads(text)
    except orjson.JSONDecodeError:
        return Metadata({}, fault="it is not JSON")
    if not isinstance(parsed, dict):
        return Metadata({}, fault="it is not a JSON object")
    values = {k: v for k, v in parsed.items() if isinstance(v, str) and len(v) <= METADATA_CHARS_MAX}
    return Metadata(values, frozenset(parsed.keys() - values.keys()) if len(values) < len(parsed) else frozenset())
