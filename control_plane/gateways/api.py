"""`/api/v1/gateways`: which data planes there are, and which workspaces each may serve."""

from datetime import datetime
from typing import Annotated, Any

import asyncpg
from pydantic import AfterValidator, Field, StringConstraints

from control_plane.db.pool import Database
from control_plane.errors import NotFound
from control_plane.gateways import store
from control_plane.ids import Ids
from control_plane.references import require_workspaces
from control_plane.snapshots.change import Change, Changes
from control_plane.snapshots.gateway_keys import GatewayKeys
from control_plane.web.listing import Page
from control_plane.web.route import Body, Call, Route, View
from shared.models.noun import Id
from shared.settings import Origin

PATH = "/api/v1/gateways"

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Url = Annotated[Origin, Field(max_length=300)]
Workspaces = Annotated[
    tuple[Id, ...], Field(min_length=1, max_length=1_000), AfterValidator(lambda ids: tuple(dict.fromkeys(ids)))
]


class GatewayCreate(Body):
    name: Name
    workspaces: Workspaces | None = None
    """Ids of the workspaces it may serve; null: all, also those made later."""
    url: Url | None = None
    """Where callers reach it, for those who read about it here. The control plane never connects to it."""


class GatewayUpdate(Body):
    """What is left out stays as it is; `workspaces` null: all; `url` null: not told."""

    name: Name | None = None
    workspaces: Workspaces | None = None
    url: Url | None = None


class GatewayView(View):
    id: str
    name: str
    workspaces: tuple[str, ...] | None
    url: str | None
    nodes: int
    """Enrolled and not revoked."""
    nodes_connected: int
    seen_at: datetime | None
    """The last heartbeat of any of its nodes."""
    created_by: str
    created_at: datetime
    updated_at: datetime


class GatewayPage(Page[GatewayView]):
    """One page of gateways."""


class Gateways:
    def __init__(self, database: Database, changes: Changes, keys: GatewayKeys, ids: Ids) -> None:
        self._database = database
        self._changes = changes
        self._keys = keys
        self._ids = ids

    def routes(self) -> list[Route]:
        one = PATH + "/{gateway}"
        return [
            Route(
                "GET", PATH, "gateways.list", self.list, "List gateways", answer=GatewayPage, query=store.GATEWAYS.query
            ),
            Route("POST", PATH, "gateways.create", self.create, "Register a gateway", GatewayCreate, GatewayView, 201),
            Route("GET", one, "gateways.read", self.read, "Read a gateway", answer=GatewayView),
            Route("PATCH", one, "gateways.update", self.update, "Change a gateway", GatewayUpdate, GatewayView),
            Route("DELETE", one, "gateways.delete", self.delete, "Delete a gateway with its tokens and nodes"),
        ]

    async def list(self, call: Call) -> GatewayPage:
        organisation = call.principal.organisation
        async with self._database.tenant(organisation) as connection:
            rows, cursor = await store.page(connection, organisation, call.query)
        return GatewayPage(data=tuple(GatewayView(**row) for row in rows), next_cursor=cursor)

    async def read(self, call: Call) -> GatewayView:
        async with self._database.tenant(call.principal.organisation) as connection:
            return await found(connection, call)

    async def create(self, call: Call) -> GatewayView:
        body = call.parsed(GatewayCreate)
        async with self._changes.open(call.principal, call.request_id) as change:
            return await self.make(change, body)

    async def make(self, change: Change, body: GatewayCreate) -> GatewayView:
        """A gateway with its first data-plane key, within an edit."""
        connection, organisation, id_ = change.connection, change.organisation, self._ids.new("gw")
        if body.workspaces is not None:
            await require_workspaces(connection, organisation, body.workspaces, "/workspaces")
        view = GatewayView(**await store.insert(connection, organisation, id_, body.model_dump(), change.principal.id))
        await self._keys.make(connection, organisation, id_)
        change.record("gateways.create", "gateway", id_, after=_told(view))
        return view

    async def update(self, call: Call) -> GatewayView:
        given = call.parsed(GatewayUpdate).model_dump(exclude_unset=True)
        organisation = call.principal.organisation
        async with self._changes.open(call.principal, call.request_id) as change:
            before = await found(change.connection, call, lock=True)
            call.require_unchanged(before.updated_at)
            if given.get("workspaces") is not None:
                await require_workspaces(change.connection, organisation, given["workspaces"], "/workspaces")
            fields = {
                "workspaces": before.workspaces,
                "url": before.url,
                **given,
                "name": given.get("name") or before.name,
            }
            view = GatewayView(**await store.update(change.connection, organisation, before.id, fields))
            await store.notify(change.connection, organisation)
            change.record("gateways.update", "gateway", view.id, before=_told(before), after=_told(view))
        return view

    async def delete(self, call: Call) -> None:
        """Its nodes are strangers from now on. What they serve they go on serving: nothing reaches into them."""
        async with self._changes.open(call.principal, call.request_id) as change:
            before = await found(change.connection, call, lock=True)
            await store.delete(change.connection, call.principal.organisation, before.id)
            change.record("gateways.delete", "gateway", before.id, before={**_told(before), "nodes": before.nodes})


async def found(connection: asyncpg.Connection, call: Call, *, lock: bool = False) -> GatewayView:
    """The gateway of the path. Raises NotFound."""
    row = await store.find(connection, call.principal.organisation, call.path["gateway"], lock=lock)
    if row is None:
        raise NotFound(f"no gateway {call.path['gateway']!r}")
    return GatewayView(**row)


def _told(view: GatewayView) -> dict[str, Any]:
    return view.model_dump(mode="json", include={"name", "workspaces", "url"})
