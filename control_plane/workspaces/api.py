"""`/api/v1/workspaces`: the workspaces a caller may see."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import asyncpg
from pydantic import Field

from control_plane.db.pool import Database
from control_plane.errors import Conflict, NotFound
from control_plane.ids import Ids
from control_plane.references import require_config, require_virtual_key
from control_plane.snapshots.change import Change, Changes, ShardKeys
from control_plane.web.listing import Page
from control_plane.web.route import Body, Call, Route, View
from control_plane.workspaces import store
from control_plane.workspaces.settings import WorkspaceSettings
from shared.models.noun import Kind, Slug
from shared.models.workspace import Workspace
from shared.protocol.resource import workspace_shard

_PATH = "/api/v1/workspaces"


class WorkspaceCreate(Body):
    slug: Slug
    name: str = Field(min_length=1, max_length=200)
    settings: WorkspaceSettings = WorkspaceSettings()


class WorkspaceUpdate(Body):
    """What is left out stays as it is; `settings` is replaced whole."""

    slug: Slug | None = None
    name: str | None = Field(default=None, min_length=1, max_length=200)
    settings: WorkspaceSettings | None = None


class WorkspaceView(View):
    id: str
    slug: str
    name: str
    settings: WorkspaceSettings
    created_at: datetime
    updated_at: datetime


class WorkspacePage(Page[WorkspaceView]):
    """One page of workspaces."""


class Workspaces:
    def __init__(self, database: Database, changes: Changes, shard_keys: ShardKeys, ids: Ids) -> None:
        self._database = database
        self._changes = changes
        self._shard_keys = shard_keys
        self._ids = ids

    def routes(self) -> list[Route]:
        one = _PATH + "/{workspace}"
        return [
            Route(
                "GET",
                _PATH,
                "workspaces.list",
                self.list,
                "List workspaces",
                answer=WorkspacePage,
                query=store.LISTING.query,
            ),
            Route(
                "POST", _PATH, "workspaces.create", self.create, "Make a workspace", WorkspaceCreate, WorkspaceView, 201
            ),
            Route("GET", one, "workspaces.read", self.read, "Read a workspace", answer=WorkspaceView),
            Route("PATCH", one, "workspaces.update", self.update, "Change a workspace", WorkspaceUpdate, WorkspaceView),
            Route("DELETE", one, "workspaces.delete", self.delete, "Delete an empty workspace"),
        ]

    async def list(self, call: Call) -> WorkspacePage:
        principal = call.principal
        visible = None if principal.sees_every_workspace else sorted(principal.workspaces)
        async with self._database.tenant(principal.organisation) as connection:
            rows, cursor = await store.page(connection, principal.organisation, visible, call.query)
        return WorkspacePage(data=tuple(_view(row) for row in rows), next_cursor=cursor)

    async def read(self, call: Call) -> WorkspaceView:
        async with self._database.tenant(call.principal.organisation) as connection:
            return await _found(connection, call)

    async def create(self, call: Call) -> WorkspaceView:
        body = call.parsed(WorkspaceCreate)
        async with self._changes.open(call.principal, call.request_id) as change:
            return await self.make(change, body)

    async def make(self, change: Change, body: WorkspaceCreate) -> WorkspaceView:
        """A workspace with its shard, within an edit; the first one comes with its organisation."""
        id_ = self._ids.new("ws")
        await _check_settings(change.connection, change.organisation, id_, body.settings)
        shard = workspace_shard(id_)
        await self._shard_keys.make_shard(change.connection, shard, change.organisation)
        settings = body.settings.model_dump(mode="json")
        row = await store.insert(change.connection, change.organisation, id_, body.slug, body.name, settings)
        view = _view(row)
        change.put(shard, Kind.WORKSPACE, _noun(view))
        change.record("workspaces.create", "workspace", id_, workspace=id_, shard=shard, after=_told(view))
        return view

    async def update(self, call: Call) -> WorkspaceView:
        given = call.parsed(WorkspaceUpdate)
        organisation = call.principal.organisation
        async with self._changes.open(call.principal, call.request_id) as change:
            before = await _found(change.connection, call, lock=True)
            call.require_unchanged(before.updated_at)
            settings = given.settings or before.settings
            await _check_settings(change.connection, organisation, before.id, settings)
            row = await store.update(
                change.connection,
                organisation,
                before.id,
                given.slug or before.slug,
                given.name or before.name,
                settings.model_dump(mode="json"),
            )
            view = _view(row)
            shard = workspace_shard(view.id)
            change.put(shard, Kind.WORKSPACE, _noun(view))
            change.record(
                "workspaces.update",
                "workspace",
                view.id,
                workspace=view.id,
                shard=shard,
                before=_told(before),
                after=_told(view),
            )
        return view

    async def delete(self, call: Call) -> None:
        organisation = call.principal.organisation
        async with self._changes.open(call.principal, call.request_id) as change:
            before = await _found(change.connection, call, lock=True)
            left = await store.contents(change.connection, organisation, before.id)
            if left is not None:
                raise Conflict(f"this workspace still holds {left}; delete them first", code="not_empty")
            await store.delete(change.connection, organisation, before.id)
            shard = workspace_shard(before.id)
            change.remove(shard, Kind.WORKSPACE, before.id)
            change.record(
                "workspaces.delete", "workspace", before.id, workspace=before.id, shard=shard, before=_told(before)
            )


async def _found(connection: asyncpg.Connection, call: Call, *, lock: bool = False) -> WorkspaceView:
    row = await store.find(connection, call.principal.organisation, call.path["workspace"], lock=lock)
    if row is None:
        raise NotFound(f"no workspace {call.path['workspace']!r}")
    return _view(row)


async def _check_settings(
    connection: asyncpg.Connection, organisation: str, workspace: str, settings: WorkspaceSettings
) -> None:
    if settings.default_config is not None:
        await require_config(connection, organisation, workspace, settings.default_config, "/settings/default_config")
    for name, alias in settings.model_aliases.items():
        where = f"/settings/model_aliases/{name.replace('~', '~0').replace('/', '~1')}/virtual_key"
        await require_virtual_key(connection, organisation, workspace, alias.virtual_key, where)


def _view(row: Mapping[str, Any]) -> WorkspaceView:
    settings = WorkspaceSettings.model_validate(row["settings"])
    return WorkspaceView(
        id=row["id"],
        slug=row["slug"],
        name=row["name"],
        settings=settings,
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _noun(view: WorkspaceView) -> Workspace:
    settings = view.settings
    return Workspace(
        id=view.id,
        slug=view.slug,
        name=view.name,
        default_config=settings.default_config,
        allowed_providers=settings.allowed_providers,
        inline=settings.inline_rules(),
        model_aliases=settings.aliases(),
        metadata_keys=settings.metadata_keys,
        record_mode=settings.record_mode,
    )


def _told(view: WorkspaceView) -> dict[str, Any]:
    return {"slug": view.slug, "name": view.name, "settings": view.settings.model_dump(mode="json")}
