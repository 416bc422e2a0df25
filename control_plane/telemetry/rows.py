"""Records as rows of ClickHouse, and what of them is counted in the ledger. Pure."""

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from shared.models.record import FIELDS, Attempt, Record
from shared.protocol.batch import Refused

MALFORMED = "malformed"
FORBIDDEN = "workspace_forbidden"
PICOUSD_MAX = 10**18 - 1
"""What fits a column of money: 999,999 US dollars, of one request."""
AHEAD_MS_MAX = 3_600_000
"""How far ahead of the control plane's clock a request may have begun."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS = 86_400_000
_MONEY = tuple(index for index, name in enumerate(FIELDS) if name.endswith("_picousd"))
_STARTED = FIELDS.index("started_at_ms")
_ATTEMPTS = FIELDS.index("attempts")


@dataclass(frozen=True, slots=True)
class Sender:
    """Who delivered a batch, under which name, and when it came first."""

    organisation: str
    gateway: str
    node: str
    stream: str
    seq: int
    received_ms: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Rows that do not count, for one reason."""

    count: int
    detail: str
    """Of the last one."""


@dataclass(frozen=True, slots=True)
class Day:
    records: int
    cost_usd: Decimal


@dataclass(frozen=True, slots=True)
class Rows:
    """`block` is in the order of `columns.COLUMNS`, a line for each record that counts."""

    block: bytes
    received_ms: int
    """As each record says."""
    records: int
    clamped: int
    days: dict[date, Day]
    refused: dict[str, Refusal]


def make(
    sender: Sender, records: Sequence[Record], malformed: Sequence[Refused], forbidden: Set[str], kept_days: int
) -> Rows:
    """`forbidden`: workspaces whose records do not count. A record older than `kept_days` would be gone at once."""
    begins_ms = sender.received_ms - kept_days * _DAY_MS
    ends_ms = sender.received_ms + AHEAD_MS_MAX
    told = [sender.organisation, sender.gateway, sender.node, sender.stream, sender.seq, _time(sender.received_ms)]
    lines: list[bytes] = []
    counts: Counter[int] = Counter()
    costs: Counter[int] = Counter()
    clamped = 0
    faults = [(MALFORMED, refused.detail) for refused in malformed]
    for record in records:
        if record.workspace in forbidden:
            faults.append((FORBIDDEN, f"/workspace: the gateway may not serve {record.workspace}"))
            continue
        values: list[Any] = list(record)
        for place in _MONEY:
            amount = values[place]
            if amount is not None:
                if amount > PICOUSD_MAX:
                    faults.append((MALFORMED, f"/{FIELDS[place]}: more than {PICOUSD_MAX}"))
                    break
                values[place] = f"{amount}e-12"
        else:
            started_ms = record.started_at_ms
            fits = begins_ms <= started_ms <= ends_ms
            if not fits:
                started_ms = sender.received_ms
                clamped += 1
            values[_STARTED] = _time(started_ms)
            values[_ATTEMPTS] = [_attempt(attempt) for attempt in record.attempts]
            lines.append(orjson.dumps([*told, not fits, *values]))
            day = started_ms // _DAY_MS
            counts[day] += 1
            costs[day] += record.cost_picousd or 0
    days = {
        (EPOCH + timedelta(days=day)).date(): Day(count, Decimal(costs[day]).scaleb(-12))
        for day, count in sorted(counts.items())
    }
    return Rows(b"\n".join(lines), sender.received_ms, len(lines), clamped, days, _summed(faults))


def _time(ms: int) -> str:
    return f"{ms // 1000}.{ms % 1000:03}"


def _attempt(attempt: Attempt) -> tuple[str | int | None, ...]:
    """What is not known of its texts is empty, as in every column."""
    target, provider, model, virtual_key, status, error, began_us, took_us = attempt
    return target, provider, model or "", virtual_key or "", status, error or "", began_us, took_us


def _summed(faults: Sequence[tuple[str, str]]) -> dict[str, Refusal]:
    counts = Counter(reason for reason, _ in faults)
    details = dict(faults)
    return {reason: Refusal(count, details[reason]) for reason, count in sorted(counts.items())}
