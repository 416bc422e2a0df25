"""What can be measured: one table. A measure is SQL over columns that each table of records can give (pure).

A sum leaves out what is unknown, and is itself unknown (null) where every part of it is; how many are unknown is a
measure of its own beside it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from control_plane.filters.columns import FAILED

_COLUMN = re.compile(r"\bc_(\w+)")


class Unit(StrEnum):
    COUNT = "count"
    SHARE = "share"
    """0 to 1."""
    TOKENS = "tokens"
    USD = "usd"
    """A decimal string."""
    MICROSECONDS = "us"
    BYTES = "bytes"
    TIME = "time"


class Family(StrEnum):
    """Which tables can give it."""

    SUMS = "sums"
    """Every one but `record_spread`."""
    SPREAD = "spread"
    """`record_spread` by the hour, and `record`."""
    RECORDS = "records"
    """`record` alone."""


@dataclass(frozen=True, slots=True)
class Measure:
    name: str
    unit: Unit
    description: str
    sql: str
    """An aggregate of columns `c_…`; of a quantile its level."""
    family: Family = Family.SUMS
    spread: str = ""
    """Of a quantile: whose, as `record_spread` calls it."""

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(_COLUMN.findall(self.sql))


def _sum(rolled_up: str, of_record: str) -> tuple[str, str]:
    return rolled_up, f"toUInt64({of_record})"


_LOOKED_UP = "cache in ('hit', 'miss', 'semantic_hit', 'semantic_miss')"
_RESCUED = "ifNull(ending = 'complete' and status < 400 and retry_count + fallback_count > 0, false)"
_TOKENS = "input output cache_read cache_write reasoning audio_input audio_output".split()
_PARTS = ["cost", *(f"cost_{part}" for part in "input output cache_read cache_write reasoning audio".split())]
_TOOK = "duration first_byte overhead".split()

COLUMNS: Mapping[str, tuple[str, str]] = {
    "requests": _sum("requests", "1"),
    "errors": _sum("errors", FAILED),
    "streams": _sum("streams", "stream"),
    "attempts": _sum("attempts", "attempt_count"),
    "retries": _sum("retries", "retry_count"),
    "fallbacks": _sum("fallbacks", "fallback_count"),
    "unsettled": _sum("unsettled", "unsettled_count"),
    "rescued": _sum("rescued", _RESCUED),
    "cache_hits": _sum("cache_hits", "cache in ('hit', 'semantic_hit')"),
    "cache_lookups": _sum(f"requests * ({_LOOKED_UP})", _LOOKED_UP),
    "usage_estimated": _sum("usage_estimated", "usage = 'estimated'"),
    "usage_unknown": _sum("usage_unknown", "usage = 'unknown'"),
    "cost_unknown": _sum("cost_unknown", "cost_usd is null"),
    "request_bytes": _sum("request_bytes", "request_bytes"),
    "response_bytes": _sum("response_bytes", "response_bytes"),
    **{f"{name}_tokens": _sum(f"{name}_tokens", f"ifNull({name}_tokens, 0)") for name in _TOKENS},
    **{f"{name}_us": _sum(f"{name}_us", f"ifNull({name}_us, 0)") for name in _TOOK},
    **{f"{name}_known": _sum(f"{name}_known", f"{name}_us is not null") for name in _TOOK},
    **{f"{name}_usd": (f"{name}_usd", f"toDecimal128(ifNull({name}_usd, 0), 12)") for name in _PARTS},
    "user": ("", "user"),
    "seen": ("", "started_at"),
}
"""What measures are made of: SQL in the roll-ups, and SQL of one record, which says what their views do."""


def _count(name: str, description: str) -> Measure:
    return Measure(name, Unit.COUNT, description, f"sum(c_{name})")


def _tokens(name: str, description: str) -> Measure:
    known = "sum(c_requests) = 0 or sum(c_usage_unknown) < sum(c_requests)"
    total = "sum(c_input_tokens) + sum(c_output_tokens)" if name == "tokens" else f"sum(c_{name})"
    return Measure(name, Unit.TOKENS, description, f"if({known}, {total}, null)")


def _cost(part: str, description: str) -> Measure:
    name = f"cost{part}_usd"
    known = "sum(c_requests) = 0 or sum(c_cost_unknown) < sum(c_requests)"
    return Measure(name, Unit.USD, description, f"if({known}, sum(c_{name}), null)")


def _took(spread: str, description: str) -> list[Measure]:
    average = f"if(sum(c_{spread}_known) = 0, null, sum(c_{spread}_us) / sum(c_{spread}_known))"
    quantiles = [
        Measure(
            f"{spread}_p{percent}_us",
            Unit.MICROSECONDS,
            f"{description}: {percent} % took no longer",
            str(percent / 100),
            Family.SPREAD,
            spread,
        )
        for percent in (50, 90, 95, 99)
    ]
    return [Measure(f"{spread}_avg_us", Unit.MICROSECONDS, f"{description}: the average", average), *quantiles]


_ALL = (
    _count("requests", "Requests"),
    _count("errors", "Those answered with a status from 400 on, refused, broken off or aborted"),
    Measure(
        "error_rate",
        Unit.SHARE,
        "Errors among requests",
        "if(sum(c_requests) = 0, null, sum(c_errors) / sum(c_requests))",
    ),
    _count("streams", "Requests whose answer was asked for as a stream"),
    _count("attempts", "Calls made to providers"),
    _count("retries", "Calls that repeated one to the same target"),
    _count("fallbacks", "Targets given up for the next one"),
    _count("rescued", "Requests answered well after a retry or a fallback"),
    _count("unsettled", "Calls to providers that may have cost something and did not say so"),
    _count("cache_hits", "Requests answered from the gateway's cache"),
    Measure(
        "cache_hit_rate",
        Unit.SHARE,
        "Hits among requests that the cache was asked for",
        "if(sum(c_cache_lookups) = 0, null, sum(c_cache_hits) / sum(c_cache_lookups))",
    ),
    Measure(
        "users",
        Unit.COUNT,
        "Different end users, of those that are named",
        "uniqExactIf(c_user, c_user != '')",
        Family.RECORDS,
    ),
    _tokens("tokens", "Input and output tokens"),
    _tokens("input_tokens", "All input tokens"),
    _tokens("output_tokens", "All output tokens"),
    _tokens("cache_read_tokens", "Input tokens read from providers' own caches"),
    _tokens("cache_write_tokens", "Input tokens written to providers' own caches"),
    _tokens("reasoning_tokens", "Output tokens spent on thinking"),
    _tokens("audio_input_tokens", "Input tokens that were audio"),
    _tokens("audio_output_tokens", "Output tokens that were audio"),
    _count("usage_estimated", "Requests whose tokens were estimated from bytes"),
    _count("usage_unknown", "Requests whose tokens are unknown: no sum of tokens has them"),
    _cost("", "What it cost"),
    _cost("_input", "Of it: input tokens not counted elsewhere"),
    _cost("_output", "Of it: output tokens not counted elsewhere"),
    _cost("_cache_read", "Of it: tokens read from a cache"),
    _cost("_cache_write", "Of it: tokens written to a cache"),
    _cost("_reasoning", "Of it: tokens spent on thinking"),
    _cost("_audio", "Of it: audio tokens"),
    _count("cost_unknown", "Requests whose cost is unknown: no sum of cost has them"),
    *_took("duration", "From the head to the last byte"),
    *_took("first_byte", "From the head to the answer's first byte of content"),
    *_took("overhead", "The gateway's own share of the time to the first byte"),
    Measure("request_bytes", Unit.BYTES, "Of callers' bodies", "sum(c_request_bytes)"),
    Measure("response_bytes", Unit.BYTES, "Of answers' bodies", "sum(c_response_bytes)"),
    Measure("last_seen", Unit.TIME, "When the last one began", "if(count() = 0, null, max(c_seen))", Family.RECORDS),
)

MEASURES: Mapping[str, Measure] = {measure.name: measure for measure in _ALL}

BUCKETS_PER_OCTAVE = 16
"""Of the histogram that quantiles are read from: a value is told as the middle of its bucket, off by 2.2 % at most."""


def bucket_of(expression: str) -> str:
    """The bucket of a duration, as `record_spread` has it."""
    return f"toUInt16(floor(log2(greatest({expression}, 1)) * {BUCKETS_PER_OCTAVE}))"


def middle_us(bucket: int) -> int:
    """What a bucket says, microseconds."""
    return round(2 ** ((bucket + 0.5) / BUCKETS_PER_OCTAVE))
