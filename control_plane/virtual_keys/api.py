"""`/api/v1/workspaces/{workspace}/virtual-keys`, and the form of each provider's credential."""

from datetime import datetime
from typing import Annotated, Any

import asyncpg
import orjson
from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from control_plane.data_keys import DataKeys
from control_plane.db.pool import Database
from control_plane.errors import Invalid, NotFound
from control_plane.ids import Ids
from control_plane.known_providers import KnownProviders
from control_plane.references import require_allowed_provider, require_unused_virtual_key, require_workspace
from control_plane.snapshots.change import Change, Changes
from control_plane.virtual_keys import store
from control_plane.virtual_keys.credentials import parse_credential
from control_plane.web.listing import Page
from control_plane.web.route import Body, Call, Route, View
from shared.crypto.secret import Secret
from shared.models.credential import schema
from shared.models.noun import Id, Kind, Slug
from shared.models.provider import BaseUrl, Provider
from shared.models.virtual_key import VirtualKey
from shared.protocol.resource import workspace_shard
from shared.protocol.wire import to_base64

_PATH = "/api/v1/workspaces/{workspace}/virtual-keys"
_SCHEMA_PATH = "/api/v1/providers/{provider}/credential-schema"
_COLUMN = "virtual_key.credential"
_CLEARABLE = frozenset({"base_url", "models"})

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
ModelNames = Annotated[
    tuple[Annotated[str, StringConstraints(min_length=1, max_length=300)], ...], Field(min_length=1, max_length=1_000)
]


def _enclosed(value: object) -> Secret:
    if not isinstance(value, dict):
        raise ValueError("an object is wanted here")  # noqa: TRY004 - pydantic turns only ValueError into a fault
    try:
        return Secret(orjson.dumps(value))
    except orjson.JSONEncodeError:  # orjson reads deeper than it writes.
        raise ValueError("nested too deep") from None


CredentialJson = Annotated[
    Secret,
    BeforeValidator(_enclosed),
    WithJsonSchema(
        {"type": "object", "description": "The fields of the provider's credential schema", "writeOnly": True}
    ),
]
"""From the door on a credential is a Secret."""


class _VirtualKeyBody(Body):
    model_config = ConfigDict(arbitrary_types_allowed=True)


class VirtualKeyCreate(_VirtualKeyBody):
    slug: Slug
    name: Name
    provider: Id
    credential: CredentialJson
    base_url: BaseUrl | None = None
    """Takes the place of the provider's own (a private host, a proxy, a region)."""
    models: ModelNames | None = None
    """The models this credential reaches; null: what the catalogue lists for the provider."""


class VirtualKeyUpdate(_VirtualKeyBody):
    """What is left out stays as it is; null clears `base_url` and `models`.

    Another `base_url` needs the credential with it: a key goes to no host that whoever saved it did not choose.
    """

    slug: Slug | None = None
    name: Name | None = None
    credential: CredentialJson | None = None
    base_url: BaseUrl | None = None
    models: ModelNames | None = None


class VirtualKeyView(View):
    """Without the credential: it is never returned."""

    id: str
    workspace: str
    slug: str
    name: str
    provider: str
    base_url: str | None
    models: tuple[str, ...] | None
    created_by: str
    created_at: datetime
    updated_at: datetime


class VirtualKeyPage(Page[VirtualKeyView]):
    """One page of virtual keys."""


class CredentialSchema(View):
    provider: str
    json_schema: dict[str, Any]
    """JSON schema of `credential`."""


class VirtualKeys:
    def __init__(
        self, database: Database, changes: Changes, data_keys: DataKeys, known: KnownProviders, ids: Ids
    ) -> None:
        self._database = database
        self._changes = changes
        self._data_keys = data_keys
        self._known = known
        self._ids = ids

    def routes(self) -> list[Route]:
        one = _PATH + "/{virtual_key}"
        create, update, view = VirtualKeyCreate, VirtualKeyUpdate, VirtualKeyView
        return [
            Route(
                "GET",
                _PATH,
                "virtual_keys.list",
                self.list,
                "List virtual keys",
                answer=VirtualKeyPage,
                query=store.LISTING.query,
            ),
            Route("POST", _PATH, "virtual_keys.create", self.create, "Save a credential", create, view, 201),
            Route("GET", one, "virtual_keys.read", self.read, "Read a virtual key, by id or slug", answer=view),
            Route("PATCH", one, "virtual_keys.update", self.update, "Change a virtual key", update, view),
            Route("DELETE", one, "virtual_keys.delete", self.delete, "Delete a virtual key"),
            Route(
                "GET",
                _SCHEMA_PATH,
                "providers.read",
                self.read_schema,
                "Read the form of a provider's credential",
                answer=CredentialSchema,
                tag="credential_schema",
            ),
        ]

    async def list(self, call: Call) -> VirtualKeyPage:
        organisation, workspace = call.principal.organisation, call.path["workspace"]
        async with self._database.tenant(organisation) as connection:
            await require_workspace(connection, organisation, workspace)
            rows, cursor = await store.page(connection, organisation, workspace, call.query)
        return VirtualKeyPage(data=tuple(VirtualKeyView(**row) for row in rows), next_cursor=cursor)

    async def read(self, call: Call) -> VirtualKeyView:
        async with self._database.tenant(call.principal.organisation) as connection:
            return await _found(connection, call)

    async def read_schema(self, call: Call) -> CredentialSchema:
        organisation, id_ = call.principal.organisation, call.path["provider"]
        async with self._database.tenant(organisation) as connection:
            provider = await self._known.find(connection, organisation, id_)
        if provider is None:
            raise NotFound(f"no provider {id_!r}")
        return CredentialSchema(provider=id_, json_schema=schema(provider.credential))

    async def create(self, call: Call) -> VirtualKeyView:
        body = call.parsed(VirtualKeyCreate)
        workspace = call.path["workspace"]
        async with self._changes.open(call.principal, call.request_id) as change:
            return await self.make(change, workspace, body)

    async def make(self, change: Change, workspace: str, body: VirtualKeyCreate) -> VirtualKeyView:
        """A virtual key, within an edit."""
        connection, organisation = change.connection, change.organisation
        await require_workspace(connection, organisation, workspace)
        provider = await self._provider(connection, organisation, body.provider)
        await require_allowed_provider(connection, organisation, workspace, provider.id, "/provider")
        credential = parse_credential(provider.credential, body.credential)
        id_, shard = self._ids.new("vk"), workspace_shard(workspace)
        travelling = await change.seal_credential(shard, id_, credential)
        row = await store.insert(
            connection,
            organisation,
            workspace,
            id_,
            body.model_dump(exclude={"credential"}),
            change.principal.id,
            credential=await self._data_keys.seal(connection, organisation, _COLUMN, id_, credential),
            travelling=travelling,
        )
        view = VirtualKeyView(**row)
        change.put(shard, Kind.VIRTUAL_KEY, _noun(view, travelling))
        change.record("virtual_keys.create", "virtual_key", id_, workspace=workspace, shard=shard, after=_told(view))
        return view

    async def update(self, call: Call) -> VirtualKeyView:
        async with self._changes.open(call.principal, call.request_id) as change:
            return await self._update(change, call, call.parsed(VirtualKeyUpdate))

    async def _update(self, change: Change, call: Call, body: VirtualKeyUpdate) -> VirtualKeyView:
        connection, organisation, workspace = change.connection, change.organisation, call.path["workspace"]
        before = await _found(connection, call, lock=True)
        call.require_unchanged(before.updated_at)
        given = body.model_dump(exclude_unset=True, exclude={"credential"})
        fields = {**before.model_dump(), **{k: v for k, v in given.items() if v is not None or k in _CLEARABLE}}
        if fields["slug"] != before.slug:
            await require_unused_virtual_key(connection, organisation, workspace, before.slug)
        if fields["base_url"] != before.base_url and body.credential is None:
            raise Invalid(
                "another base_url needs the credential with it", code="credential_required", pointer="/credential"
            )
        shard = workspace_shard(workspace)
        if body.credential is not None:
            provider = await self._provider(connection, organisation, before.provider)
            credential = parse_credential(provider.credential, body.credential)
            await store.replace_credential(
                connection,
                organisation,
                before.id,
                credential=await self._data_keys.seal(connection, organisation, _COLUMN, before.id, credential),
                travelling=await change.seal_credential(shard, before.id, credential),
            )
        view = VirtualKeyView(**await store.update(connection, organisation, before.id, fields))
        travelling = await store.travelling(connection, organisation, before.id)
        change.put(shard, Kind.VIRTUAL_KEY, _noun(view, travelling))
        change.record(
            "virtual_keys.update",
            "virtual_key",
            view.id,
            workspace=workspace,
            shard=shard,
            before=_told(before),
            after={**_told(view), "credential_replaced": body.credential is not None},
        )
        return view

    async def delete(self, call: Call) -> None:
        organisation, workspace = call.principal.organisation, call.path["workspace"]
        async with self._changes.open(call.principal, call.request_id) as change:
            before = await _found(change.connection, call, lock=True)
            await require_unused_virtual_key(change.connection, organisation, workspace, before.slug)
            await store.delete(change.connection, organisation, before.id)
            shard = workspace_shard(workspace)
            change.remove(shard, Kind.VIRTUAL_KEY, before.id)
            change.record(
                "virtual_keys.delete",
                "virtual_key",
                before.id,
                workspace=workspace,
                shard=shard,
                before=_told(before),
            )

    async def _provider(self, connection: asyncpg.Connection, organisation: str, id_: str) -> Provider:
        provider = await self._known.find(connection, organisation, id_)
        if provider is None:
            raise Invalid(f"no provider {id_!r}", code="provider_unknown", pointer="/provider")
        return provider


async def _found(connection: asyncpg.Connection, call: Call, *, lock: bool = False) -> VirtualKeyView:
    id_ = call.path["virtual_key"]
    row = await store.find(connection, call.principal.organisation, call.path["workspace"], id_, lock=lock)
    if row is None:
        raise NotFound(f"no virtual key {id_!r} in this workspace")
    return VirtualKeyView(**row)


def _noun(view: VirtualKeyView, travelling: bytes) -> VirtualKey:
    return VirtualKey(
        id=view.id,
        workspace=view.workspace,
        slug=view.slug,
        name=view.name,
        provider=view.provider,
        credential=to_base64(travelling),
        base_url=view.base_url,
        models=view.models,
    )


def _told(view: VirtualKeyView) -> dict[str, Any]:
    return view.model_dump(mode="json", include={"slug", "name", "provider", "base_url", "models"})
