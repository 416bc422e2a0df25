"""A call that bears an idempotency key: made once, and whoever repeats it gets the same answer.

What is kept is an answer that was worked for, a 2xx. One that failed frees the key, so that a repetition tries again.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from gateway.cache.answers import CacheAway
from gateway.cache.claims import Claim, Claims, Held
from gateway.cache.entry import Entry
from gateway.cache.key import asked_digest, word_name
from gateway.errors import Code, GatewayError
from gateway.pipeline.cached import watched
from gateway.pipeline.exchange import Exchange
from gateway.pipeline.replies import Pipe, Reply, Whole
from shared.clock import Clock
from shared.crypto.secret import Secret

HEADER = "idempotency-key"
CHARS_MAX = 255
RETRY_AFTER_S = 1

Run = Callable[[], Awaitable[Reply]]


class Idempotent:
    """One per worker."""

    __slots__ = ("_claims", "_clock")

    def __init__(self, claims: Claims, clock: Clock) -> None:
        self._claims = claims
        self._clock = clock

    async def through(self, word: str, exchange: Exchange, run: Run) -> Reply | Held:
        """The answer that is kept under the word, else that of the call, which `run` makes.

        Raises GatewayError 400 for what is no key, 409 while the first call runs, 422 where something else was asked.
        """
        if not _is_guarded(exchange):
            return await run()
        _check(word)
        exchange.idempotency = "DISABLED"
        keys = self._claims.keys()
        if keys is None:
            return await run()
        name, asked = _named(keys.naming, word, exchange)
        try:
            found = await self._claims.claim(keys, name, asked, exchange.id)
        except CacheAway:
            return await run()
        if isinstance(found, Held):
            exchange.idempotency = None  # A refusal is no call that went unguarded.
            _check_held(found, asked)
            exchange.idempotency = "REPLAYED"
            exchange.cache = "replayed"
            return found
        exchange.idempotency = "GUARDED"
        try:
            return self._kept(await run(), found, exchange)
        except BaseException:
            found.free()
            raise

    async def foretold(self, word: str, exchange: Exchange) -> dict[str, Any]:
        """What `through` would do, as JSON; nothing is claimed. Raises GatewayError like it."""
        if not _is_guarded(exchange):
            return {"status": "DISABLED"}
        _check(word)
        keys = self._claims.keys()
        if keys is None:
            return {"status": "DISABLED"}
        name, asked = _named(keys.naming, word, exchange)
        try:
            held = await self._claims.held(keys, name)
        except CacheAway:
            return {"status": "DISABLED"}
        if held is None:
            return {"status": "GUARDED"}
        _check_held(held, asked)
        return {"status": "REPLAYED", "original_request_id": held.request_id}

    def _kept(self, reply: Reply, claim: Claim, exchange: Exchange) -> Reply:
        if not 200 <= reply.status < 300 or isinstance(reply, Pipe):
            if isinstance(reply, Pipe):
                exchange.idempotency = "DISABLED"
            claim.free()
            return reply
        notes = _notes(exchange)
        if isinstance(reply, Whole):
            entry = Entry(reply.status, reply.content_type, False, notes, self._clock.wall_ms(), reply.body)
            if not claim.keep(entry):
                exchange.idempotency = "DISABLED"
            return reply

        def keep(events: bytes) -> None:
            claim.keep(Entry(reply.status, "", True, notes, self._clock.wall_ms(), events))

        return watched(reply, self._claims.body_bytes_max, keep, claim.free)


def _is_guarded(exchange: Exchange) -> bool:
    """An upload is not there when its call begins, so nobody can say whether it is the same one."""
    return exchange.upload is None and (exchange.passage is None or exchange.passage.method == "POST")


def _check(word: str) -> None:
    """Raises GatewayError 400."""
    if not (0 < len(word) <= CHARS_MAX and word.isascii() and word.isprintable()):
        message = f"`Idempotency-Key` has to be 1 to {CHARS_MAX} printable ASCII characters, a UUID for example"
        raise GatewayError(Code.HEADER_INVALID, message, param=HEADER)


def _check_held(held: Held, asked: str) -> None:
    """Raises GatewayError 409, 422."""
    if held.asked != asked:
        message = (
            f"this `Idempotency-Key` was used by request {held.request_id} with another path or body;"
            " give each call a key of its own"
        )
        raise GatewayError(Code.IDEMPOTENCY_KEY_REUSED, message, param=HEADER)
    if held.entry is None:
        message = (
            f"request {held.request_id} with this `Idempotency-Key` is still running;"
            " its answer is given to whoever asks again when it has ended"
        )
        raise GatewayError(Code.IDEMPOTENCY_KEY_IN_USE, message, param=HEADER, retry_after_s=RETRY_AFTER_S)


def _named(naming: Secret, word: str, exchange: Exchange) -> tuple[str, str]:
    """The name of the word, and what is asked under it."""
    assert exchange.caller is not None
    passage = exchange.passage
    path = exchange.door.value if passage is None else passage.path + passage.query
    return word_name(naming, exchange.caller.id, word), asked_digest(naming, path, exchange.body)


def _notes(exchange: Exchange) -> tuple[tuple[str, str], ...]:
    """What the answer's head says of how it came about; a repetition says the same."""
    notes = tuple(exchange.notes or ())
    attempt = exchange.answered
    if attempt is None:
        return notes
    target = attempt.target
    return (
        ("x-portkey-provider", target.place.provider),
        ("x-portkey-last-used-option-index", target.path),
        *notes,
    )
