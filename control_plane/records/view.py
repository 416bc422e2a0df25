"""A record as it is told: every field, unknown ones null, with the names of what it holds the ids of."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator

from control_plane.analytics.names import Names
from control_plane.telemetry.columns import column
from control_plane.web.listing import Page
from control_plane.web.route import View
from shared.models.record import FIELDS

Usd = Annotated[str, BeforeValidator(lambda usd: f"{usd.normalize():f}" if isinstance(usd, Decimal) else usd)]
"""US dollars, exactly: a decimal string."""

NAMED = ("workspace", "api_key", "virtual_key", "config", "gateway")


class AttemptView(View):
    """One call to a provider."""

    target: str
    """Where in the config its target stands."""
    provider: str
    model: str | None
    virtual_key: str | None
    status: int | None
    error: str | None
    began_us: int
    """After the request's start."""
    took_us: int
    """To its end or, of a stream, to its first event."""


class ReasonView(View):
    """One step of how a config led to its targets."""

    path: str
    """Where in the config."""
    because: str
    child: int | None
    """Which child of that place was taken, or left out."""


class RecordView(View):
    """`docs/boundary.md` says what each field is."""

    id: str
    started_at: datetime
    received_at: datetime
    """When the control plane was told of it."""
    gateway: str
    node: str
    mode: str
    workspace: str | None
    api_key: str | None
    door: str
    stream: bool
    lease: int | None
    way: str | None
    config: str | None
    config_revision: int | None
    virtual_key: str | None
    provider: str | None
    model: str | None
    target: str | None
    status: int | None
    provider_status: int | None
    ending: str
    error: str | None
    attempt_count: int
    retry_count: int
    fallback_count: int
    unsettled_count: int
    attempts: tuple[AttemptView, ...]
    decision: tuple[ReasonView, ...]
    cache: str
    usage: str
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    audio_input_tokens: int | None
    audio_output_tokens: int | None
    price: str | None
    price_adjustment: str | None
    cost_usd: Usd | None
    cost_input_usd: Usd | None
    cost_output_usd: Usd | None
    cost_cache_read_usd: Usd | None
    cost_cache_write_usd: Usd | None
    cost_reasoning_usd: Usd | None
    cost_audio_usd: Usd | None
    duration_us: int | None
    receive_us: int | None
    provider_us: int | None
    first_byte_us: int | None
    overhead_us: int | None
    request_bytes: int
    response_bytes: int
    retry_after_s: int | None
    user: str | None
    metadata: dict[str, str]
    trace_id: str | None
    span_id: str | None
    names: dict[str, str]
    """How the workspace, api_key, virtual_key, config and gateway are called now; without those that are gone."""


class RecordPage(Page[RecordView]):
    """One page of records, the newest first."""


COLUMNS = ("received_at", "gateway", "node", *map(column, FIELDS))
"""Of the table `record`, as a view needs them."""
_TEXTS = frozenset(
    "workspace api_key way config virtual_key provider model target error price price_adjustment user trace_id"
    " span_id".split()
)
"""Columns in which what is unknown is the empty text."""


def ids(rows: Iterable[Mapping[str, Any]]) -> dict[str, set[str]]:
    """What the rows name, by field."""
    found = list(rows)
    return {field: {row[field] for row in found} - {""} for field in NAMED}


def views(rows: Sequence[Mapping[str, Any]], known: Names) -> tuple[RecordView, ...]:
    return tuple(_view(row, known) for row in rows)


def _view(row: Mapping[str, Any], known: Names) -> RecordView:
    fields = {name: None if value == "" and name in _TEXTS else value for name, value in row.items()}
    called = {field: known[field][row[field]] for field in NAMED if row[field] in known.get(field, {})}
    return RecordView(**{**fields, "attempts": tuple(map(_attempt, row["attempts"])), "names": called})


def _attempt(told: Mapping[str, Any]) -> AttemptView:
    return AttemptView(**{name: None if value == "" else value for name, value in told.items()})
