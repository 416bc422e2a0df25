"""`/api/v1/workspaces/{workspace}/configs`: the room every other noun's room is furnished like."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import asyncpg
from pydantic import Field

from control_plane.configs import store
from control_plane.db.pool import Database
from control_plane.errors import Forbidden, Invalid, NotFound
from control_plane.ids import Ids
from control_plane.permissions import may
from control_plane.references import Path, check_config, key_in, require_unused_config, require_workspace
from control_plane.snapshots.change import Changes
from control_plane.web import problem
from control_plane.web.listing import Page
from control_plane.web.route import Body, Call, Route, View
from shared import base_url
from shared.models.config import Config, ConfigBody, ConfigError, parse_config, pointer
from shared.models.noun import Kind, Slug
from shared.protocol.resource import workspace_shard

_PATH = "/api/v1/workspaces/{workspace}/configs"
_WRITES_CREDENTIALS = "virtual_keys.update"
_SCHEMA_PATH = "/api/v1/workspaces/{workspace}/config-schema"


class ConfigCreate(Body):
    slug: Slug
    name: str = Field(min_length=1, max_length=200)
    body: dict[str, Any]
    """The config JSON (reference: docs/configs)."""


class ConfigUpdate(Body):
    """What is left out stays as it is."""

    slug: Slug | None = None
    name: str | None = Field(default=None, min_length=1, max_length=200)
    body: dict[str, Any] | None = None


class ConfigView(View):
    id: str
    workspace: str
    slug: str
    name: str
    body: dict[str, Any]
    created_by: str
    created_at: datetime
    updated_at: datetime


class ConfigPage(Page[ConfigView]):
    """One page of configs."""


class ConfigSchema(View):
    json_schema: dict[str, Any]
    """JSON schema of a saved config's `body`. It cannot say all: some of what fits it is refused all the same."""


class Configs:
    def __init__(self, database: Database, changes: Changes, ids: Ids) -> None:
        self._database = database
        self._changes = changes
        self._ids = ids

    def routes(self) -> list[Route]:
        one = _PATH + "/{config}"
        return [
            Route(
                "GET", _PATH, "configs.list", self.list, "List configs", answer=ConfigPage, query=store.LISTING.query
            ),
            Route("POST", _PATH, "configs.create", self.create, "Save a config", ConfigCreate, ConfigView, 201),
            Route("GET", one, "configs.read", self.read, "Read a config, by id or slug", answer=ConfigView),
            Route("PATCH", one, "configs.update", self.update, "Change a config", ConfigUpdate, ConfigView),
            Route("DELETE", one, "configs.delete", self.delete, "Delete a config"),
            Route(
                "GET",
                _SCHEMA_PATH,
                "configs.read",
                self.read_schema,
                "Read the form of a config",
                answer=ConfigSchema,
                tag="config_schema",
            ),
        ]

    async def list(self, call: Call) -> ConfigPage:
        organisation = call.principal.organisation
        async with self._database.tenant(organisation) as connection:
            await require_workspace(connection, organisation, call.path["workspace"])
            rows, cursor = await store.page(connection, organisation, call.path["workspace"], call.query)
        return ConfigPage(data=tuple(_view(row) for row in rows), next_cursor=cursor)

    async def read(self, call: Call) -> ConfigView:
        async with self._database.tenant(call.principal.organisation) as connection:
            return _view(await _found(connection, call))

    async def read_schema(self, call: Call) -> ConfigSchema:
        organisation = call.principal.organisation
        async with self._database.tenant(organisation) as connection:
            await require_workspace(connection, organisation, call.path["workspace"])
        return ConfigSchema(json_schema=_SCHEMA)

    async def create(self, call: Call) -> ConfigView:
        body = call.parsed(ConfigCreate)
        organisation, workspace = call.principal.organisation, call.path["workspace"]
        _check_body(body.body)
        _check_new_hosts(call, {}, body.body)
        async with self._changes.open(call.principal, call.request_id) as change:
            await require_workspace(change.connection, organisation, workspace)
            await check_config(change.connection, organisation, workspace, body.body)
            row = await store.insert(
                change.connection, organisation, workspace, self._ids.new("pc"), body.model_dump(), call.principal.id
            )
            view = _view(row)
            shard = workspace_shard(workspace)
            change.put(shard, Kind.CONFIG, _noun(view))
            change.record("configs.create", "config", view.id, workspace=workspace, shard=shard, after=_told(view))
        return view

    async def update(self, call: Call) -> ConfigView:
        given = call.parsed(ConfigUpdate).model_dump(exclude_none=True)
        organisation, workspace = call.principal.organisation, call.path["workspace"]
        if "body" in given:
            _check_body(given["body"])
        async with self._changes.open(call.principal, call.request_id) as change:
            before = _view(await _found(change.connection, call, lock=True))
            call.require_unchanged(before.updated_at)
            if "body" in given:
                _check_new_hosts(call, before.body, given["body"])
                await check_config(change.connection, organisation, workspace, given["body"])
            if given.get("slug", before.slug) != before.slug:
                await require_unused_config(change.connection, organisation, workspace, before.slug)
            fields = {"slug": before.slug, "name": before.name, "body": before.body, **given}
            view = _view(await store.update(change.connection, organisation, before.id, fields))
            shard = workspace_shard(workspace)
            change.put(shard, Kind.CONFIG, _noun(view))
            change.record(
                "configs.update",
                "config",
                view.id,
                workspace=workspace,
                shard=shard,
                before=_told(before),
                after=_told(view),
            )
        return view

    async def delete(self, call: Call) -> None:
        organisation, workspace = call.principal.organisation, call.path["workspace"]
        async with self._changes.open(call.principal, call.request_id) as change:
            before = _view(await _found(change.connection, call, lock=True))
            await require_unused_config(change.connection, organisation, workspace, before.slug)
            await store.delete(change.connection, organisation, before.id)
            shard = workspace_shard(workspace)
            change.remove(shard, Kind.CONFIG, before.id)
            change.record("configs.delete", "config", before.id, workspace=workspace, shard=shard, before=_told(before))


async def _found(connection: asyncpg.Connection, call: Call, *, lock: bool = False) -> asyncpg.Record:
    row = await store.find(
        connection, call.principal.organisation, call.path["workspace"], call.path["config"], lock=lock
    )
    if row is None:
        raise NotFound(f"no config {call.path['config']!r} in this workspace")
    return row


def _schema() -> dict[str, Any]:
    schema = ConfigBody.model_json_schema()
    del schema["$defs"]["ConfigBody"]["properties"]["api_key"]  # An inline config may have one, a saved config not.
    return schema


_SCHEMA = _schema()


def _check_body(body: dict[str, Any]) -> None:
    try:
        parse_config(body)
    except ConfigError as error:
        faults = [("/body" + pointer(path), message) for path, message in error.faults[: problem.FAULTS_MAX]]
        raise problem.invalid(faults, count=len(error.faults), code="config_invalid") from None
    _check_hosts(body)
    path = key_in(body)
    if path is not None:
        message = "a saved config holds no API key: save the key as a virtual key and name that"
        raise Invalid(message, code="config_holds_key", pointer="/body" + pointer(path))


def _hosts(node: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[str, str]]:
    """Every host in a config, with its pointer."""
    if node.get("custom_host") is not None:
        yield node["custom_host"], "/body" + pointer((*path, "custom_host"))
    for index, target in enumerate(node.get("targets") or ()):
        yield from _hosts(target, (*path, "targets", index))


def _check_hosts(body: Mapping[str, Any]) -> None:
    """Raises Invalid at the first host that gateways do not call."""
    for host, where in _hosts(body):
        try:
            base_url.parse(host)
        except ValueError as error:
            raise Invalid(f"the custom host cannot be called: {error}", code="config_invalid", pointer=where) from None


def _check_new_hosts(call: Call, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """A saved host is sent the credentials of the virtual keys that calls reach through it, so who adds one may write
    these. Raises Forbidden at the first that was not there before.
    """
    if may(call.principal, _WRITES_CREDENTIALS, call.path["workspace"]):
        return
    known = {host for host, _ in _hosts(before)}
    for host, where in _hosts(after):
        if host not in known:
            message = f"stored credentials would go to this host: it also needs the permission `{_WRITES_CREDENTIALS}`"
            raise Forbidden(message, code="host_above_own", pointer=where)


def _view(row: asyncpg.Record) -> ConfigView:
    return ConfigView(
        id=row["id"],
        workspace=row["workspace"],
        slug=row["slug"],
        name=row["name"],
        body=row["body"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _noun(view: ConfigView) -> Config:
    return Config(id=view.id, workspace=view.workspace, slug=view.slug, name=view.name, body=view.body)


def _told(view: ConfigView) -> dict[str, Any]:
    return {"slug": view.slug, "name": view.name, "body": view.body}
