"""How a node comes to the gateway's user key: born in one, given to the others over their Redis (GHS/1 17.14 to 17.16).

The key is in a file that workers read (`pseudonyms.py`). Whoever has it says so in a claim that others see, and gives
it to the nodes that ask, sealed to each. A node that has another key than the one that is claimed, since there was no
Redis when it was made or nobody else was there for long, takes the claimed one in its place.
"""

import asyncio
import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import structlog

from gateway.sync import private_files
from gateway.sync.node_keys import NodeKeys
from gateway.sync.trust import Verified
from gateway.telemetry import user_key_words as words
from gateway.telemetry.user_key_board import CLAIM_MS, Board, BoardUnavailable
from gateway.telemetry.user_key_file import FILE, KEY_BYTES
from gateway.telemetry.user_key_words import Answer, Circle, Claim, Request
from shared.clock import Clock
from shared.crypto.secret import Secret
from shared.protocol import key_chain

LOOK_S = 2.0
"""How often a node sees to it."""
RENEW_S = 60.0
APART_MS = 300_000
"""What the nodes' clocks may be apart."""
HEEDED_MS = CLAIM_MS + APART_MS
"""How long after it was signed a claim is heeded: as long as it stands, and what the nodes' clocks may be apart."""
BIRTH_S = 10.0
"""How long a node that is not the only one waits for somebody with a key, before it makes one."""

log = structlog.get_logger("telemetry.user_key")


class UserKeys:
    def __init__(
        self,
        state_dir: Path,
        board: Board | None,
        node_keys: NodeKeys,
        held: Callable[[], Verified | None],
        clock: Clock,
    ) -> None:
        """`board`: None for a node that shares no Redis. `held`: the newest verified state."""
        self._path = state_dir / FILE
        self._board = board
        self._node_keys = node_keys
        self._held = held
        self._clock = clock
        self._circle: tuple[bytes, Circle] | None = None
        """With the payload of the lease it is of."""
        self._unclaimed_since_s: float | None = None
        self._renew_due_s = 0.0
        self._said = ""
        """The event of what keeps it from its work; empty: nothing."""

    async def run(self) -> None:
        """See to it until cancelled."""
        while True:
            try:
                await self.turn()
            except Exception:  # What broke this turn may not keep the node without a key for good.
                log.exception("user_key_failed")
            await asyncio.sleep(LOOK_S)

    async def turn(self) -> None:
        try:
            await self._look()
        except BoardUnavailable as error:
            self._say("user_key_board_away", str(error))
        except OSError as error:
            self._say("user_key_not_kept", error.strerror or type(error).__name__)
        else:
            self._said = ""

    def _say(self, event: str, detail: str) -> None:
        """Once, until it was well."""
        if event != self._said:
            log.warning(event, detail=detail)
        self._said = event

    async def _look(self) -> None:
        own, taken_ms = await asyncio.to_thread(self._own)
        if self._board is None:
            if own is None:
                await self._keep(_new_key())
            return
        circle = await asyncio.to_thread(self._nodes)
        if circle is None:
            return
        await self._turn(self._board, circle, own, taken_ms)

    async def _turn(self, board: Board, circle: Circle, own: Secret | None, taken_ms: int) -> None:
        seen = await board.claim()
        claim = words.hear(Claim, seen, circle)
        if claim is not None and not _is(own, claim) and not self._is_heeded(claim, taken_ms):
            claim = None
        if claim is not None:
            self._unclaimed_since_s = None
        if own is not None and (claim is None or _is(own, claim)):
            if await self._claimed(board, circle, own, seen, claim):
                await self._give(board, circle, own)
        elif claim is not None:
            await self._ask(board, circle, claim)
        elif self._may_make_one(circle):
            fresh = _new_key()
            if await board.move_claim(seen, self._claim(circle, fresh)):
                await self._keep(fresh)

    def _is_heeded(self, claim: Claim, taken_ms: int) -> bool:
        """Whether a claim of another key than ours is one of now; `taken_ms`: when we took ours."""
        if claim.node == self._node_keys.node:
            return False  # We died before we had it.
        now_ms = self._clock.wall_ms()
        if taken_ms > now_ms + APART_MS:
            taken_ms = 0  # The clock was wrong then. Two such nodes would each heed nobody until it is so late.
        # Else whoever can write to Redis and kept an old claim could bring back a key that was given up.
        return claim.at_ms > max(taken_ms, now_ms - HEEDED_MS)

    def _may_make_one(self, circle: Circle) -> bool:
        """Whether there can be nobody who has it: no other node, or none that says so for a while."""
        if set(circle.nodes) == {self._node_keys.node}:
            return True
        now_s = self._clock.monotonic_s()
        if self._unclaimed_since_s is None:
            self._unclaimed_since_s = now_s
        return now_s - self._unclaimed_since_s >= BIRTH_S

    async def _claimed(
        self, board: Board, circle: Circle, own: Secret, seen: bytes | None, claim: Claim | None
    ) -> bool:
        """See to it that others know of the key; whether they do."""
        now_s = self._clock.monotonic_s()
        if claim is not None and now_s < self._renew_due_s:
            return True
        if not await board.move_claim(seen, self._claim(circle, own)):
            return False
        self._renew_due_s = now_s + RENEW_S
        return True

    async def _give(self, board: Board, circle: Circle, own: Secret) -> None:
        """Answer every node of this gateway that asks."""
        others = [node for node in circle.nodes if node != self._node_keys.node]
        for data in await board.requests(others):
            request = words.hear(Request, data, circle)
            if request is None:
                continue
            answer = words.seal(own, _fingerprint(own), request, circle, self._node_keys)
            if answer is not None:
                await board.answer(request.node, answer)
                log.info("user_key_given", node=request.node)

    async def _ask(self, board: Board, circle: Circle, claim: Claim) -> None:
        """Take what was given; as long as nothing was, ask for it."""
        node = self._node_keys.node
        answer = words.hear(Answer, await board.answer_to(node), circle)
        if answer is not None and answer.to == node and answer.fingerprint == claim.fingerprint:
            key = words.open_(answer, circle, self._node_keys)
            if key is not None and len(key.reveal()) == KEY_BYTES and _is(key, claim):
                await self._keep(key)
                await board.done(node)
                log.info("user_key_received", by=answer.node)
                return
        request = Request(gateway=circle.gateway, node=node, open=self._node_keys.public.open)
        await board.ask(node, words.say(request, self._node_keys))

    def _claim(self, circle: Circle, key: Secret) -> bytes:
        claim = Claim(
            gateway=circle.gateway,
            node=self._node_keys.node,
            fingerprint=_fingerprint(key),
            at_ms=self._clock.wall_ms(),
        )
        return words.say(claim, self._node_keys)

    def _nodes(self) -> Circle | None:
        """The gateway's nodes, as the control plane signed them; None: nothing is known yet."""
        held = self._held()
        if held is None:
            return None
        payload = held.snapshot.lease.payload
        if self._circle is None or self._circle[0] != payload:
            chain = key_chain.parse(held.snapshot.key_chain)
            nodes = frozenset(entry.node for entry in chain.data_plane_keys)
            self._circle = payload, Circle(held.lease.organisation, held.lease.gateway, nodes)
        return self._circle[1]

    def _own(self) -> tuple[Secret | None, int]:
        """The key, and when it was taken."""
        try:
            data = self._path.read_bytes()
            taken_ms = self._path.stat().st_mtime_ns // 1_000_000
        except FileNotFoundError:
            return None, 0
        return (Secret(data), taken_ms) if len(data) == KEY_BYTES else (None, 0)

    async def _keep(self, key: Secret) -> None:
        await asyncio.to_thread(self._write, key)

    def _write(self, key: Secret) -> None:
        private_files.write(self._path, key.reveal())
        now_ns = self._clock.wall_ms() * 1_000_000
        os.utime(self._path, ns=(now_ns, now_ns))


def _new_key() -> Secret:
    return Secret(secrets.token_bytes(KEY_BYTES))


def _fingerprint(key: Secret) -> str:
    return hashlib.sha256(key.reveal()).hexdigest()


def _is(key: Secret | None, claim: Claim | None) -> bool:
    return key is not None and claim is not None and _fingerprint(key) == claim.fingerprint
