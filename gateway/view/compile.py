"""From a verified state to a view. One bad resource harms only itself: it is refused by name and the rest goes on."""

import base64
from collections import defaultdict
from collections.abc import Callable, Container, Mapping
from datetime import date
from functools import partial
from itertools import chain
from typing import Protocol, TypeVar

import msgspec
import orjson
from msgspec.structs import replace
from pydantic import ValidationError

from gateway.errors import GatewayError
from gateway.providers.base import Place, ProviderKey, key_of, trust_of
from gateway.providers.base import Provider as Adapter
from gateway.upstream.tls import Trust
from gateway.view.plan import Names, compile_route, place_at, place_of
from gateway.view.refusal import Refusal
from gateway.view.route import Credential, CredentialUnavailable
from gateway.view.view import Caller, ConfigEntry, ConfigView, ProviderView, VirtualKeyView, WorkspaceView
from shared.crypto.secret import Secret
from shared.models.api_key import ApiKey
from shared.models.config import Config, ConfigError, parse_config
from shared.models.credential import FORMS, CredentialForm
from shared.models.model import Model
from shared.models.noun import Kind, Noun
from shared.models.organisation import Organisation
from shared.models.price import OwnPrice, Price
from shared.models.provider import Provider
from shared.models.virtual_key import VirtualKey
from shared.models.workspace import Workspace
from shared.pricing import PriceTable
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
    Kind.PRICE: OwnPrice,
}

Name = tuple[str, str, str]
"""Shard, kind, id."""

T = TypeVar("T")


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


class Opened(msgspec.Struct, frozen=True):
    """A resource whose body was read; kept, so that the next state opens only what changed."""

    resource: SealedResource
    noun: Noun


class NotServable(Exception):
    """The state lacks what no request can do without."""


class _Unusable(Exception):
    """A resource that opened, is well formed, and still cannot serve."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Compiler:
    """Compiles state after state. Not for two threads at once."""

    __slots__ = ("_adapters", "_built_in", "_good", "_opened", "refusals")

    def __init__(self, adapters: Mapping[str, Adapter], built_in: Mapping[str, Provider]) -> None:
        self._adapters = adapters
        self._built_in = built_in
        self._opened: dict[Name, Opened] = {}
        """As they came last; what has not changed is not opened again."""
        self._good: dict[Name, Opened] = {}
        """As they served last; what cannot serve any more is replaced by these."""
        self.refusals: tuple[Refusal, ...] = ()

    def compile(self, state: State) -> ConfigView:
        """The view of `state`; `refusals` says what is not in it. Raises NotServable."""
        refusals: list[Refusal] = []
        opened = self._open_all(state, refusals)
        build = _Build(opened, self._good, state.opener, self._adapters, self._built_in, refusals)
        view = build.view(state.lease.sequence)
        self._opened = opened
        self._good = build.good
        self.refusals = tuple(refusals)
        return view

    def _open_all(self, state: State, refusals: list[Refusal]) -> dict[Name, Opened]:
        opened: dict[Name, Opened] = {}
        for resource in chain.from_iterable(shard.resources for shard in state.shards.values()):
            type_ = _TYPES.get(resource.kind)
            if type_ is None:  # A newer control plane's kind: kept by the stores, not interpreted here.
                continue
            name = _name(resource)
            last = self._opened.get(name)
            if last is not None and last.resource.hash == resource.hash:
                opened[name] = last
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
            if name in self._good:
                opened[name] = self._good[name]
        return opened


class _Build:
    """One view's building; thrown away with its end."""

    def __init__(
        self,
        opened: Mapping[Name, Opened],
        last_good: Mapping[Name, Opened],
        opener: Opener,
        adapters: Mapping[str, Adapter],
        built_in: Mapping[str, Provider],
        refusals: list[Refusal],
    ) -> None:
        self.good = dict(opened)
        """What serves: of each resource the version that came, else its last good one."""
        self._last_good = last_good
        self._opener = opener
        self._adapters = adapters
        self._refusals = refusals
        self._by_kind: dict[str, list[Opened]] = defaultdict(list)
        # What serves already comes first: a newcomer that takes its slug harms only itself.
        for entry in sorted(opened.values(), key=lambda entry: last_good.get(_name(entry.resource)) is not entry):
            self._by_kind[entry.resource.kind].append(entry)
        self._by_workspace = self._group_by_workspace()
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
            for key in self._by_workspace[entry.resource.shard, noun.id, Kind.API_KEY]:
                self._built(key, partial(_take_key, workspace, callers))
        hash_key = Secret(base64.b64decode(organisations[0].api_key_hash_key))
        return ConfigView(sequence, hash_key, callers, self._prices())

    def _built(self, entry: Opened, build: Callable[[Opened], T]) -> T | None:
        """What `build` makes of a resource, else of its last good version. The refusal names the one that came."""
        name = _name(entry.resource)
        last_good = self._last_good.get(name)
        try:
            return build(entry)
        except _Unusable as error:
            self._refuse(entry, error.code, error.detail)
        if last_good is None or last_good is entry:
            return None
        try:
            built = build(last_good)
        except _Unusable:  # What it refers to has gone since.
            return None
        self.good[name] = last_good
        return built

    def _group_by_workspace(self) -> dict[tuple[str, str, str], list[Opened]]:
        """By shard, workspace and kind. What names a workspace that is not in its own shard is refused."""
        homes = {(entry.resource.shard, entry.noun.id) for entry in self._by_kind[Kind.WORKSPACE]}
        groups: dict[tuple[str, str, str], list[Opened]] = defaultdict(list)
        for kind in (Kind.API_KEY, Kind.VIRTUAL_KEY, Kind.CONFIG):
            for entry in self._by_kind[kind]:
                noun, shard = entry.noun, entry.resource.shard
                assert isinstance(noun, ApiKey | VirtualKey | Config)
                if (shard, noun.workspace) in homes:
                    groups[shard, noun.workspace, kind].append(entry)
                else:
                    self._refuse(entry, "workspace_unknown", f"no workspace {noun.workspace!r} in its shard")
        return groups

    def _compile_providers(self, built_in: Mapping[str, Provider]) -> dict[str, ProviderView]:
        views = {id_: _provider_view(row, self._adapters) for id_, row in built_in.items()}
        for refusal in self._refusals:
            if refusal.kind == Kind.PROVIDER:
                # Keys stored for the refused row's host must not go to the built-in one of the same name.
                views.pop(refusal.id, None)
        for entry in self._by_kind[Kind.PROVIDER]:
            views.pop(entry.noun.id, None)
            view = self._built(entry, self._provider)
            if view is not None:
                views[entry.noun.id] = view
        return views

    def _provider(self, entry: Opened) -> ProviderView:
        row = entry.noun
        assert isinstance(row, Provider)
        try:
            return _provider_view(row, self._adapters)
        except ValueError as error:
            raise _Unusable("base_url_invalid", str(error)) from None

    def _models_by_provider(self) -> dict[str, dict[str, None]]:
        """Names in order, each once: a model may have a row for each of its doors."""
        models: dict[str, dict[str, None]] = defaultdict(dict)
        for id_, provider in self._providers.items():
            models[id_] = dict.fromkeys(provider.models)
        for entry in self._by_kind[Kind.MODEL]:
            assert isinstance(entry.noun, Model)
            models[entry.noun.provider][entry.noun.name] = None
        return models

    def _prices(self) -> PriceTable:
        """Rows as they are: they are compiled when the first call of their model is charged."""
        catalogue: dict[tuple[str, str], tuple[Price, ...]] = {}
        for entry in self._by_kind[Kind.MODEL]:
            model = entry.noun
            assert isinstance(model, Model)
            name = (model.provider, model.name)
            catalogue[name] = catalogue.get(name) or model.prices
        own: dict[tuple[str, str | None, date], OwnPrice] = {}
        for entry in self._by_kind[Kind.PRICE]:
            self._built(entry, partial(_take_price, own))
        return PriceTable(catalogue, own.values())

    def _workspace(self, noun: Workspace, shard: str) -> WorkspaceView:
        allowed = None if noun.allowed_providers is None else frozenset(noun.allowed_providers)
        virtual_keys: dict[str, VirtualKeyView] = {}
        for entry in self._by_workspace[shard, noun.id, Kind.VIRTUAL_KEY]:
            virtual_key = self._built(entry, partial(self._virtual_key, virtual_keys))
            if virtual_key is not None:
                virtual_keys[virtual_key.slug] = virtual_key
        names = Names(virtual_keys, self._providers, inline=False)
        configs: dict[str, ConfigEntry] = {}
        for entry in self._by_workspace[shard, noun.id, Kind.CONFIG]:
            config = self._built(entry, partial(_config, names, configs))
            if config is not None:
                configs[config.slug] = config
        return WorkspaceView(
            id=noun.id,
            slug=noun.slug,
            default_config=noun.default_config,
            allowed_providers=allowed,
            inline=noun.inline,
            aliases=noun.model_aliases,
            configs=configs,
            virtual_keys=virtual_keys,
            providers=self._providers,
            listing=self._listing(virtual_keys, allowed),
            metadata_keys=frozenset(noun.metadata_keys),
            anonymous=noun.record_mode == "anonymous",
        )

    def _virtual_key(self, taken: Container[str], entry: Opened) -> VirtualKeyView:
        noun = entry.noun
        assert isinstance(noun, VirtualKey)
        _check_slug(noun.slug, taken)
        provider = self._providers.get(noun.provider)
        if provider is None:
            raise _Unusable("provider_unknown", f"no provider {noun.provider!r} is known to this gateway")
        try:
            place = provider.place if noun.base_url is None else place_at(provider.place, noun.base_url)
        except GatewayError as error:
            raise _Unusable("base_url_invalid", error.message) from None
        provider.adapter.prepare(provider.credential_form)
        return VirtualKeyView(
            id=noun.id,
            slug=noun.slug,
            place=place,
            adapter=provider.adapter,
            credential=_credential(self._opener, entry.resource, noun, provider.credential_form, place),
            models=None if noun.models is None else frozenset(noun.models),
        )

    def _listing(
        self, virtual_keys: Mapping[str, VirtualKeyView], allowed: frozenset[str] | None
    ) -> dict[str, tuple[str, ...]]:
        listing: dict[str, list[str]] = defaultdict(list)
        for slug in sorted(virtual_keys):
            virtual_key = virtual_keys[slug]
            if allowed is not None and virtual_key.place.provider not in allowed:
                continue
            models = virtual_key.models
            for model in self._models.get(virtual_key.place.provider, ()) if models is None else sorted(models):
                listing[model].append(slug)
        return {model: tuple(slugs) for model, slugs in listing.items()}

    def _refuse(self, entry: Opened, code: str, detail: str) -> None:
        """Its last good version, if it is to serve on, is put back by `_built`."""
        self.good.pop(_name(entry.resource), None)
        self._refusals.append(_refusal(entry.resource, code, detail))


def _config(names: Names, taken: Container[str], entry: Opened) -> ConfigEntry:
    noun = entry.noun
    assert isinstance(noun, Config)
    _check_slug(noun.slug, taken)
    try:
        body = parse_config(noun.body)
        route = compile_route(body, replace(names, owner=noun.id)) if body.names_a_target else None
        return ConfigEntry(noun.id, entry.resource.revision, noun.slug, body, route)
    except ConfigError as error:
        raise _Unusable("config_invalid", str(error)) from None
    except GatewayError as error:
        raise _Unusable(error.code, error.message) from None


def _take_key(workspace: WorkspaceView, callers: dict[bytes, Caller], entry: Opened) -> None:
    noun = entry.noun
    assert isinstance(noun, ApiKey)
    hash_ = bytes.fromhex(noun.hash)
    if hash_ in callers:
        raise _Unusable("key_taken", "another API key has the same hash")
    callers[hash_] = _caller(noun, workspace)


def _take_price(own: dict[tuple[str, str | None, date], OwnPrice], entry: Opened) -> None:
    noun = entry.noun
    assert isinstance(noun, OwnPrice)
    name = (noun.provider, noun.model, noun.valid_from)
    if name in own:
        raise _Unusable("price_taken", "another price is for the same provider and model from the same day")
    own[name] = noun


def _check_slug(slug: str, taken: Container[str]) -> None:
    if slug in taken:
        raise _Unusable("slug_taken", f"another one in this workspace has the slug {slug!r}")


def _credential(
    opener: Opener, resource: SealedResource, virtual_key: VirtualKey, form: CredentialForm, place: Place
) -> Credential:
    def open_() -> tuple[ProviderKey | None, Trust | None]:
        try:
            inside = opener.open_credential(resource, virtual_key.credential)
            filled = FORMS[form].model_validate(orjson.loads(inside.reveal()))
            return key_of(filled), trust_of(filled, place)
        except EnvelopeError as error:
            reason: str = error.code
        except orjson.JSONDecodeError:
            reason = "it is not JSON"
        except ValidationError as error:
            reason = _where(error)
        raise CredentialUnavailable(f"the credential of @{virtual_key.slug} cannot be used: {reason}")

    return Credential(open_)


def _provider_view(row: Provider, adapters: Mapping[str, Adapter]) -> ProviderView:
    """Raises ValueError if its base URL is none we call."""
    return ProviderView(place_of(row), adapters[row.dialect], row.models, row.credential)


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


def _name(resource: SealedResource) -> Name:
    return resource.shard, resource.kind, resource.id


def _refusal(resource: SealedResource, code: str, detail: str) -> Refusal:
    return Refusal(resource.shard, resource.kind, resource.id, resource.revision, code, detail)


def _where(error: ValidationError) -> str:
    """The first fault's place and reason, without the value."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"/{'/'.join(str(part) for part in first['loc'])}: {first['msg']}"
