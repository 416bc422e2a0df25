"""What can be measured by: one table. Each is SQL that gives a text, empty where it is unknown (pure)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from control_plane.errors import Invalid
from control_plane.filters.clickhouse import Parameters
from control_plane.filters.fields import METADATA
from shared.models.record import METADATA_CHARS_MAX

DIMENSIONS_MAX = 3
"""Of one question."""

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_STATUS_CLASS = "if({status} = 0, '', concat(toString(intDiv({status}, 100)), 'xx'))"


@dataclass(frozen=True, slots=True)
class Dimension:
    name: str
    description: str
    record: str
    """SQL in `record`."""
    sums: str | None = None
    """SQL in `record_minute` and `record_hour`; None: they do not have it."""
    spread: str | None = None
    """SQL in `record_spread`."""
    names: bool = False
    """Its values are ids of what stands in the database under a name."""
    key: str | None = None
    """Of the metadata."""

    def in_record(self, parameters: Parameters) -> str:
        return self.record if self.key is None else f"metadata[{parameters.add(self.key, 'String')}]"


def _column(name: str, description: str, *, sums: bool = True, spread: bool = False, names: bool = False) -> Dimension:
    return Dimension(name, description, name, name if sums else None, name if spread else None, names)


_ALL = (
    _column("workspace", "The request's workspace", spread=True, names=True),
    _column("api_key", "The API key it came with", names=True),
    _column("virtual_key", "The virtual key of the last target tried", names=True),
    _column("config", "The saved config that applied", names=True),
    _column("provider", "Provider of the last target tried", spread=True),
    _column("model", "Model that the last target was asked for", spread=True),
    _column("door", "The API that was called", spread=True),
    Dimension(
        "status",
        "HTTP status of the answer",
        "ifNull(toString(status), '')",
        "if(status = 0, '', toString(status))",
    ),
    Dimension(
        "status_class",
        "Its first digit: `2xx`",
        _STATUS_CLASS.format(status="ifNull(status, 0)"),
        _STATUS_CLASS.format(status="status"),
    ),
    _column("error", "The gateway's error code, or `provider_error`"),
    _column("ending", "How it ended"),
    _column("cache", "What the gateway's cache said", spread=True),
    _column("gateway", "The gateway that carried it", spread=True, names=True),
    _column("node", "The node of the gateway", sums=False),
    _column("user", "Pseudonym of the end user", sums=False),
    Dimension(
        "stream",
        "Whether the answer was asked for as a stream",
        "if(stream, 'true', 'false')",
        None,
        "if(stream, 'true', 'false')",
    ),
    _column("way", "How its target was named", sums=False),
    _column("target", "Where in the config the last target tried stands", sums=False),
    Dimension("retries", "How often one of its targets was tried again", "toString(retry_count)"),
    _column("usage", "Where its token counts are from", sums=False),
    _column("mode", "How much is told of it", sums=False),
)

DIMENSIONS: Mapping[str, Dimension] = {dimension.name: dimension for dimension in _ALL}


def _unquoted(text: str) -> str:
    if len(text) < 2 or not (text[0] == text[-1] == '"'):
        return text
    return _ESCAPE.sub(r"\1", text[1:-1])


def find(name: str) -> Dimension:
    """`meta.team` is the metadata key `team`, whatever it holds. Raises Invalid."""
    if name in DIMENSIONS:
        return DIMENSIONS[name]
    key = _unquoted(name.removeprefix(f"{METADATA}.")) if name.startswith(f"{METADATA}.") else ""
    if key:
        if len(key) > METADATA_CHARS_MAX or "\0" in key:
            raise Invalid(f"a metadata key has at most {METADATA_CHARS_MAX} characters, and no NUL", pointer="by")
        return Dimension(name, "Value of a metadata key", "", key=key)
    raise Invalid(f"no dimension {name!r}; there are {', '.join(DIMENSIONS)}, {METADATA}.<key>", pointer="by")
