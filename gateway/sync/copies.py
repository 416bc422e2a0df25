"""States into stores and out of them: what is missing is written, what is read is checked, what is bad is mended."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence

from gateway.sync import tree
from gateway.sync.store import Store, StoreUnavailable
from gateway.sync.tree import Manifest, Planted, Pointer, TreeError
from gateway.sync.trust import Refused, Verified
from shared.protocol.digest import DigestError
from shared.protocol.lease import Lease
from shared.protocol.resource import SealedResource
from shared.protocol.snapshot import ShardState, Snapshot

_Key = tuple[str, str, str, int, int, int, str]


async def publish(store: Store, state: Planted, expected: bytes | None, there: Collection[str]) -> bool:
    """Write what `store` lacks of `state`, then move its pointer from `expected`; False if a rival moved it first.

    `there` are pieces known to be there since `expected` reaches them: as long as the pointer is `expected`, nobody
    sweeps them, and if it is not, the move fails (GHS/1 8.6). Raises StoreUnavailable.
    """
    missing = await store.touch([name for name in state.pieces if name not in there])
    await store.put({name: state.pieces[name] for name in missing})
    return await store.move(expected, state.pointer)


async def mend(store: Store, state: Planted) -> int:
    """Read every piece of `state` back, write again what is missing or changed; how many. Raises StoreUnavailable."""
    good = await _intact(store, state.pieces)
    bad = {name: piece for name, piece in state.pieces.items() if name not in good}
    await store.put(bad)
    return len(bad)


async def sweep(store: Store) -> int:
    """Remove what the last pointers do not reach; how many pieces. Raises StoreUnavailable.

    Where any of them cannot be followed nothing is removed: what cannot be seen might be in use.
    """
    try:
        pointers = [tree.read_pointer(pointer) for pointer in await store.pointers()]
        keep = {tree.value(pointer.key_chain) for pointer in pointers}
        roots = {tree.manifest(digest) for pointer in pointers for digest in pointer.shards.values()}
        manifests = await _manifests([store], roots)
    except (TreeError, Refused):
        return 0
    keep |= manifests.keys()
    keep |= {tree.value(entry.hash) for listed in manifests.values() for entry in listed.entries}
    return await store.sweep(keep)


async def load(stores: Sequence[Store], pointer: Pointer, lease: Lease, have: Verified | None) -> Snapshot:
    """The state behind `pointer`, each piece from the first store that has it intact; what `have` holds is shared.

    `lease` is the pointer's, verified. The snapshot is not: it goes to `trust.accept_stored`. Raises Refused.
    """
    roots = {shard: tree.manifest(digest) for shard, digest in pointer.shards.items()}
    manifests = await _manifests(stores, roots.values())
    wanted, held, names = await asyncio.to_thread(_compare, roots, manifests, have)
    values = await _fetch(stores, names | {tree.value(pointer.key_chain)})
    return await asyncio.to_thread(_assemble, pointer, lease, wanted, held, values, have)


def _compare(
    roots: Mapping[str, str], manifests: Mapping[str, Manifest], have: Verified | None
) -> tuple[dict[str, list[_Key]], dict[_Key, SealedResource], set[str]]:
    """What the manifests list by shard, what of it is held already, and the names of the values that are not."""
    wanted = {
        shard: [
            (shard, e.kind, e.id, e.revision, e.schema_version, e.key_epoch, e.hash)
            for part in _parts(manifests, root)
            for e in part.entries
        ]
        for shard, root in roots.items()
    }
    held = {} if have is None else {_key(r): r for shard in have.snapshot.shards for r in shard.resources}
    names = {tree.value(key[-1]) for keys in wanted.values() for key in keys if key not in held}
    return wanted, held, names


def _assemble(
    pointer: Pointer,
    lease: Lease,
    wanted: Mapping[str, Iterable[_Key]],
    held: Mapping[_Key, SealedResource],
    values: Mapping[str, bytes],
    have: Verified | None,
) -> Snapshot:
    positions = {entry.shard: (entry.epoch, entry.revision) for entry in lease.vector}
    before = {} if have is None else {shard.shard: shard for shard in have.snapshot.shards}
    shards = []
    for shard, keys in sorted(wanted.items()):
        if shard not in positions:
            raise Refused("digest_mismatch", f"{shard} is stored, but the lease does not name it")
        resources = tuple(held.get(key) or SealedResource(*key[:-1], values[tree.value(key[-1])]) for key in keys)
        try:
            state = ShardState(shard, *positions[shard], resources)
        except DigestError as error:
            raise Refused("digest_mismatch", str(error)) from None
        # An unchanged shard stays the same object, so whoever compiles it can see that at a glance.
        shards.append(before[shard] if before.get(shard) == state else state)
    return Snapshot(pointer.lease, values[tree.value(pointer.key_chain)], tuple(shards))


def _key(resource: SealedResource) -> _Key:
    return (
        resource.shard,
        resource.kind,
        resource.id,
        resource.revision,
        resource.schema_version,
        resource.key_epoch,
        resource.hash,
    )


async def _manifests(stores: Sequence[Store], roots: Collection[str]) -> dict[str, Manifest]:
    """The manifests of these names and the parts they name. Raises Refused(incomplete)."""
    found = await asyncio.to_thread(_read, await _fetch(stores, set(roots)))
    parts = {tree.manifest(part) for root in found.values() for part in root.parts}
    return found | await asyncio.to_thread(_read, await _fetch(stores, parts))


def _read(pieces: Mapping[str, bytes]) -> dict[str, Manifest]:
    try:
        return {name: tree.read_manifest(piece) for name, piece in pieces.items()}
    except TreeError as error:
        raise Refused("malformed", str(error)) from None


def _parts(manifests: Mapping[str, Manifest], root: str) -> list[Manifest]:
    return [manifests[root], *(manifests[tree.manifest(part)] for part in manifests[root].parts)]


async def _fetch(stores: Sequence[Store], names: set[str]) -> dict[str, bytes]:
    """Every one of the pieces, intact. Raises Refused(incomplete) if one is in no store."""
    found: dict[str, bytes] = {}
    for store in stores:
        if rest := names - found.keys():
            try:
                found |= await _intact(store, rest)
            except StoreUnavailable:
                continue
    if rest := names - found.keys():
        raise Refused("incomplete", f"{len(rest)} of {len(names)} pieces are in no store")
    return found


async def _intact(store: Store, names: Collection[str]) -> dict[str, bytes]:
    """What the store has of them and is what its name promises; a changed piece counts as missing (GHS/1 8.2)."""
    if not names:
        return {}
    pieces = await store.get(names)
    return await asyncio.to_thread(lambda: {n: piece for n, piece in pieces.items() if tree.is_intact(n, piece)})
