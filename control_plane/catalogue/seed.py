"""At start: what the instance itself needs is there, and the catalogue is the one this build brings."""

import asyncpg
import orjson
import structlog

from control_plane.catalogue import store
from control_plane.catalogue.catalogue import Catalogue
from control_plane.data_keys import INSTANCE, DataKeys
from control_plane.permissions import ActorKind, Principal
from control_plane.snapshots.change import Changes, ShardKeys
from shared.models.noun import Kind
from shared.protocol import envelope
from shared.protocol.resource import GLOBAL_SHARD, SealedResource

_SEEDER = Principal(ActorKind.INSTANCE, "catalogue", INSTANCE)

log = structlog.get_logger("catalogue")


async def ensure_instance(connection: asyncpg.Connection, data_keys: DataKeys, shard_keys: ShardKeys) -> None:
    """The instance's data key and the global shard, made at first start. The caller holds the instance's row."""
    if not await store.has_data_key(connection, INSTANCE):
        await data_keys.make(connection, INSTANCE)
    if not await store.has_shard(connection, GLOBAL_SHARD):
        await shard_keys.make_shard(connection, GLOBAL_SHARD, INSTANCE)


async def seed(changes: Changes, data_keys: DataKeys, shard_keys: ShardKeys, catalogue: Catalogue) -> bool:
    """Whether the catalogue was another one. Gateways are told, in one edit, of the models that changed.

    Of several processes that start at once, one seeds and the others find it done.
    """
    async with changes.open_instance(_SEEDER, INSTANCE, "catalogue") as change:
        digest = await store.lock(change.connection)
        await ensure_instance(change.connection, data_keys, shard_keys)
        if digest == catalogue.digest:
            return False
        await store.replace(change.connection, catalogue.entries, catalogue.digest)
        told, wanted = await _told(change.connection, shard_keys), catalogue.travelling()
        changed = [model for id_, model in wanted.items() if told.get(id_) != model.model_dump(mode="json")]
        gone = sorted(told.keys() - wanted.keys())
        for model in changed:
            change.put(GLOBAL_SHARD, Kind.MODEL, model)
        for id_ in gone:
            change.remove(GLOBAL_SHARD, Kind.MODEL, id_)
    log.info("catalogue_seeded", models=len(catalogue.entries), changed=len(changed), gone=len(gone))
    return True


async def _told(connection: asyncpg.Connection, shard_keys: ShardKeys) -> dict[str, object]:
    """The models' bodies as gateways have them, by id."""
    keys = await shard_keys.all(connection, GLOBAL_SHARD)
    bodies: dict[str, object] = {}
    for row in await store.resources(connection, GLOBAL_SHARD, Kind.MODEL):
        resource = SealedResource(GLOBAL_SHARD, Kind.MODEL.value, **row)
        opened = envelope.open_(keys[resource.key_epoch], resource.subject(INSTANCE), resource.sealed)
        bodies[resource.id] = orjson.loads(opened)
    return bodies
