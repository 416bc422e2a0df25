"""The cache before a target: what was answered before is given again, and identical calls at once make one.

It stands before each target of its own, behind the choice among them: an answer is only ever given again by the target
that would be asked.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import orjson
from msgspec.structs import replace

from gateway.cache.answers import Answers, CacheAway
from gateway.cache.entry import Entry
from gateway.cache.flights import Flight, Flights
from gateway.cache.key import ANSWER_HEADERS, Question, Unkeyed, cache_key
from gateway.cache.keys import Keys
from gateway.errors import GatewayError
from gateway.pipeline.exchange import Attempt, Exchange, own_flag, own_header
from gateway.pipeline.read import provider_header
from gateway.pipeline.replies import OwnAnswer, Pipe, Reply, Stream, Whole
from gateway.pipeline.resolve import effective_model
from gateway.pipeline.shape import shaped
from gateway.providers.base import Call, Door, ReadsEach, StreamFailure, StreamReader, Untranslatable, Usage
from gateway.upstream.messages import UpstreamResponse
from gateway.view.route import CacheRules, CredentialUnavailable, Target
from shared.clock import Clock

CACHED_DOORS = frozenset({Door.CHAT, Door.COMPLETIONS, Door.EMBEDDINGS, Door.MESSAGES, Door.RESPONSES})
STATEFUL = ("conversation", "background")
"""Fields of a body whose answer depends on, or changes, what a provider keeps."""
FOLLOWED_MAX = 2
"""Calls that brought nothing are waited for so often; then everybody goes on alone."""
STREAM_WAIT_S = 60.0
"""For a stream of another caller, who may read slowly. A plain answer depends on no caller."""

Run = Callable[[Call], Awaitable[Reply]]


class _Said(msgspec.Struct, gc=False):
    error: Any = None


_SAID = msgspec.json.Decoder(_Said)


def question_of(target: Target, call: Call, exchange: Exchange) -> Question:
    """What stands in the key for this call at this target (pure). Raises GatewayError, Untranslatable."""
    assert exchange.caller is not None
    given, overrides = shaped(call, target, exchange.headers)
    model = effective_model(target, call)
    names = dict.fromkeys((*ANSWER_HEADERS, *target.handling.forward_headers))
    headers = exchange.headers
    told = {name: value for name in names if (value := provider_header(headers, name)) is not None}
    config = exchange.config
    return Question(
        workspace=exchange.caller.workspace.id,
        config="" if config is None else f"{config.id} {config.revision}",
        partition=_partition(exchange),
        door=call.door,
        target=target,
        model=model,
        body={**given.body, **overrides, "model": model},
        headers=tuple(sorted(told.items())),
    )


def _partition(exchange: Exchange) -> tuple[tuple[str, str], ...]:
    """A namespace puts together what metadata would keep apart, as in the original."""
    namespace = own_header(exchange.headers, "cache-namespace")
    if namespace is not None:
        return (("namespace", namespace),)
    metadata = exchange.told_metadata()
    if metadata.fault is not None or metadata.unfit:
        return (("metadata", own_header(exchange.headers, "metadata") or ""),)
    return tuple(sorted(metadata.values.items()))


class Cached:
    """One per worker."""

    __slots__ = ("_answers", "_clock", "_flights")

    def __init__(self, answers: Answers, clock: Clock) -> None:
        self._answers = answers
        self._clock = clock
        self._flights = Flights()

    def key_of(self, target: Target, call: Call, exchange: Exchange) -> str | None:
        """By which this call's answer would be looked for and kept; nobody is asked. None: it is not cached now."""
        keys = self._answers.keys()
        if keys is None or not _is_cacheable(call) or own_flag(exchange.headers, "debug") is False:
            return None
        try:
            return cache_key(keys.naming, question_of(target, call, exchange))
        except (Unkeyed, CredentialUnavailable, GatewayError, Untranslatable):
            return None

    async def through(self, target: Target, rules: CacheRules, call: Call, exchange: Exchange, run: Run) -> Reply:
        """The reply of the cache, or of the target, which `run` asks; then it is kept."""
        exchange.cache = "disabled"
        if not _is_cacheable(call) or own_flag(exchange.headers, "debug") is False:
            return await run(call)
        keys = self._answers.keys()
        if keys is None:
            return await run(call)
        try:
            name = cache_key(keys.naming, question_of(target, call, exchange))
            # What is keyed is what is sent: of two fields of one name a provider might read the other one.
            call = replace(call, raw=orjson.dumps(call.body))
        except (Unkeyed, CredentialUnavailable, GatewayError, Untranslatable, orjson.JSONEncodeError):
            return await run(call)  # Where there is a fault in it, that is told there.
        keeping = _Keeping(self._answers, self._flights, keys, name, rules, self._clock)
        if own_flag(exchange.headers, "cache-force-refresh"):
            exchange.cache = "refresh"
            return keeping.kept(await run(call), exchange)
        entry = await self._followed(name, rules, _wait_s(target, call))
        if entry is not None:
            return self._given(entry, target, call, exchange)
        if self._flights.running(name) is not None:
            exchange.cache = "miss"
            return keeping.kept(await run(call), exchange)
        keeping.flight = self._flights.begin(name)
        try:
            try:
                entry = await self._answers.get(keys, name)
            except CacheAway:
                keeping.give_up()
                return await run(call)
            if entry is not None and self._is_fresh(entry, rules):
                self._flights.end(name, keeping.flight, entry)
                return self._given(entry, target, call, exchange)
            exchange.cache = "miss"
            return keeping.kept(await run(call), exchange)
        except BaseException:
            keeping.give_up()
            raise

    async def _followed(self, name: str, rules: CacheRules, wait_s: float | None) -> Entry | None:
        """The answer of an identical call that is under way, if there is one and it brings any."""
        for _ in range(FOLLOWED_MAX):
            flight = self._flights.running(name)
            if flight is None:
                return None
            entry = await flight.wait(wait_s)
            if entry is not None and self._is_fresh(entry, rules):
                return entry
        return None

    def _is_fresh(self, entry: Entry, rules: CacheRules) -> bool:
        return entry.is_fresh(rules.max_age_s, self._clock.wall_ms())

    def _given(self, entry: Entry, target: Target, call: Call, exchange: Exchange) -> Reply:
        exchange.cache = "hit"
        exchange.cached = Attempt(target, effective_model(target, call), self._clock.monotonic_s(), sent=False)
        exchange.retry_told = 0
        return again(entry, target, exchange)


def again(entry: Entry, target: Target, exchange: Exchange) -> Reply:
    """The reply that a kept answer makes."""
    exchange.notes = list(entry.notes) or None
    if entry.is_stream:
        return Stream(target, OwnAnswer(), entry.status, Replayed(), entry.body, ended=True)
    return Whole(target, OwnAnswer(), entry.status, entry.body, None, entry.content_type)


class _Keeping:
    """Sees one reply to its end, keeps it if that is a good one, and tells those who wait for it."""

    __slots__ = ("_answers", "_clock", "_flights", "_keys", "_name", "_rules", "flight")

    def __init__(
        self, answers: Answers, flights: Flights, keys: Keys, name: str, rules: CacheRules, clock: Clock
    ) -> None:
        self._answers = answers
        self._flights = flights
        self._keys = keys
        self._name = name
        self._rules = rules
        self._clock = clock
        self.flight: Flight | None = None
        """Those who wait for this reply, if it is the one they wait for."""

    def kept(self, reply: Reply, exchange: Exchange) -> Reply:
        if not 200 <= reply.status < 300 or isinstance(reply, Pipe):
            self.give_up()
            return reply
        notes = tuple(exchange.notes or ())
        if isinstance(reply, Whole):
            if _is_error(reply.body):
                self.give_up()
                return reply
            self._keep(reply.status, reply.content_type, notes, reply.body, is_stream=False)
            return reply

        def keep(events: bytes) -> None:
            self._keep(reply.status, "", notes, events, is_stream=True)

        return watched(reply, self._answers.body_bytes_max, keep, self.give_up)

    def give_up(self) -> None:
        """Nobody need wait for it any longer; harmless when called again."""
        if self.flight is not None:
            self._flights.end(self._name, self.flight)

    def _keep(
        self, status: int, content_type: str, notes: tuple[tuple[str, str], ...], body: bytes, *, is_stream: bool
    ) -> None:
        entry = Entry(status, content_type, is_stream, notes, self._clock.wall_ms(), body)
        self._answers.put(self._keys, self._name, entry, self._rules.max_age_s)
        if self.flight is not None:
            self._flights.end(self._name, self.flight, entry)


def watched(reply: Stream, bytes_max: int, keep: Callable[[bytes], None], give_up: Callable[[], None]) -> Stream:
    """The same stream; at its proper end all its events are kept, at any other it is given up."""
    reader = Watched(reply.reader, reply.first, bytes_max, keep, give_up)
    if reply.ended:
        reader.ended()
    return replace(reply, reader=reader, response=GivenUp(reply.response, give_up))


class Watched(ReadsEach):
    """A stream's reader that collects what it gives out."""

    __slots__ = ("_bytes_max", "_events", "_give_up", "_keep", "_reader", "_size")

    def __init__(
        self,
        reader: StreamReader,
        first: bytes,
        bytes_max: int,
        keep: Callable[[bytes], None],
        give_up: Callable[[], None],
    ) -> None:
        self._reader = reader
        self._events: list[bytes] | None = []
        """None: they are given up."""
        self._size = 0
        self._bytes_max = bytes_max
        self._keep = keep
        self._give_up = give_up
        self._take(first)

    @property
    def usage(self) -> Usage:
        return self._reader.usage

    @property
    def begun(self) -> bool:
        return self._reader.begun

    @property
    def failed(self) -> bool:
        return self._reader.failed

    @property
    def failure(self) -> StreamFailure | None:
        return self._reader.failure

    @property
    def complete(self) -> bool:
        return self._reader.complete

    def feed(self, data: bytes) -> bytes:
        return self._take(self._reader.feed(data))

    def end(self) -> bytes:
        events = self._take(self._reader.end())
        self.ended()
        return events

    def error_event(self, body: Mapping[str, Any], status: int) -> bytes:
        return self._reader.error_event(body, status)

    def ended(self) -> None:
        """Properly, unless the provider says otherwise."""
        if self._events is not None and not self._reader.failed:
            self._keep(b"".join(self._events))
        self._events = None

    def _take(self, events: bytes) -> bytes:
        if self._events is not None:
            self._events.append(events)
            self._size += len(events)
            if self._size > self._bytes_max:
                self._events = None
                self._give_up()
        return events


class GivenUp:
    """A response whose end, whatever it was, is told."""

    __slots__ = ("_give_up", "_response", "chunk", "pour", "read")

    def __init__(self, response: UpstreamResponse, give_up: Callable[[], None]) -> None:
        self._response = response
        self._give_up = give_up
        self.chunk = response.chunk
        self.pour = response.pour
        self.read = response.read

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    def read_out(self, within_s: float) -> None:
        self._give_up()
        self._response.read_out(within_s)

    def abort(self) -> None:
        self._give_up()
        self._response.abort()


class Replayed(ReadsEach):
    """Stands where the reader of a stream would that came to its end before."""

    usage = Usage(input_tokens=0, output_tokens=0)
    begun = True
    failed = False
    failure: StreamFailure | None = None
    complete = True

    def feed(self, data: bytes) -> bytes:
        return data

    def end(self) -> bytes:
        return b""

    def error_event(self, body: Mapping[str, Any], status: int) -> bytes:  # noqa: ARG002 - it cannot fail
        return b""


def _wait_s(target: Target, call: Call) -> float | None:
    """How long another call is waited for, which may take more time than this one gives itself. None: to its end."""
    limits = [] if target.handling.timeout_ms is None else [target.handling.timeout_ms / 1_000]
    return min([*limits, STREAM_WAIT_S] if call.stream else limits, default=None)


def _is_error(body: bytes) -> bool:
    """Whatever the status: some hosts answer before they have asked whom they call, and say here that it failed."""
    if body.find(b'"error"') < 0:
        return False
    try:
        return bool(_SAID.decode(body).error)
    except (msgspec.DecodeError, RecursionError):
        return False


def _is_cacheable(call: Call) -> bool:
    return call.door in CACHED_DOORS and call.passage is None and not any(call.body.get(field) for field in STATEFUL)
