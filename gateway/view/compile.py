"""From a verified state to a view. One bad resource harms only itself: it is refused by name and the rest goes on."""

import base64
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Protocol, TypeVar

import orjson
from pydantic import ValidationError

from gateway.errors import GatewayError
from gateway.providers.base import Provider as Adapter
from gateway.view.plan import Names, compile_route, place_at, place_of
from gateway.view.route import Credential, CredentialUnavailable
from gateway.view.view import Caller, ConfigEntry, ConfigView, ProviderView, VirtualKeyView, WorkspaceView
from shared.crypto.secret import Secret
from shared.models.api_key import ApiKey
from shared.models.config import Config, ConfigError, parse_config
from shared.models.model import Model
from shared.models.noun import Kind, Noun
from shared.models.organisation import Organisation
from shared.models.provider import Provider
from shared.models.virtual_key import VirtualKey
from shared.models.workspace import Workspace
from shared.protocol.envelope import EnvelopeError
from shared.protocol.lease import Lease
from shared.protocol.resource import SealedResource
from shared.protocol.snapshot import ShardState

_TYPES: Mapping[str, type[Noun]] = {
    Kind.ORGANISATION: Organisation,
    Kind.WORKSPACE: Workspace,
    Kind.API_KEY: ApiKey,
    Kind.VIRTUAL_KEY: VirtualKey,
    Kind.CONFIG: Config,
    Kind.PROVIDER: Provider,
    Kind.MODEL: Model,
}

Name = tuple[str, str, str]
"""Shard, kind, id."""

N = TypeVar("N", bound=Noun)


class Opener(Protocol):
    """Opens what travels sealed; `sync/opener.py`."""

    def open(self, resource: SealedResource) -> bytes: ...

    def open_credential(self, virtual_key: SealedResource, credential: str) -> Secret: ...


class State(Protocol):
    """A verified, complete state; `sync/state.py`."""

    @property
    def lease(self) -> Lease: ...

    @property
    def shards(self) -> Mapping[str, ShardState]: ...

    @property
    def opener(self) -> Opener: ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """A resource this gateway cannot use. Its last good version serves on, if there was one."""

    shard: str
    kind: str
    id: str
    revision: int
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Opened:
    """A resource whose body was read; kept, so that the next state opens only what changed."""

    resource: SealedResource
    noun: Noun


class NotServable(Exception):
    """The state lacks what no request can do without."""


class Compiler:
    """Compiles state after state. Not for two threads at once."""

    __slots__ = ("_adapters", "_built_in", "_opened", "refusals")

    def __init__(self, adapters: Mapping[str, Adapter], built_in: Mapping[str, Provider]) -> None:
        self._adapters = adapters
        self._built_in = built_in
        self._opened: dict[Name, Opened] = {}
        self.refusals: tuple[Refusal, ...] = ()

    def compile(self, state: State) -> ConfigView:
        """The view of `state`; `refusals` says what is not in it. Raises NotServable."""
        refusals: list[Refusal] = []
        opened = self._open_all(state, refusals)
        view = _Build(opened, state.opener, self._adapters, self._built_in, refusals).view(state.lease.sequence)
        self._opened = opened
        self.refusals = tuple(refusals)
        return view

    def _open_all(self, state: State, refusals: list[Refusal]) -> dict[Name, Opened]:
        opened: dict[Name, Opened] = {}
        for resource in chain.from_iterable(shard.resources for shard in state.shards.values()):
            type_ = _TYPES.get(resource.kind)
            if type_ is None:  # A newer control plane's kind: kept by the stores, not interpreted here.
                continue
            name = (resource.shard, resource.kind, resource.id)
            last_good = self._opened.get(name)
            if last_good is not None and last_good.resource.hash == resource.hash:
                opened[name] = last_good
                continue
            try:
                noun = type_.model_validate_json(state.opener.open(resource))
                if noun.id != resource.id:
                    raise ValueError("the body's id is not the resource's")
            except EnvelopeError as error:
                refusals.append(_refusal(resource, f"envelope_{error.code}", "it does not open"))
            except ValidationError as error:
                refusals.append(_refusal(resource, "body_invalid", _where(error)))
            except ValueError as error:
                refusals.append(_refusal(resource, "body_invalid", str(error)))
            else:
                opened[name] = Opened(resource, noun)
                continue
            if last_good is not None:
                opened[name] = last_good
        return opened


class _Build:
    """One view's building; thrown away with its end."""

    def __init__(
        self,
        opened: Mapping[Name, Opened],
        opener: Opener,
        adapters: Mapping[str, Adapter],
        built_in: Mapping[str, Provider],
        refusals: list[Refusal],
    ) -> None:
        self._opener = opener
        self._adapters = adapters
        self._refusals = refusals
        self._by_kind: dict[str, list[Opened]] = defaultdict(list)
        self._by_workspace: dict[tuple[str, str], list[Opened]] = defaultdict(list)
        for (shard, kind, _), entry in opened.items():
            self._by_kind[kind].append(entry)
            self._by_workspace[shard, kind].append(entry)
        self._providers = self._compile_providers(built_in)
        self._models = self._models_by_provider()

    def view(self, sequence: int) -> ConfigView:
        organisations = [entry.noun for entry in self._by_kind[Kind.ORGANISATION]]
        if len(organisations) != 1 or not isinstance(organisations[0], Organisation):
            raise NotServable(f"a state has one organisation; this one has {len(organisations)}")
        callers: dict[bytes, Caller] = {}
        for entry in self._by_kind[Kind.WORKSPACE]:
            noun = entry.noun
            assert isinstance(noun, Workspace)
            workspace = self._workspace(noun, entry.resource.shard)
            for key in self._by_workspace[entry.resource.shard, Kind.API_KEY]:
                assert isinstance(key.noun, ApiKey)
                callers[bytes.fromhex(key.noun.hash)] = _caller(key.noun, workspace)
        return ConfigView(sequence, Secret(base64.b64decode(organisations[0].api_key_hash_key)), callers)

    def _compile_providers(self, built_in: Mapping[str, Provider]) -> dict[str, ProviderView]:
        views = {id_: ProviderView(place_of(row), self._adapters[row.dialect]) for id_, row in built_in.items()}
        for entry in self._by_kind[Kind.PROVIDER]:
            row = entry.noun
            assert isinstance(row, Provider)
            try:
                views[row.id] = ProviderView(place_of(row), self._adapters[row.dialect])
            except ValueError as error:
                self._refuse(entry, "base_url_invalid", str(error))
        return views

    def _models_by_provider(self) -> dict[str, list[str]]:
        models: dict[str, list[str]] = defaultdict(list)
        for entry in self._by_kind[Kind.MODEL]:
            assert isinstance(entry.noun, Model)
            models[entry.noun.provider].append(entry.noun.name)
        return models

    def _workspace(self, noun: Workspace, shard: str) -> WorkspaceView:
        allowed = None if noun.allowed_providers is None else frozenset(noun.allowed_providers)
        virtual_keys = {
            view.slug: view
            for entry in self._by_workspace[shard, Kind.VIRTUAL_KEY]
            if (view := self._virtual_key(entry)) is not None
        }
        listing: dict[str, list[str]] = defaultdict(list)
        for slug in sorted(virtual_keys):
            virtual_key = virtual_keys[slug]
            if allowed is not None and virtual_key.place.provider not in allowed:
                continue
            models = virtual_key.models
            for model in self._models.get(virtual_key.place.provider, ()) if models is None else sorted(models):
                listing[model].append(slug)
        return WorkspaceView(
            id=noun.id,
            slug=noun.slug,
            default_config=noun.default_config,
            allowed_providers=allowed,
            inline=noun.inline,
            aliases=noun.model_aliases,
            configs=self._configs(shard, virtual_keys),
            virtual_keys=virtual_keys,
            providers=self._providers,
            listing={model: tuple(slugs) for model, slugs in listing.items()},
        )

    def _virtual_key(self, entry: Opened) -> VirtualKeyView | None:
        noun = entry.noun
        assert isinstance(noun, VirtualKey)
        provider = self._providers.get(noun.provider)
        if provider is None:
            self._refuse(entry, "provider_unknown", f"no provider {noun.provider!r} is known to this gateway")
            return None
        try:
            place = provider.place if noun.base_url is None else place_at(provider.place, noun.base_url)
        except GatewayError as error:
            self._refuse(entry, "base_url_invalid", error.message)
            return None
        return VirtualKeyView(
            slug=noun.slug,
            place=place,
            adapter=provider.adapter,
            credential=_credential(self._opener, entry.resource, noun),
            models=None if noun.models is None else frozenset(noun.models),
        )

    def _configs(self, shard: str, virtual_keys: Mapping[str, VirtualKeyView]) -> dict[str, ConfigEntry]:
        names = Names(virtual_keys, self._providers, inline=False)
        entries: dict[str, ConfigEntry] = {}
        for entry in self._by_workspace[shard, Kind.CONFIG]:
            noun = entry.noun
            assert isinstance(noun, Config)
            try:
                body = parse_config(noun.body)
                route = compile_route(body, names) if body.names_a_target else None
            except ConfigError as error:
                self._refuse(entry, "config_invalid", str(error))
            except GatewayError as error:
                self._refuse(entry, error.code, error.message)
            else:
                entries[noun.slug] = ConfigEntry(noun.slug, body, route)
        return entries

    def _refuse(self, entry: Opened, code: str, detail: str) -> None:
        self._refusals.append(_refusal(entry.resource, code, detail))


def _credential(opener: Opener, resource: SealedResource, virtual_key: VirtualKey) -> Credential:
    def open_() -> Secret:
        try:
            opened = opener.open_credential(resource, virtual_key.credential)
            return Secret(orjson.loads(opened.reveal())["api_key"])
        except EnvelopeError as error:
            reason: str = error.code
        except (orjson.JSONDecodeError, KeyError, TypeError):
            reason = "it holds no api_key"
        raise CredentialUnavailable(f"the credential of @{virtual_key.slug} cannot be used: {reason}")

    return Credential(open_)


def _caller(noun: ApiKey, workspace: WorkspaceView) -> Caller:
    own, general = noun.inline, workspace.inline
    return Caller(
        id=noun.id,
        workspace=workspace,
        scopes=frozenset(noun.scopes),
        default_config=noun.default_config or workspace.default_config,
        models=noun.models,
        inline_keys=_first(own.keys, general.keys),
        inline_configs=_first(own.configs, general.configs),
        inline_hosts=_first(own.hosts, general.hosts),
        expires_at_ms=noun.expires_at_ms,
        revoked=noun.revoked,
    )


def _first(own: bool | None, general: bool | None) -> bool:
    """A key may be narrower than its workspace, never wider."""
    return (own is None or own) and (general is None or general)


def _refusal(resource: SealedResource, code: str, detail: str) -> Refusal:
    return Refusal(resource.shard, resource.kind, resource.id, resource.revision, code, detail)


def _where(error: ValidationError) -> str:
    """The first fault's place and reason, without the value."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"/{'/'.join(str(part) for part in first['loc'])}: {first['msg']}"
