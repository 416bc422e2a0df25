"""From an exchange that has ended to its record (pure): ids, counts, times and money; never content.

The values stand in the order of `shared.models.record.Record`. They are made as a list because that is what is written,
and a typed tuple of as many fields takes ten times as long; `tests/gateway/pipeline/test_record.py` holds each to its
place.
"""

import re
from collections.abc import Callable
from functools import lru_cache, partial
from itertools import islice
from math import ceil, floor
from typing import cast

import msgspec
import orjson

from gateway.pipeline.exchange import Attempt, Exchange
from gateway.pipeline.metadata import NO_METADATA, Metadata
from gateway.providers.base import Call, Door, Usage
from gateway.view.view import Caller, ConfigView
from shared.models.record import (
    ATTEMPTS_MAX,
    DECISION_MAX,
    METADATA_CHARS_MAX,
    METADATA_KEYS_MAX,
    MODEL_PATTERN,
    Record,
)
from shared.pricing import Charged, PriceTable, is_own

Row = list[object]
Kept = tuple[msgspec.Raw, msgspec.Raw, msgspec.Raw]
"""Of a record with one attempt: what stands before the attempts, all of the attempt but its times, and what stands
between the attempts and the counts."""
Pseudonym = Callable[[str], str | None]
"""What an end user is called in records; None: there is no key for it yet."""

_MODEL = re.compile(MODEL_PATTERN)
_MODEL_CHARS_MAX = 200
"""As the pattern says."""
_JSON = msgspec.json.Encoder()
_UNDECIDED: Row = []
_COUNT_TOKENS = Door.COUNT_TOKENS  # A member of an enumeration is found the slow way.
_NOTHING = Usage(input_tokens=0, output_tokens=0)
_NOT_KNOWN = Usage()
_FREE = (None, None, 0, 0, 0, 0, 0, 0, 0)
_UNPRICED = (None,) * len(_FREE)
_MINUTE_MS = 60_000
_UNNAMED: dict[str, str] = {}
_KEPT_MAX = 2_048
_MODE_AT, _MODEL_AT, _ATTEMPTS_AT, _TOKENS_AT = map(Record._fields.index, ("mode", "model", "attempts", "input_tokens"))


class Writer:
    """Records as JSON. Most of a caller's differ in counts, times and money alone: the rest is made once, and kept.

    What is kept is found by all that stands in it, so it rests on nothing else.
    """

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[tuple[object, ...], Kept] = {}

    def record(self, exchange: Exchange, now_s: float, pseudonym: Pseudonym) -> bytes:
        """The JSON of `row_of`. Here stands the short way to it, for one attempt that told what it used."""
        attempts, caller, call = exchange.attempts, exchange.caller, exchange.call
        view, usage, labels = exchange.view, exchange.usage, exchange.labels
        received_s = exchange.received_s
        if (
            len(attempts) != 1
            or caller is None
            or caller.workspace.anonymous
            or call is None
            or view is None
            or usage is None
            or (usage.input_tokens is None and usage.output_tokens is None)
            or labels is None
            or labels.metadata is not NO_METADATA
            or received_s is None
            or exchange.ending is None
            or exchange.why
            or exchange.passage is not None
            or exchange.door is _COUNT_TOKENS
            or exchange.upload is not None
            or exchange.cached is not None
            or exchange.paused_s
        ):
            return orjson.dumps(row_of(exchange, now_s, pseudonym))
        last, config = attempts[0], exchange.config
        target = last.target
        provider = target.place.provider
        key = (
            caller.workspace.id,
            caller.id,
            exchange.door,
            call.stream,
            view.sequence,
            exchange.way,
            None if config is None else config.id,
            None if config is None else config.revision,
            target.virtual_key_id,
            provider,
            last.model,
            target.path,
            exchange.status,
            last.status,
            exchange.ending,
            exchange.error,
            exchange.retries,
            exchange.fallbacks,
            last.error,
            exchange.cache,
            usage.estimated,
        )
        kept = self._kept.get(key)
        if kept is None:
            row = row_of(exchange, now_s, pseudonym)
            if row[_MODEL_AT] is None:  # What is no model's name is not remembered.
                return orjson.dumps(row)
            kept = self._keep(key, row)
        ahead, attempt, between = kept
        id_, started_s, ended_s = exchange.id, exchange.started_s, last.ended_s
        started_ms = int(id_[3:15], 16)
        if usage.unpriced:
            money = _charged_apart(view.prices, provider, last.model, usage, started_ms)
        else:
            money = view.prices.charged(provider, last.model, usage, started_ms)
        began_us = floor((last.began_s - started_s) * 1e6 + 0.5)
        provider_us = 0 if ended_s is None else floor((ended_s - last.began_s) * 1e6 + 0.5)
        receive_us = floor((received_s - started_s) * 1e6 + 0.5)
        first_byte_us = duration_us = floor((now_s - started_s) * 1e6 + 0.5)
        if exchange.first_byte_s is not None:
            first_byte_us = floor((exchange.first_byte_s - started_s) * 1e6 + 0.5)
        overhead_us = first_byte_us - receive_us - provider_us
        few = call.few
        user = _user(call) if few is None else few.user
        return _JSON.encode(
            [
                id_,
                started_ms,
                ahead,
                [[attempt, began_us, provider_us]],
                between,
                usage.input_tokens,
                usage.output_tokens,
                usage.cache_read_tokens,
                usage.cache_write_tokens,
                usage.reasoning_tokens,
                usage.audio_input_tokens,
                usage.audio_output_tokens,
                *(money or _UNPRICED),
                duration_us,
                receive_us,
                provider_us,
                first_byte_us,
                overhead_us if overhead_us > 0 else 0,
                len(exchange.body) + exchange.let_go_bytes,
                exchange.bytes_out,
                None if last.retry_after_s is None else ceil(last.retry_after_s),
                pseudonym(user) if user and isinstance(user, str) else None,
                _UNNAMED,
                labels.trace_id,
                labels.span_id,
            ]
        )

    def _keep(self, key: tuple[object, ...], row: Row) -> Kept:
        """Cut out of a whole record."""
        if len(self._kept) >= _KEPT_MAX:
            self._kept.clear()
        ((*attempt, _, _),) = cast(list[tuple[object, ...]], row[_ATTEMPTS_AT])
        ahead, between = row[_MODE_AT:_ATTEMPTS_AT], row[_ATTEMPTS_AT + 1 : _TOKENS_AT]
        kept = self._kept[key] = (_part(ahead), _part(attempt), _part(between))
        return kept


def _part(values: list[object]) -> msgspec.Raw:
    """These values among those of a longer array."""
    return msgspec.Raw(orjson.dumps(values)[1:-1])


def row_of(exchange: Exchange, now_s: float, pseudonym: Pseudonym) -> Row:
    """The record of an exchange that ends now."""
    started_s, started_ms = exchange.started_s, started_at_ms(exchange.id)
    caller, call, view, config = exchange.caller, exchange.call, exchange.view, exchange.config
    attempts = exchange.attempts
    last, target, model = None, None, None
    provider_us, unsettled, is_open = 0, 0, False
    costs = exchange.door is not _COUNT_TOKENS if exchange.passage is None else exchange.passage.runs_model
    provider_status: int | None = None
    told = []
    for last in attempts:
        ended_s = last.began_s if last.ended_s is None else last.ended_s
        took_us, target, model = _us(ended_s - last.began_s), last.target, _model(last.model)
        provider_us += took_us
        unsettled += is_open
        # What a given-up answer used is in no count, be it a good one that the config's status codes name.
        is_open = costs and last.sent and (last.error is not None or last.status is None or 200 <= last.status < 300)
        provider_status = provider_status if last.status is None else last.status
        place, began_us = target.place, _us(last.began_s - started_s)
        told.append(
            (target.path, place.provider, model, target.virtual_key_id, last.status, last.error, began_us, took_us)
        )
    if exchange.paused_s:
        provider_us += _us(exchange.paused_s)
    cached = exchange.cached
    if cached is not None:
        target, model = cached.target, _model(cached.model)
        usage_from, usage = "none", _NOTHING
        unsettled += is_open
    else:
        usage_from, usage = _settled(exchange, last) if costs else ("none", _NOTHING)
        unsettled += usage_from == "unknown"  # Of the last one it is known better than of those given up.
    receive_us = None if exchange.received_s is None else _us(exchange.received_s - started_s)
    duration_us = _us(now_s - started_s)
    first_byte_us = overhead_us = None
    if exchange.first_byte_s is not None:
        first_byte_us = _us(exchange.first_byte_s - started_s)
    elif exchange.ending is not None:
        first_byte_us = duration_us  # An answer of one piece begins and ends at once.
    if first_byte_us is not None:
        overhead_us = max(first_byte_us - (receive_us or 0) - provider_us, 0)
    metadata: dict[str, str] = {}
    user: object = None
    if call is not None:
        user = _user(call) if call.few is None else call.few.user
    labels = exchange.told()
    if labels.metadata is not NO_METADATA:
        user, metadata = _user_and_metadata(labels.metadata, user, caller)
    row = [
        exchange.id,
        started_ms,
        "standard",
        caller.workspace.id if caller is not None else None,
        caller.id if caller is not None else None,
        exchange.door,
        call.stream if call is not None else False,
        view.sequence if view is not None else None,
        exchange.way,
        config.id if config is not None else None,
        config.revision if config is not None else None,
        target.virtual_key_id if target is not None else None,
        target.place.provider if target is not None else None,
        model,
        target.path if target is not None else None,
        exchange.status,
        provider_status,
        exchange.ending or "left",
        exchange.error,
        len(told),
        exchange.retries,
        exchange.fallbacks,
        unsettled,
        told[-ATTEMPTS_MAX:],
        _UNDECIDED if not exchange.why else [(r.path, r.because, r.child) for r in exchange.why[:DECISION_MAX]],
        exchange.cache,
        usage_from,
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        usage.audio_input_tokens,
        usage.audio_output_tokens,
        *_money(view, usage_from, usage, last, started_ms),
        duration_us,
        receive_us,
        provider_us,
        first_byte_us,
        overhead_us,
        len(exchange.body) + exchange.let_go_bytes if exchange.upload is None else exchange.upload.received_bytes,
        exchange.bytes_out,
        ceil(last.retry_after_s) if last is not None and last.retry_after_s is not None else None,
        pseudonym(user) if isinstance(user, str) and user else None,
        metadata,
        labels.trace_id,
        labels.span_id,
    ]
    return anonymous(row) if caller is not None and caller.workspace.anonymous else row


def aborted_row(id_: str, door: str, workspace: str | None, api_key: str | None, *, is_anonymous: bool) -> Row:
    """The record of a request whose worker was killed: what was known of it, and the rest unknown."""
    unknown = dict.fromkeys(Record._fields)
    counts = dict.fromkeys(
        ("attempt_count", "retry_count", "fallback_count", "unsettled_count", "request_bytes", "response_bytes"), 0
    )
    known = {
        "id": id_,
        "started_at_ms": started_at_ms(id_),
        "mode": "standard",
        "workspace": workspace,
        "api_key": api_key,
        "door": door,
        "stream": False,
        "ending": "aborted",
        "attempts": [],
        "cache": "disabled",
        "usage": "unknown",
        "metadata": {},
    }
    row = list({**unknown, **counts, **known}.values())
    return anonymous(row) if is_anonymous else row


def started_at_ms(id_: str) -> int:
    """When the request began: its id says so first (`gateway/ids.py`)."""
    return int(id_[3:15], 16)


def anonymous(row: Row) -> Row:
    """The row without what leads to a person: no key, nothing the caller named, minutes, and amounts of two digits."""
    told = Record._make(row)._asdict()
    amounts = {
        name: _two_digits(value)
        for name, value in told.items()
        if name.endswith(("_tokens", "_picousd", "_bytes")) and isinstance(value, int)
    }
    if told["cost_picousd"] is not None:  # The parts still add up.
        del amounts["cost_picousd"]
        amounts["cost_picousd"] = sum(amount for name, amount in amounts.items() if name.endswith("_picousd"))
    minute_ms = told["started_at_ms"] - told["started_at_ms"] % _MINUTE_MS
    unnamed = dict.fromkeys(("api_key", "user", "trace_id", "span_id"))
    hidden = {
        "id": f"lg_{minute_ms:012x}{told['id'][15:]}",
        "started_at_ms": minute_ms,
        "mode": "anonymous",
        "metadata": {},
    }
    return list({**told, **amounts, **unnamed, **hidden}.values())


def _user(call: Call) -> object:
    """The end user whom the body names."""
    return call.body.get("user") if call.dialect is None else call.dialect.user(call.body)


def _settled(exchange: Exchange, last: Attempt | None) -> tuple[str, Usage]:
    """Where the counts are from, and the counts. What cannot be known is unknown, never 0."""
    usage = exchange.usage
    if usage is not None and not (usage.input_tokens is None and usage.output_tokens is None):
        return ("estimated" if usage.estimated else "provider"), usage
    if last is None or not last.sent or (last.status is not None and not 200 <= last.status < 300):
        return "none", _NOTHING  # Nobody was asked, or nobody did the work.
    return "unknown", _NOT_KNOWN


def _money(
    view: ConfigView | None, usage_from: str, usage: Usage, last: Attempt | None, at_ms: int
) -> tuple[object, ...]:
    if usage_from == "none":
        return _FREE
    if usage_from == "unknown" or last is None or view is None:
        return _UNPRICED
    charged = partial(_charged_apart, view.prices) if usage.unpriced else view.prices.charged
    return charged(last.target.place.provider, last.model, usage, at_ms) or _UNPRICED


def _charged_apart(prices: PriceTable, provider: str, model: str, usage: Usage, at_ms: int) -> Charged | None:
    """What the catalogue has no price for. An organisation that wrote down its own knows which tier it asks for."""
    charged = prices.charged(provider, model, usage, at_ms) if usage.tiered else None
    return charged if charged is not None and is_own(charged[0]) else None


def _model(name: str) -> str | None:
    """What is longer than any name is not remembered either: callers say it."""
    return _name_of_model(name) if len(name) <= _MODEL_CHARS_MAX else None


@lru_cache(maxsize=4_096)
def _name_of_model(name: str) -> str | None:
    return name if _MODEL.fullmatch(name) else None


def _user_and_metadata(sent: Metadata, user: object, caller: Caller | None) -> tuple[object, dict[str, str]]:
    """The end user the request names, and of its metadata what the workspace lets be told."""
    keys = caller.workspace.metadata_keys if caller is not None else frozenset()
    shared = {key: value for key, value in sent.values.items() if key in keys and len(key) <= METADATA_CHARS_MAX}
    return sent.values.get("_user", user), dict(islice(shared.items(), METADATA_KEYS_MAX))


def _us(seconds: float) -> int:
    return floor(seconds * 1e6 + 0.5)  # A whole number as factor, `int` or `round` takes twice as long or more.


def _two_digits(amount: int) -> int:
    """1,234 → 1,200: rounded half up to its first two digits."""
    unit = int(10 ** max(len(str(amount)) - 2, 0))
    return (amount + unit // 2) // unit * unit
