"""`/api/v1/organisation`: the caller's own. How one is made stands here too; no route makes one."""

from datetime import datetime

from pydantic import Field

from control_plane.data_keys import DataKeys
from control_plane.db.pool import Database
from control_plane.errors import NotFound
from control_plane.ids import Ids
from control_plane.organisations import store
from control_plane.snapshots.change import Change, Changes, ShardKeys
from control_plane.web.route import Body, Call, Route, View
from shared.models.noun import Kind
from shared.models.organisation import Organisation
from shared.protocol import envelope
from shared.protocol.resource import organisation_shard
from shared.protocol.wire import to_base64

_PATH = "/api/v1/organisation"
_HASH_KEY = "organisation.hash_key"


class OrganisationUpdate(Body):
    name: str = Field(min_length=1, max_length=200)


class OrganisationView(View):
    id: str
    name: str
    created_at: datetime
    updated_at: datetime


class Organisations:
    def __init__(
        self, database: Database, changes: Changes, shard_keys: ShardKeys, data_keys: DataKeys, ids: Ids
    ) -> None:
        self._database = database
        self._changes = changes
        self._shard_keys = shard_keys
        self._data_keys = data_keys
        self._ids = ids

    def routes(self) -> list[Route]:
        return [
            Route("GET", _PATH, "organisation.read", self.read, "Read your organisation", answer=OrganisationView),
            Route(
                "PATCH",
                _PATH,
                "organisation.update",
                self.update,
                "Rename your organisation",
                OrganisationUpdate,
                OrganisationView,
            ),
        ]

    async def read(self, call: Call) -> OrganisationView:
        async with self._database.tenant(call.principal.organisation) as connection:
            row = await store.find(connection, call.principal.organisation)
        if row is None:
            raise NotFound("your organisation is gone")
        return OrganisationView(**row)

    async def update(self, call: Call) -> OrganisationView:
        organisation = call.principal.organisation
        async with self._changes.open(call.principal, call.request_id) as change:
            before = await store.find(change.connection, organisation, lock=True)
            if before is None:
                raise NotFound("your organisation is gone")
            call.require_unchanged(before["updated_at"])
            row = await store.rename(change.connection, organisation, call.parsed(OrganisationUpdate).name)
            view = OrganisationView(**row)
            await self._publish(change, view)
            change.record(
                "organisation.update",
                "organisation",
                view.id,
                shard=organisation_shard(view.id),
                before={"name": before["name"]},
                after={"name": view.name},
            )
        return view

    async def make(self, change: Change, name: str) -> OrganisationView:
        """A new organisation with its data key, its shard and its hash key, within an instance edit.

        `change.organisation` is its id, made by the caller (`ids.new("org")`).
        """
        id_ = change.organisation
        await self._data_keys.make(change.connection, id_)
        hash_key = await self._data_keys.seal(change.connection, id_, _HASH_KEY, id_, envelope.new_key())
        view = OrganisationView(**await store.insert(change.connection, id_, name, hash_key))
        shard = organisation_shard(id_)
        await self._shard_keys.make_shard(change.connection, shard, id_)
        await self._publish(change, view)
        change.record("organisation.create", "organisation", id_, shard=shard, after={"name": name})
        return view

    async def _publish(self, change: Change, view: OrganisationView) -> None:
        sealed = await store.hash_key(change.connection, view.id)
        key = await self._data_keys.open(change.connection, view.id, _HASH_KEY, view.id, sealed)
        noun = Organisation(id=view.id, name=view.name, api_key_hash_key=to_base64(key.reveal()))
        change.put(organisation_shard(view.id), Kind.ORGANISATION, noun)
