"""Sends what the outbox holds, batch by batch, until the control plane has acknowledged it (GHS/1 17).

One batch is under way at a time. A backlog does not keep dashboards waiting: it is a stream of its own, and of five
turns the newest records have one. Whatever comes but an acknowledgement changes nothing but the time of the next
attempt, and what a stream is called.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import structlog
from pydantic import ValidationError

from gateway.sync.control_plane_client import BYTES, CallFailed, ControlPlane
from gateway.sync.pace import Backoff, Pace
from gateway.telemetry.outbox import Outbox, OutboxUnavailable, Parcel, Stream
from shared.clock import Clock
from shared.protocol import batch
from shared.protocol.batch import PATH, Acknowledgement

TURNS = 5
"""Of so many, one is the live stream's, where there is a backlog too."""
BEHIND_MAX = 8
"""More batches than that behind an acknowledged one are a backlog."""
REFUSALS_MAX = 5
"""After so many in turn a batch that is refused for itself is set aside."""
ASIDE_MAX = 16
ASIDE_S = 300.0
"""Between two attempts for one that is set aside."""
SLOW_S = 300.0
"""Longest wait of a node that is told to have no business here; and longest that anybody's Retry-After is followed."""
UNAVAILABLE_S = 1.0
"""Between two looks at an outbox that cannot be used."""
ANSWER_BYTES_MAX = 64 * 1024
CODES_MAX = 50
"""Names of failures that are counted each for itself."""

_BROKEN_STREAM = frozenset({"batch_gap", "batch_conflict"})
_BAD_BATCH = frozenset({"invalid", "malformed", "too_large", "http_413"})
"""The last one: whoever stands on the way takes no body so large."""
_UNWELCOME = frozenset({"node_revoked", "node_unknown", "gateway_unknown"})
_WRONG = "answer_wrong"


@dataclass(slots=True)
class Shipped:
    """What this process did so far."""

    batches: int = 0
    records: int = 0
    bytes: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    """Attempts that failed, by the code of what came."""


def choose(streams: Sequence[Stream], turn: int) -> Stream | None:
    """Whose turn it is, of those that wait, oldest first: four times the oldest backlog, then the live one."""
    live = next((stream for stream in streams if stream.live), None)
    backlog = next((stream for stream in streams if not stream.live), None)
    if live is None or backlog is None:
        return live or backlog
    return live if turn % TURNS == TURNS - 1 else backlog


class Shipper:
    def __init__(
        self, outbox: Outbox, control_plane: ControlPlane, made: asyncio.Event, clock: Clock, chance: Random
    ) -> None:
        """`made` is set whenever there is something new to send."""
        self._outbox = outbox
        self._control_plane = control_plane
        self._made = made
        self._clock = clock
        self._chance = chance
        self._backoff = Backoff(chance)
        self._pace = Pace(clock)
        self._turn = 0
        self._refusals: Counter[int] = Counter()
        self._aside: dict[int, float] = {}
        """Streams of batches that are set aside, by base, and when each is tried again."""
        self._said = ""
        self._log = structlog.get_logger("telemetry.ship")
        self.shipped = Shipped()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            self._made.clear()
            wait_s = await self._supervised()
            if wait_s is not None:
                await asyncio.sleep(wait_s)
                continue
            now_s = self._clock.monotonic_s()
            next_s = min((due_s - now_s for due_s in self._aside.values()), default=None)
            try:
                async with asyncio.timeout(None if next_s is None else max(0.0, next_s)):
                    await self._made.wait()
            except TimeoutError:
                continue

    async def drain(self) -> None:
        """Send what waits, until all is sent or something fails."""
        while await self._supervised() == 0.0:
            continue

    async def turn(self) -> float | None:
        """Send one batch. How many seconds to wait before the next attempt; None: there is nothing to send."""
        try:
            streams = await asyncio.to_thread(self._outbox.streams)
            now_s = self._clock.monotonic_s()
            bases = {stream.base for stream in streams}
            self._aside = {base: due_s for base, due_s in self._aside.items() if base in bases}
            ready = [stream for stream in streams if self._aside.get(stream.base, 0.0) <= now_s]
            chosen = choose(ready, self._turn)
            if chosen is None:
                return None
            parcel = await asyncio.to_thread(self._outbox.take, chosen)
        except OutboxUnavailable as error:
            self._say("outbox", str(error))
            return UNAVAILABLE_S
        if parcel is None:
            return 0.0
        if len(ready) > 1:
            self._turn += 1  # Whatever comes of it: else a batch that always fails would keep the others waiting.
        try:
            await self._send(parcel)
        except CallFailed as failure:
            return await self._failed(failure, chosen, parcel)
        await self._sent(parcel)
        if len(ready) == 1 and chosen.live and chosen.last - chosen.first > BEHIND_MAX:
            await asyncio.to_thread(self._outbox.renew)
            self._log.info("records_behind", batches=chosen.last - chosen.first)
        return 0.0

    async def _supervised(self) -> float | None:
        try:
            return await self.turn()
        except Exception:  # noqa: BLE001 - the node's only shipper: what broke this turn may not break the next
            self._log.error("shipper_failed", exc_info=True)
            return self._wait_s()

    async def _send(self, parcel: Parcel) -> None:
        """Returns when the batch is acknowledged. Raises CallFailed."""
        body = batch.encode(parcel.head, parcel.payload)
        told = await self._control_plane.post(PATH, body, media_type=BYTES, answer_bytes_max=ANSWER_BYTES_MAX)
        try:
            _require_acknowledged(parcel, told.body)
        except CallFailed:
            self._control_plane.leave(told)
            raise

    async def _sent(self, parcel: Parcel) -> None:
        self._backoff.succeeded()
        del self._refusals[parcel.id]
        if self._said:
            self._said = ""
            self._log.info("records_flow_again")
        self.shipped.batches += 1
        self.shipped.records += parcel.records
        self.shipped.bytes += len(parcel.payload)
        try:
            await asyncio.to_thread(self._outbox.forget, parcel.id)
        except OutboxUnavailable as error:
            # It is not sent again by this process; should the next one send it, it is acknowledged again.
            self._say("outbox", str(error))

    async def _failed(self, failure: CallFailed, stream: Stream, parcel: Parcel) -> float:
        """What comes of it for the batch, and how long to wait."""
        known = failure.code in self.shipped.failures or len(self.shipped.failures) < CODES_MAX
        self.shipped.failures[failure.code if known else "other"] += 1
        self._say(failure.code, str(failure))
        if stream.base in self._aside:
            self._aside[stream.base] = self._clock.monotonic_s() + ASIDE_S
            return self._pace.take()
        try:
            if failure.code in _BROKEN_STREAM:
                self._log.error("stream_broken", code=failure.code, seq=parcel.head.seq)
                await asyncio.to_thread(self._outbox.restream, parcel.id)
            elif failure.code in _BAD_BATCH:
                await self._refused(failure, parcel)
        except OutboxUnavailable as error:
            self._say("outbox", str(error))
        wait_s = max(self._wait_s(), min(failure.retry_after_s, SLOW_S))
        return self._chance.uniform(SLOW_S / 2, SLOW_S) if failure.code in _UNWELCOME else wait_s

    async def _refused(self, failure: CallFailed, parcel: Parcel) -> None:
        self._refusals[parcel.id] += 1
        if self._refusals[parcel.id] < REFUSALS_MAX or len(self._aside) >= ASIDE_MAX:
            return
        self._log.error("batch_set_aside", code=failure.code, detail=failure.detail, records=parcel.records)
        await asyncio.to_thread(self._outbox.set_aside, parcel.id)
        self._aside[parcel.id - 1] = self._clock.monotonic_s() + ASIDE_S
        del self._refusals[parcel.id]

    def _wait_s(self) -> float:
        return max(self._backoff.failed(), self._pace.take())

    def _say(self, code: str, text: str) -> None:
        if code != self._said:
            self._said = code
            self._log.warning("records_wait", detail=text)


def _require_acknowledged(parcel: Parcel, answer: bytes) -> None:
    """Raises CallFailed."""
    try:
        told = Acknowledgement.model_validate_json(answer)
    except ValidationError:
        raise CallFailed(_WRONG, "not an acknowledgement") from None
    if told.stream != parcel.head.stream or told.acknowledged < parcel.head.seq:
        raise CallFailed(_WRONG, "an acknowledgement of something else")
