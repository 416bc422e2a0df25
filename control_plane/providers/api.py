"""`/api/v1/providers`: the built-in providers, and the organisation's own."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import asyncpg
from pydantic import ConfigDict, Field, StrictBool, StringConstraints

from control_plane.db.pool import Database
from control_plane.errors import Conflict, Invalid, NotFound
from control_plane.known_providers import KnownProviders
from control_plane.providers import store
from control_plane.references import require_credentials_elsewhere, require_no_credentials, require_unused_provider
from control_plane.snapshots.change import Changes
from control_plane.web.listing import Page
from control_plane.web.route import Body, Call, Route, View
from shared import base_url
from shared.base_url import TEMPLATE_FIELD
from shared.models.credential import CredentialForm, words_of
from shared.models.noun import Kind
from shared.models.provider import (
    AuthHeader,
    CaCertificates,
    Dialect,
    Door,
    HeaderName,
    HeaderText,
    LimitName,
    ParameterName,
    Provider,
    TemplateUrl,
)
from shared.protocol.resource import organisation_shard

_PATH = "/api/v1/providers"
_FITTING = frozenset({("api_key", "optional_api_key")})
"""Forms of which a credential of the one is one of the other, too."""

ProviderId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
ProviderName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Prefix = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]{0,32}$")]
"""Its last space counts."""
Doors = Annotated[tuple[Door, ...], Field(min_length=1, max_length=20)]
Headers = Annotated[Mapping[HeaderName, HeaderText], Field(max_length=20)]
Renamed = Annotated[Mapping[ParameterName, ParameterName], Field(max_length=50)]
ParameterNames = Annotated[tuple[ParameterName, ...], Field(max_length=50)]
ModelNames = Annotated[
    tuple[Annotated[str, StringConstraints(min_length=1, max_length=300)], ...], Field(max_length=1_000)
]


class _ProviderBody(Body):
    model_config = ConfigDict(str_strip_whitespace=False)


class ProviderCreate(_ProviderBody):
    id: ProviderId
    """What callers name: `x-portkey-provider: id`."""
    name: ProviderName
    dialect: Dialect = "openai"
    base_url: TemplateUrl
    """`{field}` in it stands for that word of each credential, such as a region."""
    credential: CredentialForm = "api_key"
    """What its credentials consist of; `GET …/credential-schema` tells the fields."""
    headers: Headers = {}
    """Sent with each request, unless the caller's own header of that name goes on."""
    auth_header: AuthHeader = "authorization"
    auth_prefix: Prefix = "Bearer "
    stream_usage: StrictBool = True
    limit_name: LimitName = "max_tokens"
    cache_hints: StrictBool = False
    developer_role: StrictBool = True
    """Whether a chat's messages may be a developer's; else they go out as the system's."""
    renamed: Renamed = {}
    """Parameters that the host calls otherwise."""
    refused: ParameterNames = ()
    """Parameters that the host would drop in silence: a call that gives one is refused."""
    ignored: ParameterNames = ()
    """Parameters that change no answer here: they stay out, and the caller is told."""
    ignored_in_messages: ParameterNames = ()
    """The same for fields of a chat's messages and of the calls in them, such as another host's `reasoning_content`."""
    ca_certificates: CaCertificates = None
    """PEM: authorities to trust for its host, besides the usual ones."""
    doors: Doors = ("chat", "completions", "embeddings")
    models: ModelNames = ()
    """What it is listed with, beside the catalogue's models. Others may be called all the same."""


class ProviderUpdate(_ProviderBody):
    """What is left out stays as it is; null clears `ca_certificates`."""

    name: ProviderName | None = None
    dialect: Dialect | None = None
    base_url: TemplateUrl | None = None
    """Another scheme, host or port is refused while virtual keys store credentials that go to this one."""
    credential: CredentialForm | None = None
    headers: Headers | None = None
    auth_header: AuthHeader | None = None
    auth_prefix: Prefix | None = None
    stream_usage: StrictBool | None = None
    limit_name: LimitName | None = None
    cache_hints: StrictBool | None = None
    developer_role: StrictBool | None = None
    renamed: Renamed | None = None
    refused: ParameterNames | None = None
    ignored: ParameterNames | None = None
    ignored_in_messages: ParameterNames | None = None
    ca_certificates: CaCertificates = None
    """PEM; null takes them away."""
    doors: Doors | None = None
    models: ModelNames | None = None


class ProviderView(View):
    id: str
    name: str
    dialect: str
    base_url: str
    credential: str = "api_key"
    headers: Mapping[str, str] = {}
    auth_header: str
    auth_prefix: str
    stream_usage: bool
    limit_name: str = "max_tokens"
    cache_hints: bool = False
    developer_role: bool = True
    renamed: Mapping[str, str] = {}
    refused: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    ignored_in_messages: tuple[str, ...] = ()
    ca_certificates: str | None = None
    doors: tuple[str, ...]
    models: tuple[str, ...]
    built_in: bool
    """Part of every build; read only."""
    created_at: datetime | None
    updated_at: datetime | None


class ProviderPage(Page[ProviderView]):
    """One page of providers."""


class Providers:
    def __init__(self, database: Database, changes: Changes, known: KnownProviders) -> None:
        self._database = database
        self._changes = changes
        self._built_in = known.built_in

    def routes(self) -> list[Route]:
        one = _PATH + "/{provider}"
        return [
            Route(
                "GET",
                _PATH,
                "providers.list",
                self.list,
                "List providers",
                answer=ProviderPage,
                query=store.LISTING.query,
            ),
            Route("POST", _PATH, "providers.create", self.create, "Add a provider", ProviderCreate, ProviderView, 201),
            Route("GET", one, "providers.read", self.read, "Read a provider", answer=ProviderView),
            Route("PATCH", one, "providers.update", self.update, "Change a provider", ProviderUpdate, ProviderView),
            Route("DELETE", one, "providers.delete", self.delete, "Delete a provider"),
        ]

    async def list(self, call: Call) -> ProviderPage:
        organisation = call.principal.organisation
        built_in = {id_: provider.model_dump(mode="json") for id_, provider in self._built_in.items()}
        async with self._database.tenant(organisation) as connection:
            rows, cursor = await store.page(connection, organisation, built_in, call.query)
        return ProviderPage(data=tuple(_view(row) for row in rows), next_cursor=cursor)

    async def read(self, call: Call) -> ProviderView:
        id_ = call.path["provider"]
        if id_ in self._built_in:
            return ProviderView(
                **self._built_in[id_].model_dump(mode="json"), built_in=True, created_at=None, updated_at=None
            )
        async with self._database.tenant(call.principal.organisation) as connection:
            return _view(await _found(connection, call))

    async def create(self, call: Call) -> ProviderView:
        body = call.parsed(ProviderCreate)
        if body.id in self._built_in:
            raise Conflict(f"{body.id!r} is built in; choose another id", code="id_taken", pointer="/id")
        organisation = call.principal.organisation
        noun = Provider.model_validate(body.model_dump())
        _check_address(noun)
        async with self._changes.open(call.principal, call.request_id) as change:
            row = await store.insert(change.connection, organisation, noun.id, noun.model_dump(mode="json"))
            shard = organisation_shard(organisation)
            change.put(shard, Kind.PROVIDER, noun)
            change.record("providers.create", "provider", noun.id, shard=shard, after=_told(noun))
        return _view(row)

    async def update(self, call: Call) -> ProviderView:
        body = call.parsed(ProviderUpdate)
        given = body.model_dump(exclude_none=True)
        if "ca_certificates" in body.model_fields_set:
            given["ca_certificates"] = body.ca_certificates
        self._require_own(call)
        organisation = call.principal.organisation
        async with self._changes.open(call.principal, call.request_id) as change:
            found = await _found(change.connection, call, lock=True)
            call.require_unchanged(found["updated_at"])
            before = Provider.model_validate(found["row"])
            noun = before.model_copy(update=given)
            if "base_url" in given or "credential" in given:
                _check_address(noun)
            if (before.credential, noun.credential) not in _FITTING and before.credential != noun.credential:
                await require_no_credentials(change.connection, organisation, noun.id)
            if base_url.origin(noun.base_url) != base_url.origin(before.base_url):
                await require_credentials_elsewhere(change.connection, organisation, noun.id, "/base_url")
            row = await store.update(change.connection, organisation, noun.id, noun.model_dump(mode="json"))
            shard = organisation_shard(organisation)
            change.put(shard, Kind.PROVIDER, noun)
            change.record("providers.update", "provider", noun.id, shard=shard, before=_told(before), after=_told(noun))
        return _view(row)

    async def delete(self, call: Call) -> None:
        self._require_own(call)
        organisation = call.principal.organisation
        async with self._changes.open(call.principal, call.request_id) as change:
            before = Provider.model_validate((await _found(change.connection, call, lock=True))["row"])
            await require_unused_provider(change.connection, organisation, before.id)
            await store.delete(change.connection, organisation, before.id)
            shard = organisation_shard(organisation)
            change.remove(shard, Kind.PROVIDER, before.id)
            change.record("providers.delete", "provider", before.id, shard=shard, before=_told(before))

    def _require_own(self, call: Call) -> None:
        if call.path["provider"] in self._built_in:
            raise Conflict(f"{call.path['provider']!r} is built in and stays as it is", code="built_in")


async def _found(connection: asyncpg.Connection, call: Call, *, lock: bool = False) -> asyncpg.Record:
    row = await store.find(connection, call.principal.organisation, call.path["provider"], lock=lock)
    if row is None:
        raise NotFound(f"no provider {call.path['provider']!r}")
    return row


def _check_address(noun: Provider) -> None:
    """Raises Invalid where a word stands in the address that no credential of the provider's says."""
    words = words_of(noun.credential)
    for name in TEMPLATE_FIELD.findall(noun.base_url):
        if name not in words:
            there = f"they say {', '.join(map(repr, words))}" if words else "they say none"
            told = f"credentials of the form {noun.credential!r} say no {name!r} for the address; {there}"
            raise Invalid(told, pointer="/base_url")


def _view(row: asyncpg.Record) -> ProviderView:
    return ProviderView(
        **row["row"], built_in=row["built_in"], created_at=row["created_at"], updated_at=row["updated_at"]
    )


def _told(noun: Provider) -> dict[str, Any]:
    return noun.model_dump(mode="json", exclude={"id"})
