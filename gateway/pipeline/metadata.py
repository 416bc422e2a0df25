"""What a caller sends along to find its requests by (pure): metadata, for conditions, sticky sessions and records
alike, and the ids of its trace."""

import re
from collections.abc import Mapping

import msgspec
import orjson

from shared.models.record import METADATA_CHARS_MAX, TRACE_PATTERN

_TRACE = re.compile(TRACE_PATTERN)
_ECHO_CHARS_MAX = 128


class Metadata(msgspec.Struct, frozen=True):
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


class Labels(msgspec.Struct, frozen=True):
    metadata: Metadata
    echo: str | None
    """The trace's id, where it is fit to be said again in an answer's head."""
    trace_id: str | None
    """As records take it; a text of the caller's own is none."""
    span_id: str | None


def read_labels(headers: Mapping[str, str]) -> Labels:
    trace = headers.get("x-portkey-trace-id") or headers.get("x-gatehouse-trace-id")
    span = headers.get("x-portkey-span-id") or headers.get("x-gatehouse-span-id")
    fit = trace is not None and len(trace) <= _ECHO_CHARS_MAX and trace.isascii() and trace.isprintable()
    return Labels(read_metadata(headers), trace if fit else None, _id(trace), _id(span))


def _id(given: str | None) -> str | None:
    return given if given is not None and _TRACE.fullmatch(given) else None
