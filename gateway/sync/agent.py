"""The node's hand in the sync: takes what is new, keeps every store in step with the newest verified state.

One loop, at its own pace. Stores are told apart only by their name: whichever is away is left alone and brought up when
it is back; whichever is older is brought up from the newer; whichever lost or changed pieces gets them again.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import structlog

from gateway.sync import copies, tree, trust
from gateway.sync.merge import merge, question
from gateway.sync.node_keys import NodeKeys
from gateway.sync.opener import unlock
from gateway.sync.refusals import Refusals
from gateway.sync.store import Store, StoreUnavailable
from gateway.sync.tree import Planted, TreeError
from gateway.sync.trust import Code, Refused, Verified
from shared.clock import Clock
from shared.protocol.answer import Answer
from shared.protocol.heartbeat import Question
from shared.protocol.lease import Lease
from shared.protocol.snapshot import DOCUMENT_BYTES_MAX, Snapshot

FILE_POLL_S = 0.5
STORE_POLL_S = 2.0
"""How often each store's pointer is compared; with a timeout of 2 s, a store that is back is seen within 5 s."""
MEND_S = 300.0
"""How often every piece is read back and checked."""

_FILE = "file"
_CONTROL_PLANE = "control_plane"
_MISSING = ()
_DIVERGED = frozenset({"digest_mismatch", "delta_mismatch"})
"""What was built upon what is held did not become what the lease names (GHS/1 14.7)."""


@dataclass(frozen=True, slots=True)
class AgentStatus:
    sequence: int | None
    """Of the newest verified lease; None: nothing yet."""
    stale: bool
    refusal: Code | None
    """The newest refusal that still stands."""
    stores: Mapping[str, bool]
    """Whether each could be used when last tried."""


@dataclass(frozen=True, slots=True)
class _Held:
    verified: Verified
    planted: Planted


@dataclass(slots=True)
class _Copy:
    """What is known of one store."""

    store: Store
    due_s: float = 0.0
    mend_due_s: float = 0.0
    away: bool = False
    full: bool = False
    """It answers, and did not take what was last to be written: for want of room say."""
    behind: bool = False
    """What is held may and must take the place of what is there."""
    pointer: bytes | None = None
    """As last seen there."""
    written: Planted | None = None
    """As last written or found there; its pieces are there as long as the pointer is."""


class Agent:
    def __init__(
        self,
        *,
        stores: Sequence[Store],
        snapshot_path: Path | None,
        pinned: str,
        gateway: str,
        node_keys: NodeKeys,
        clock: Clock,
    ) -> None:
        """`stores`: the disk first. `pinned`: the fingerprint of the control plane's signing key."""
        self._copies = [_Copy(store) for store in stores]
        self._stores = tuple(stores)
        self._snapshot_path = snapshot_path
        self._pinned = pinned
        self._gateway = gateway
        self._node_keys = node_keys
        self._clock = clock
        self._held: _Held | None = None
        self._everything = False
        """What is held is not to be built upon: the next answer is to bring it all."""
        self._file_seen: tuple[int, ...] | None = None
        """Its signature when last read; _MISSING once that was said, None before the first look."""
        self._one_at_a_time = asyncio.Lock()
        self._refusals = Refusals("sync.agent")
        self._log = structlog.get_logger("sync.agent")

    def status(self) -> AgentStatus:
        held, last = self._held, self._refusals.last
        return AgentStatus(
            sequence=None if held is None else held.verified.lease.sequence,
            stale=held is not None and trust.is_expired(held.verified.lease, self._clock.wall_ms()),
            refusal=None if last is None else last.code,
            stores={copy.store.name: not (copy.away or copy.full) for copy in self._copies},
        )

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                await self.turn()
            except Exception:  # noqa: BLE001 - the node's only agent: what broke this turn may not break the next
                self._log.error("sync_agent_failed", exc_info=True)
            await asyncio.sleep(FILE_POLL_S)

    @property
    def held(self) -> Verified | None:
        return None if self._held is None else self._held.verified

    def question(self) -> tuple[Question, Verified | None]:
        """What to ask the control plane with, and the state that its answer will build upon."""
        held = self.held
        return question(held, everything=self._everything), held

    def refuse(self, refusal: Refused) -> None:
        """An answer that could not even be read."""
        self._refusals.say(_CONTROL_PLANE, refusal)

    async def take(self, answer: Answer, base: Verified | None) -> bool:
        """An answer to the question about `base`; False if it was refused. In every store that is there afterwards."""
        async with self._one_at_a_time:
            before = self._held
            try:
                held = await asyncio.to_thread(self._accept_answer, answer, base, before)
            except Refused as refusal:
                self.refuse(refusal)
                if refusal.code in _DIVERGED:
                    self._everything = True
                    self._log.error("sync_diverged", code=refusal.code, detail=refusal.detail)
                return False
            self._everything = False
            self._refusals.clear(_CONTROL_PLANE)
            if held is not None and held is not before:
                self._hold(held, _CONTROL_PLANE)
                for copy in self._copies:  # The disk, which workers read, does not wait for what others have to say.
                    if not copy.away:  # A turn sees when it is back. Asked here, it would hold up the next answer.
                        await self._survey(copy)
                        await self._bring_up(copy)
        return True

    def _accept_answer(self, answer: Answer, base: Verified | None, before: _Held | None) -> _Held | None:
        lease = trust.verify_lease(answer.lease, pinned_fingerprint=self._pinned, gateway=self._gateway)
        trust.is_newer(lease, answer.lease, base)
        now_ms = self._clock.wall_ms()
        if before is not None:
            if lease.sequence < before.verified.lease.sequence:
                return before  # Overtaken by another answer of ours (GHS/1 14.8).
            if _brings_only_time(lease, before.verified.lease, now_ms):
                return before
        return self._accept(merge(answer, lease, base), before)

    async def turn(self) -> None:
        """One round: see what the stores hold, take what the file brings, bring up every store that is behind."""
        before = self._held
        now_s = self._clock.monotonic_s()
        for copy in self._copies:
            if now_s >= copy.due_s:
                await self._survey(copy, self._one_at_a_time)  # No answer waits for what a store has to say.
        async with self._one_at_a_time:
            await self._turn(before)

    async def _turn(self, before: _Held | None) -> None:
        await self._take_file()
        if self._held is not before:
            for copy in self._copies:
                if not copy.away:
                    await self._survey(copy)
        for copy in self._copies:
            await self._bring_up(copy)

    # What comes in: from the file, and from stores that know more than we do.

    async def _take_file(self) -> None:
        """Read the file if it changed since it was last read."""
        if self._snapshot_path is None:
            return
        before = self._held
        try:
            seen = await asyncio.to_thread(_signature, self._snapshot_path)
            if seen is None and self._file_seen is None:
                self._file_seen = _MISSING
                self._log.warning("snapshot_missing", path=str(self._snapshot_path))
            if seen is None or seen == self._file_seen:
                return
            self._file_seen = seen
            data = await asyncio.to_thread(_read_bounded, self._snapshot_path)
            snapshot = await asyncio.to_thread(trust.read, data)
            held = await asyncio.to_thread(self._accept, snapshot, before)
        except OSError as error:
            self._refusals.say(_FILE, Refused("unreadable", str(error)))
        except Refused as refusal:
            self._refusals.say(_FILE, refusal)
        else:
            self._refusals.clear(_FILE)
            if held is not before:
                self._hold(held, _FILE)

    def _accept(self, snapshot: Snapshot, before: _Held | None) -> _Held:
        verified = trust.accept(
            snapshot,
            pinned_fingerprint=self._pinned,
            gateway=self._gateway,
            have=None if before is None else before.verified,
            now_ms=self._clock.wall_ms(),
        )
        return before if before is not None and verified is before.verified else self._plant(verified)

    def _accept_stored(self, snapshot: Snapshot, before: _Held | None) -> _Held:
        verified = trust.accept_stored(
            snapshot,
            pinned_fingerprint=self._pinned,
            gateway=self._gateway,
            have=None if before is None else before.verified,
        )
        return self._plant(verified)

    def _plant(self, verified: Verified) -> _Held:
        # A state this node cannot open would leave it with nothing to serve after a restart, so it is not taken at all.
        unlock(verified.snapshot.key_chain, verified.lease, self._node_keys)
        return _Held(verified, tree.plant(verified.snapshot, verified.lease))

    def _hold(self, held: _Held, source: str) -> None:
        self._held = held
        self._log.info("sync_accepted", source=source, sequence=held.verified.lease.sequence)

    # What goes out: every store gets what is held, unless it knows better.

    async def _survey(self, copy: _Copy, lock: AbstractAsyncContextManager[object] | None = None) -> None:
        """See what the store has. `lock`: to be taken once it has answered, by whoever does not hold it anyway."""
        known = copy.pointer
        copy.due_s = self._clock.monotonic_s() + STORE_POLL_S
        try:
            pointer = await copy.store.pointer()
        except StoreUnavailable as error:
            self._gone(copy, error)
            return
        async with lock or nullcontext():
            if copy.pointer is not known:  # An answer that was taken meanwhile knows better.
                return
            copy.pointer = pointer
            self._back(copy)
            copy.behind = await self._is_behind(copy)

    async def _is_behind(self, copy: _Copy) -> bool:
        """Whether what is held takes the place of what the store has. What the store has newer is held afterwards."""
        held = self._held
        if copy.pointer is None:
            return True
        source = copy.store.name
        if held is not None and copy.pointer == held.planted.pointer:
            self._refusals.clear(source)
            return False
        try:
            record = tree.read_pointer(copy.pointer)
            lease = trust.verify_lease(record.lease, pinned_fingerprint=self._pinned, gateway=self._gateway)
        except TreeError as error:
            self._refusals.say(source, Refused("malformed", str(error)))
            return True
        except Refused as refusal:
            self._refusals.say(source, refusal)
            return True
        if held is not None and lease.sequence < held.verified.lease.sequence:
            return True
        try:
            if not trust.is_newer(lease, record.lease, None if held is None else held.verified):
                return True  # The same lease in other pieces: ours are known to be whole.
            snapshot = await copies.load(self._stores, record, lease, None if held is None else held.verified)
            found = await asyncio.to_thread(self._accept_stored, snapshot, held)
        except Refused as refusal:
            # Genuine and not older, yet not to be used here, or not all there: it is not ours to overwrite.
            self._refusals.say(source, refusal)
            return False
        self._refusals.clear(source)
        self._hold(found, source)
        return False

    async def _bring_up(self, copy: _Copy) -> None:
        held = self._held
        if held is None or copy.away:
            return
        try:
            if copy.behind:
                await self._publish(copy, held.planted)
            in_step = copy.pointer == held.planted.pointer
            if in_step and self._clock.monotonic_s() >= copy.mend_due_s:
                await self._mend(copy, held.planted)
        except StoreUnavailable as error:
            self._gone(copy, error)
            copy.full = True
        else:
            if copy.full:
                copy.full = False
                self._log.info("sync_store_back", store=copy.store.name)

    async def _publish(self, copy: _Copy, planted: Planted) -> None:
        there: Collection[str] = ()
        if copy.written is not None and copy.written.pointer == copy.pointer:
            there = copy.written.pieces.keys()
        copy.behind = False
        if not await copies.publish(copy.store, planted, copy.pointer, there):
            copy.due_s = 0.0  # A rival was faster; see what it wrote.
            return
        copy.pointer, copy.written = planted.pointer, planted
        self._refusals.clear(copy.store.name)
        self._log.info("sync_stored", store=copy.store.name)
        await copies.sweep(copy.store)

    async def _mend(self, copy: _Copy, planted: Planted) -> None:
        copy.mend_due_s = self._clock.monotonic_s() + MEND_S
        mended = await copies.mend(copy.store, planted)
        copy.written = planted
        if mended:
            self._log.error("sync_store_mended", store=copy.store.name, pieces=mended)

    def _gone(self, copy: _Copy, error: StoreUnavailable) -> None:
        copy.behind = False
        copy.written = None
        copy.due_s = self._clock.monotonic_s() + STORE_POLL_S
        if not (copy.away or copy.full):
            self._log.warning("sync_store_away", store=error.store, detail=error.detail)
        copy.away = True

    def _back(self, copy: _Copy) -> None:
        if copy.away:
            if not copy.full:  # Else it is back when it takes what it lacks.
                self._log.info("sync_store_back", store=copy.store.name)
            copy.mend_due_s = 0.0  # It may have come back with less than it had.
        copy.away = False


def _brings_only_time(lease: Lease, held: Lease, now_ms: int) -> bool:
    """Whether the one held does as well: not worth a write in every store (GHS/1 14.9)."""
    if (lease.vector, lease.key_chain) != (held.vector, held.key_chain):
        return False
    if lease.expires_at_ms < held.expires_at_ms:  # A clock was ahead: the one held would not tell of its end.
        return False
    return held.expires_at_ms - now_ms > (held.expires_at_ms - held.issued_at_ms) / 2


def _signature(path: Path) -> tuple[int, ...] | None:
    """Changes whenever the file does; None if there is none. Raises OSError."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def _read_bounded(path: Path) -> bytes:
    """One byte more than the limit at most, which is enough to refuse it."""
    with path.open("rb") as file:
        return file.read(DOCUMENT_BYTES_MAX + 1)
