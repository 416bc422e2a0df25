"""`/api/v1/workspaces/{workspace}/api-keys`: made and shown once, changed, revoked."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import asyncpg
from pydantic import AfterValidator, AwareDatetime, Field, StrictBool, StringConstraints

from control_plane.api_keys import store
from control_plane.db.pool import Database
from control_plane.errors import Conflict, Invalid, NotFound
from control_plane.hash_keys import HashKeys
from control_plane.ids import Ids
from control_plane.references import require_config, require_workspace
from control_plane.snapshots.change import Change, Changes
from control_plane.web.listing import Page
from control_plane.web.route import Body, Call, Route, View
from shared.crypto import api_keys
from shared.models.api_key import ApiKey, Scope
from shared.models.noun import Kind, Slug
from shared.models.workspace import InlineRules
from shared.protocol.resource import workspace_shard

_PATH = "/api/v1/workspaces/{workspace}/api-keys"
_TAIL_CHARS = 4
_CLEARABLE = frozenset({"default_config", "models", "expires_at"})
_YEAR_MAX = 2200


def _moment(value: datetime) -> datetime:
    if not 2000 <= value.year < _YEAR_MAX:
        raise ValueError(f"a time before the year {_YEAR_MAX} is wanted here")
    return value.astimezone(UTC)


def _pattern(value: str) -> str:
    if "*" in value[:-1]:
        raise ValueError("a `*` stands at the end of a pattern and nowhere else")
    return value


Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Moment = Annotated[AwareDatetime, AfterValidator(_moment)]
Scopes = Annotated[tuple[Scope, ...], Field(min_length=1, max_length=20)]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=300), AfterValidator(_pattern)]
Patterns = Annotated[tuple[Pattern, ...], Field(min_length=1, max_length=1_000)]


class Inline(Body):
    """What calls with this key may bring along; null: as the workspace says. A key is never wider than that."""

    keys: StrictBool | None = None
    configs: StrictBool | None = None
    hosts: StrictBool | None = None


class ApiKeyCreate(Body):
    name: Name
    scopes: Scopes = ("completions.write",)
    default_config: Slug | None = None
    """A config's slug, for calls that name no target; null: as the workspace says."""
    models: Patterns | None = None
    """Models that may be called, `*` at an end matching any rest; null: all."""
    inline: Inline = Inline()
    expires_at: Moment | None = None


class ApiKeyUpdate(Body):
    """What is left out stays as it is; null clears `default_config`, `models` and `expires_at`."""

    name: Name | None = None
    scopes: Scopes | None = None
    default_config: Slug | None = None
    models: Patterns | None = None
    inline: Inline | None = None
    expires_at: Moment | None = None


class ApiKeyView(View):
    id: str
    workspace: str
    name: str
    tail: str
    """The key's last four characters."""
    scopes: tuple[str, ...]
    default_config: str | None
    models: tuple[str, ...] | None
    inline: InlineRules
    state: Literal["active", "expired", "revoked"]
    expires_at: datetime | None
    revoked_at: datetime | None
    created_by: str
    created_at: datetime
    updated_at: datetime


class ApiKeyCreated(ApiKeyView):
    key: str = Field(repr=False)
    """The key itself. This is the only time it is shown."""


class ApiKeyPage(Page[ApiKeyView]):
    """One page of API keys."""


class ApiKeys:
    def __init__(self, database: Database, changes: Changes, hash_keys: HashKeys, ids: Ids) -> None:
        self._database = database
        self._changes = changes
        self._hash_keys = hash_keys
        self._ids = ids

    def routes(self) -> list[Route]:
        one = _PATH + "/{api_key}"
        return [
            Route(
                "GET", _PATH, "api_keys.list", self.list, "List API keys", answer=ApiKeyPage, query=store.LISTING.query
            ),
            Route("POST", _PATH, "api_keys.create", self.create, "Make an API key", ApiKeyCreate, ApiKeyCreated, 201),
            Route("GET", one, "api_keys.read", self.read, "Read an API key", answer=ApiKeyView),
            Route("PATCH", one, "api_keys.update", self.update, "Change an API key", ApiKeyUpdate, ApiKeyView),
            Route("DELETE", one, "api_keys.delete", self.revoke, "Revoke an API key, for good"),
        ]

    async def list(self, call: Call) -> ApiKeyPage:
        organisation, workspace = call.principal.organisation, call.path["workspace"]
        async with self._database.tenant(organisation) as connection:
            await require_workspace(connection, organisation, workspace)
            rows, cursor = await store.page(connection, organisation, workspace, call.query)
        return ApiKeyPage(data=tuple(ApiKeyView(**row) for row in rows), next_cursor=cursor)

    async def read(self, call: Call) -> ApiKeyView:
        async with self._database.tenant(call.principal.organisation) as connection:
            return await _found(connection, call)

    async def create(self, call: Call) -> ApiKeyCreated:
        body = call.parsed(ApiKeyCreate)
        async with self._changes.open(call.principal, call.request_id) as change:
            return await self.make(change, call.path["workspace"], body)

    async def make(self, change: Change, workspace: str, body: ApiKeyCreate) -> ApiKeyCreated:
        """A key, within an edit."""
        connection, organisation = change.connection, change.organisation
        await require_workspace(connection, organisation, workspace)
        fields = body.model_dump()
        await _check(connection, organisation, workspace, fields)
        key = api_keys.new_api_key()
        hash_ = api_keys.keyed_hash(await self._hash_keys.of(connection, organisation), key.reveal_text())
        row = await store.insert(
            connection,
            organisation,
            workspace,
            self._ids.new("ak"),
            fields,
            change.principal.id,
            hash_=hash_,
            tail=key.reveal_text()[-_TAIL_CHARS:],
        )
        created = ApiKeyCreated(**row, key=key.reveal_text())
        shard = workspace_shard(workspace)
        change.put(shard, Kind.API_KEY, _noun(created, hash_))
        change.record("api_keys.create", "api_key", created.id, workspace=workspace, shard=shard, after=_told(created))
        return created

    async def update(self, call: Call) -> ApiKeyView:
        given = call.parsed(ApiKeyUpdate).model_dump(exclude_unset=True)
        given = {name: value for name, value in given.items() if value is not None or name in _CLEARABLE}
        organisation, workspace = call.principal.organisation, call.path["workspace"]
        async with self._changes.open(call.principal, call.request_id) as change:
            before = await _found(change.connection, call, lock=True)
            call.require_unchanged(before.updated_at)
            if before.state == "revoked":
                raise Conflict("this key was revoked, for good; make a new one", code="revoked")
            await _check(change.connection, organisation, workspace, given)
            inline = {**before.inline.model_dump(), **given.pop("inline", {})}
            fields = {**before.model_dump(), **given, "inline": inline}
            view = ApiKeyView(**await store.update(change.connection, organisation, before.id, fields))
            shard = workspace_shard(workspace)
            change.put(shard, Kind.API_KEY, _noun(view, await store.hash_of(change.connection, organisation, view.id)))
            change.record(
                "api_keys.update",
                "api_key",
                view.id,
                workspace=workspace,
                shard=shard,
                before=_told(before),
                after=_told(view),
            )
        return view

    async def revoke(self, call: Call) -> None:
        """The row stays, for the audit and the records that name it. Revoking again is no change."""
        organisation, workspace = call.principal.organisation, call.path["workspace"]
        async with self._changes.open(call.principal, call.request_id) as change:
            before = await _found(change.connection, call, lock=True)
            if before.state == "revoked":
                return
            await store.revoke(change.connection, organisation, before.id)
            shard = workspace_shard(workspace)
            change.remove(shard, Kind.API_KEY, before.id)
            change.record(
                "api_keys.delete", "api_key", before.id, workspace=workspace, shard=shard, before=_told(before)
            )


async def _found(connection: asyncpg.Connection, call: Call, *, lock: bool = False) -> ApiKeyView:
    id_ = call.path["api_key"]
    row = await store.find(connection, call.principal.organisation, call.path["workspace"], id_, lock=lock)
    if row is None:
        raise NotFound(f"no API key {id_!r} in this workspace")
    return ApiKeyView(**row)


async def _check(connection: asyncpg.Connection, organisation: str, workspace: str, given: Mapping[str, Any]) -> None:
    expires_at, default_config = given.get("expires_at"), given.get("default_config")
    if expires_at is not None and expires_at <= await store.now(connection):
        raise Invalid("this time has passed; to end a key now, revoke it", pointer="/expires_at")
    if default_config is not None:
        await require_config(connection, organisation, workspace, default_config, "/default_config")


def _noun(view: ApiKeyView, hash_: bytes) -> ApiKey:
    return ApiKey(
        id=view.id,
        workspace=view.workspace,
        name=view.name,
        hash=hash_.hex(),
        scopes=view.scopes,
        default_config=view.default_config,
        models=view.models,
        inline=view.inline,
        expires_at_ms=None if view.expires_at is None else _ms(view.expires_at),
    )


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _told(view: ApiKeyView) -> dict[str, Any]:
    return view.model_dump(
        mode="json", include={"name", "tail", "scopes", "default_config", "models", "inline", "expires_at"}
    )
