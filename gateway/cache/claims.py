"""Words under which a call is made once: claimed while it runs, then its answer in the same place, so there is no gap.

A claim is short and renewed as long as its call runs. One whose worker was killed ends by itself.
"""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from gateway.cache.answers import Answers, CacheAway
from gateway.cache.entry import Entry
from gateway.cache.keys import Keys
from gateway.cache.redis_line import WRITE_S, LineDown, RedisLine, Refused, Writes
from shared.protocol.envelope import EnvelopeError

CLAIM_MS = 30_000
RENEW_S = 10.0

_DIGEST_CHARS = 64
_CLAIMED, _KEPT = b"C", b"K"
_FREE = b"if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end return 1"
_PUT = (
    b"local held = redis.call('GET', KEYS[1]) if held and held ~= ARGV[1] then return 0 end "
    b"redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) return 1"
)
"""Unless another one has claimed it meanwhile. What Redis has lost is put there anew."""

Sleep = Callable[[float], Awaitable[None]]
log = structlog.get_logger("cache.claims")


class Held(msgspec.Struct, frozen=True):
    """What stands under a word."""

    asked: str
    """Digest of what was asked."""
    request_id: str
    """Of the call that claimed it."""
    entry: Entry | None
    """Its answer; None: it still runs."""


class Claims:
    """One per worker."""

    __slots__ = ("_answers", "_keep_s", "_line", "_sleep", "_tasks", "_writes")

    def __init__(self, line: RedisLine | None, answers: Answers, keep_s: int, sleep: Sleep) -> None:
        """`answers` seals and opens what is kept. `keep_s`: how long. `sleep` is for the time between renewals."""
        self._line = line
        self._answers = answers
        self._keep_s = keep_s
        self._sleep = sleep
        self._tasks: set[asyncio.Task[None]] = set()
        self._writes = Writes("claim_not_written", "claim_written_again")

    @property
    def body_bytes_max(self) -> int:
        return self._answers.body_bytes_max

    def keys(self) -> Keys | None:
        """None while nothing can be claimed or found."""
        return self._answers.keys()

    async def claim(self, keys: Keys, name: str, asked: str, request_id: str) -> "Claim | Held":
        """The word, or what holds it already. Raises CacheAway."""
        assert self._line is not None, "without a line there are no keys"
        at, mine = self._answers.address(keys, name), _CLAIMED + f"{asked} {request_id}".encode()
        try:
            setting = self._line.begin(b"SET", at, mine, b"NX", b"PX", b"%d" % CLAIM_MS)
            getting = self._line.begin(b"GET", at)
            value = await self._line.reply(getting)
            setting.result()  # It was answered first.
        except (LineDown, Refused) as error:
            raise CacheAway from error
        except asyncio.CancelledError:
            self.put(_FREE, at, mine)
            raise
        if value == mine:
            return Claim(self, keys, name, at, mine)
        return self._held(keys, name, value)

    async def held(self, keys: Keys, name: str) -> Held | None:
        """What holds a word, if anything does; it is not claimed. Raises CacheAway."""
        assert self._line is not None, "without a line there are no keys"
        try:
            value = await self._line.ask(b"GET", self._answers.address(keys, name))
        except (LineDown, Refused) as error:
            raise CacheAway from error
        return None if value is None else self._held(keys, name, value)

    async def settled(self) -> None:
        """Until everything that was on its way is there, or is known not to be."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def sealed(self, keys: Keys, name: str, mine: bytes, entry: Entry) -> bytes:
        """The answer in the place of its claim. It opens only where the same was asked."""
        asked = mine[1 : 1 + _DIGEST_CHARS].decode()
        return _KEPT + mine[1:] + b" " + self._answers.sealed(keys, f"{name}.{asked}", entry)

    def put(self, script: bytes, at: bytes, mine: bytes, *more: bytes) -> bool:
        """On its way when this returns; False if it is not."""
        assert self._line is not None, "without a line there are no claims"
        try:
            pending = self._line.begin(b"EVAL", script, b"1", at, mine, *more)
        except LineDown:
            return False
        task = asyncio.create_task(self._written(self._line, pending))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def keep(self, at: bytes, mine: bytes, value: bytes) -> bool:
        return self.put(_PUT, at, mine, value, b"%d" % (self._keep_s * 1_000))

    def free(self, at: bytes, mine: bytes) -> None:
        self.put(_FREE, at, mine)

    async def renew(self, at: bytes, mine: bytes) -> None:
        """Until cancelled."""
        while True:
            await self._sleep(RENEW_S)
            self.put(_PUT, at, mine, mine, b"%d" % CLAIM_MS)

    def _held(self, keys: Keys, name: str, value: bytes | int | None) -> Held:
        """Raises CacheAway for what is none of ours, and for what was lost between two commands."""
        if not isinstance(value, bytes):
            raise CacheAway
        asked_bytes, _, rest = value[1:].partition(b" ")
        request_id_bytes, _, sealed = rest.partition(b" ")
        asked, request_id = asked_bytes.decode("ascii", "replace"), request_id_bytes.decode("ascii", "replace")
        if not request_id.isprintable():
            raise CacheAway  # It is told in a header, and not sealed.
        if value[:1] == _CLAIMED:
            return Held(asked, request_id, None)
        entry = self._answers.opened(keys, f"{name}.{asked}", sealed)
        if entry is None:
            raise CacheAway
        return Held(asked, request_id, entry)

    async def _written(self, line: RedisLine, pending: "asyncio.Future[bytes | int | None]") -> None:
        try:
            await line.reply(pending, WRITE_S)
        except LineDown:
            pass
        except Refused as refusal:
            self._writes.ended(str(refusal))
        else:
            self._writes.ended()


class Claim:
    """A word that one call holds. It is ended once, by `keep` or `free`; what comes after does nothing."""

    __slots__ = ("_at", "_claims", "_keys", "_mine", "_name", "_renewing")

    def __init__(self, claims: Claims, keys: Keys, name: str, at: bytes, mine: bytes) -> None:
        self._claims = claims
        self._keys = keys
        self._name = name
        self._at = at
        self._mine = mine
        self._renewing: asyncio.Task[None] | None = asyncio.create_task(claims.renew(at, mine))

    def keep(self, entry: Entry) -> bool:
        """Whether the answer is on its way to where the claim was. One that cannot be kept frees it."""
        if not self._ended():
            return False
        if entry.size <= self._claims.body_bytes_max:
            try:
                return self._claims.keep(
                    self._at, self._mine, self._claims.sealed(self._keys, self._name, self._mine, entry)
                )
            except EnvelopeError as error:
                log.warning("claim_not_sealed", code=error.code)
        self._claims.free(self._at, self._mine)
        return False

    def free(self) -> None:
        if self._ended():
            self._claims.free(self._at, self._mine)

    def _ended(self) -> bool:
        """Whether it ends with this."""
        renewing, self._renewing = self._renewing, None
        return renewing is not None and (renewing.cancel() or True)
