"""A worker's eye on the stores: a newer state there is loaded, verified and handed to the view.

Whatever is refused is said once by name, and what the worker holds stays.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog

from gateway.sync import copies, tree, trust
from gateway.sync.node_keys import NodeKeys
from gateway.sync.opener import Opener, unlock
from gateway.sync.refusals import Refusals
from gateway.sync.state import VerifiedState
from gateway.sync.store import Store, StoreUnavailable
from gateway.sync.trust import Code, Refused, Verified
from shared.clock import Clock
from shared.protocol.lease import Lease, SignedLease
from shared.protocol.snapshot import Snapshot

FIRST_POLL_S = 0.2
"""How often the first store, the node's disk, is looked at."""
OTHER_POLL_S = 1.0
RETRY_S = 2.0
"""After a state that was not all there or could not be applied, or a store that was away."""


class FollowerStatus(msgspec.Struct, frozen=True):
    sequence: int | None
    """Of the lease in use; None: nothing to serve yet."""
    stale: bool
    refusal: Code | None
    """The newest refusal that still stands."""


class _Watch(msgspec.Struct):
    store: Store
    poll_s: float
    due_s: float = 0.0
    """Not to be looked at before."""
    settled: bytes | None = None
    """The pointer that has been dealt with, whatever came of it."""
    is_looked_at: bool = False
    """It has answered once, or could not."""


class Follower:
    """`apply` gets each new state, one at a time; a running apply is waited for."""

    def __init__(
        self,
        *,
        stores: Sequence[Store],
        pinned: str,
        gateway: str,
        node_keys: NodeKeys,
        clock: Clock,
        apply: Callable[[VerifiedState], Awaitable[None]],
    ) -> None:
        """`stores`: the disk first. `pinned`: the fingerprint of the control plane's signing key."""
        self._watches = [
            _Watch(store, FIRST_POLL_S if index == 0 else OTHER_POLL_S) for index, store in enumerate(stores)
        ]
        self._stores = tuple(stores)
        self._pinned = pinned
        self._gateway = gateway
        self._node_keys = node_keys
        self._clock = clock
        self._apply = apply
        self._have: Verified | None = None
        self._one_at_a_time = asyncio.Lock()
        self._refusals = Refusals("sync.follower")
        self._log = structlog.get_logger("sync.follower")

    @property
    def status(self) -> FollowerStatus:
        last = self._refusals.last
        return FollowerStatus(
            sequence=None if self._have is None else self._have.lease.sequence,
            stale=self._have is not None and trust.is_expired(self._have.lease, self._clock.wall_ms()),
            refusal=None if last is None else last.code,
        )

    async def run(self, looked: asyncio.Event | None = None) -> None:
        """Follow the stores until cancelled, each in a loop of its own: one that stands still holds up no other.

        `looked` is set as soon as there is something to serve, or each store was looked at once.
        """
        looked = asyncio.Event() if looked is None else looked
        # By itself: with a state on disk a start reads it once, and waits for nobody else.
        await self._step(self._watches[0], looked)
        async with asyncio.TaskGroup() as group:
            for watch in self._watches:
                group.create_task(self._watch(watch, looked))

    async def _watch(self, watch: _Watch, looked: asyncio.Event) -> None:
        while True:
            await self._step(watch, looked)
            await asyncio.sleep(watch.poll_s)

    async def _step(self, watch: _Watch, looked: asyncio.Event) -> None:
        try:
            await self._look_if_due(watch)
        except Exception:  # noqa: BLE001 - a worker serves what it has, whatever is wrong with what is new
            self._log.error("sync_follower_failed", exc_info=True)
        watch.is_looked_at = True
        if self._have is not None or all(each.is_looked_at for each in self._watches):
            looked.set()

    async def turn(self) -> None:
        """Look at the stores whose time has come, one after another."""
        for watch in self._watches:
            await self._look_if_due(watch)

    async def _look_if_due(self, watch: _Watch) -> None:
        if self._clock.monotonic_s() >= watch.due_s:
            await self._look(watch)

    async def _look(self, watch: _Watch) -> None:
        try:
            pointer = await watch.store.pointer()
            if pointer is not None and pointer != watch.settled:
                await self._follow(watch, pointer)
        except StoreUnavailable:
            # The agent says so, once for the node; here there is nothing to do but to look again.
            watch.due_s = self._clock.monotonic_s() + RETRY_S

    async def _follow(self, watch: _Watch, pointer: bytes) -> None:
        try:
            # Not one at a time: what comes from another store does not wait for pieces that this one owes.
            found = await self._load(pointer)
        except Refused as refusal:
            self._refuse(watch, pointer, refusal)
            return
        async with self._one_at_a_time:
            await self._take(watch, pointer, found)

    def _refuse(self, watch: _Watch, pointer: bytes, refusal: Refused) -> None:
        self._refusals.say(watch.store.name, refusal)
        if refusal.code == "incomplete":
            watch.due_s = self._clock.monotonic_s() + RETRY_S
        else:
            watch.settled = pointer

    async def _take(self, watch: _Watch, pointer: bytes, found: tuple[Lease, Snapshot] | None) -> None:
        """Hand on what was found behind a pointer, if it is good, and newer than what came from another meanwhile."""
        try:
            state = None
            if found is not None and self._is_wanted(found[0], found[1].lease):
                state = await asyncio.to_thread(self._believe, found[1])
        except Refused as refusal:
            self._refuse(watch, pointer, refusal)
            return
        if state is None:
            watch.settled = pointer
            self._refusals.clear(watch.store.name)
            return
        verified, opener = state
        if self._have is not None and _same_content(verified, self._have):
            self._have = verified  # A fresh lease over what is served already.
            self._refusals.clear(watch.store.name)
            watch.settled = pointer
            return
        stale = trust.is_expired(verified.lease, self._clock.wall_ms())
        shards = {shard.shard: shard for shard in verified.snapshot.shards}
        watch.due_s = self._clock.monotonic_s() + RETRY_S
        await self._apply(VerifiedState(verified.lease, shards, opener, stale))
        # Only now: what could not be applied, for want of memory say, is tried again.
        watch.settled, watch.due_s = pointer, 0.0
        self._have = verified
        self._refusals.clear(watch.store.name)
        self._log.info("sync_applied", source=watch.store.name, sequence=verified.lease.sequence, stale=stale)

    async def _load(self, pointer: bytes) -> tuple[Lease, Snapshot] | None:
        """The state behind a pointer, not verified yet; None if it is the one held or older. Raises Refused."""
        try:
            record = tree.read_pointer(pointer)
        except tree.TreeError as error:
            raise Refused("malformed", str(error)) from None
        lease = trust.verify_lease(record.lease, pinned_fingerprint=self._pinned, gateway=self._gateway)
        if not self._is_wanted(lease, record.lease):
            return None
        return lease, await copies.load(self._stores, record, lease, self._have)

    def _is_wanted(self, lease: Lease, signed: SignedLease) -> bool:
        """Raises Refused."""
        if self._have is not None and lease.sequence < self._have.lease.sequence:
            return False  # A store that lags is no attack. The agent brings it up.
        return trust.is_newer(lease, signed, self._have)

    def _believe(self, snapshot: Snapshot) -> tuple[Verified, Opener]:
        verified = trust.accept_stored(
            snapshot, pinned_fingerprint=self._pinned, gateway=self._gateway, have=self._have
        )
        return verified, unlock(snapshot.key_chain, verified.lease, self._node_keys)


def _same_content(one: Verified, other: Verified) -> bool:
    return (one.lease.digest, one.lease.key_chain) == (other.lease.digest, other.lease.key_chain)
