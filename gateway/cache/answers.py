"""Answers in Redis, sealed: found within a bounded time or not at all, kept without anybody waiting."""

import asyncio

import structlog

from gateway.cache import entry as entries
from gateway.cache.entry import Entry
from gateway.cache.keys import CacheKeys, Keys
from gateway.cache.redis_line import WRITE_S, LineDown, RedisLine, Refused, Writes
from shared.protocol import envelope
from shared.protocol.envelope import EnvelopeError, Subject, Suite

HEAD_BYTES_MAX = 4 * 1024
"""What stands around a body before it is sealed, at most."""
WRITING_BYTES_MAX = 16 * 1024 * 1024
"""Of answers on their way to Redis; what comes beyond is not kept."""

log = structlog.get_logger("cache.answers")


class CacheAway(Exception):
    """Redis, or the key that seals, is not there now."""


class Answers:
    """One per worker. Names are digests, values are envelopes that open only at their own name."""

    __slots__ = ("_body_bytes_max", "_keys", "_kind", "_line", "_tasks", "_writes", "_writing", "_writing_bytes")

    def __init__(self, line: RedisLine | None, keys: CacheKeys, kind: str, body_bytes_max: int) -> None:
        """`line` None: there is no Redis. `kind`: what they are called there."""
        self._line = line
        self._keys = keys
        self._kind = kind
        self._body_bytes_max = body_bytes_max
        self._writing: dict[str, Entry] = {}
        """On their way: whoever asks for one of these need not wait until it is there."""
        self._writing_bytes = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._writes = Writes("cache_not_kept", "cache_kept_again")

    @property
    def body_bytes_max(self) -> int:
        return self._body_bytes_max

    def keys(self) -> Keys | None:
        """None while nothing can be kept or found."""
        return self._keys.current() if self._line is not None and self._line.is_up else None

    async def get(self, keys: Keys, name: str) -> Entry | None:
        """Raises CacheAway."""
        if (entry := self._writing.get(name)) is not None:
            return entry
        assert self._line is not None, "without a line there are no keys"
        try:
            sealed = await self._line.ask(b"GET", self.address(keys, name))
        except (LineDown, Refused) as error:
            raise CacheAway from error
        return self.opened(keys, name, sealed) if isinstance(sealed, bytes) else None

    def put(self, keys: Keys, name: str, entry: Entry, max_age_s: int) -> bool:
        """On its way when this returns; False for one that is not kept."""
        if entry.size > self._body_bytes_max or self._writing_bytes + entry.size > WRITING_BYTES_MAX:
            return False
        assert self._line is not None, "without a line there are no keys"
        sealed = self.sealed(keys, name, entry)
        try:
            pending = self._line.begin(b"SET", self.address(keys, name), sealed, b"EX", b"%d" % max_age_s)
        except LineDown:
            return False
        self._writing[name] = entry
        self._writing_bytes += entry.size
        task = asyncio.create_task(self._written(self._line, pending, name, entry))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def settled(self) -> None:
        """Until everything that was on its way is there, or is known not to be."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def address(self, keys: Keys, name: str) -> bytes:
        return f"{keys.prefix}{self._kind}:{name}".encode()

    def sealed(self, keys: Keys, name: str, entry: Entry) -> bytes:
        return envelope.seal(keys.sealing, self._subject(name), entries.written(entry), Suite.PLAIN)

    def opened(self, keys: Keys, name: str, sealed: bytes) -> Entry | None:
        """None for what is none of ours: of another key, of another name, or damaged."""
        try:
            return entries.read(envelope.open_(keys.sealing, self._subject(name), sealed))
        except EnvelopeError as error:
            log.warning("cache_entry_does_not_open", code=error.code)
            return None

    def _subject(self, name: str) -> Subject:
        return Subject("", "", self._kind, name, 0, 1, 1)

    async def _written(
        self, line: RedisLine, pending: "asyncio.Future[bytes | int | None]", name: str, entry: Entry
    ) -> None:
        try:
            await line.reply(pending, WRITE_S)
        except LineDown:
            pass
        except Refused as refusal:
            self._writes.ended(str(refusal))
        else:
            self._writes.ended()
        finally:
            self._writing_bytes -= entry.size
            if self._writing.get(name) is entry:
                del self._writing[name]
