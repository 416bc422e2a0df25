"""The config JSON, as both planes check it. Source: reference/portkey.md 2.4.

What cannot work is refused by name. Keys that belong to rooms not built yet are refused too, never ignored:
a guardrail that is silently dropped is worse than an error.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, Self

import orjson
from pydantic import Field, ValidationError, WithJsonSchema, field_validator, model_validator

from shared import fault_words
from shared.crypto.secret import Secret
from shared.field_path import parse_path
from shared.models.forward_headers import NAMES_MAX, forwardable
from shared.models.noun import Id, Noun, Slug
from shared.models.strategy import CACHE_SCHEMA, Cache, CircuitBreaker, Mode, Retry, Status, Strategy, Strict
from shared.models.virtual_key import fits_a_header
from shared.query import QueryFaults, parse_query

TARGETS_MAX = 100
CONDITIONAL_TARGETS_MAX = 1_000
NESTED_TARGETS_MAX = 50
NODES_MAX = 2_000
"""Of the whole tree."""
DEPTH_MAX = 8
PARAMS_DEPTH_MAX = 64
"""How deep parameters nest. A config stands inside other documents, and each reader has a limit of its own."""
DROPS_MAX = 100

NOT_BUILT_YET = frozenset(
    "prompt_id input_guardrails output_guardrails default_input_guardrails default_output_guardrails "
    "before_request_hooks after_request_hooks input_mutators output_mutators strict_open_ai_compliance".split()
)
"""Keys of the original that this version refuses by name."""

CACHE_MODES_NOT_BUILT_YET = ("semantic",)

UNKNOWN_KEY = (
    "no such key in a config; what one provider alone needs (region, project, deployment) is its virtual key's"
)
"""The original also takes providers' own settings here; a secret among them would lie in the config."""

Path = tuple[str | int, ...]
Fault = tuple[Path, str]
"""Where in a config, and what is wrong there."""


class ConfigBody(Strict):
    """One node of the tree: a target, or a strategy over targets. Settings inherit downwards."""

    name: Annotated[str, Field(max_length=200)] | None = None
    """What conditions call this target by."""
    strategy: Strategy | None = None
    """How one of `targets` is chosen."""
    targets: tuple["ConfigBody", ...] | None = None
    """What is chosen from; each may have a strategy and targets of its own."""
    weight: Annotated[float, Field(strict=True, ge=0, le=1e12, allow_inf_nan=False)] | None = None
    """Its share in a `loadbalance`, beside the others'; 0 is never, default 1."""
    provider: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """A provider's id, or `@slug` of a virtual key."""
    virtual_key: Slug | None = None
    """Slug of a stored provider credential."""
    api_key: Annotated[Secret | None, WithJsonSchema({"type": "string", "writeOnly": True}), Field(repr=False)] = None
    """The provider's key, in a config that comes with a request. A saved config names a virtual key."""
    passthrough: bool = False
    """Take the provider and key that the request names."""
    custom_host: Annotated[str, Field(min_length=1, max_length=2_000)] | None = None
    """Base URL in place of the provider's own."""
    override_params: dict[str, Any] | None = None
    """Body fields that win over the caller's; merged with the parent's."""
    default_params: dict[str, Any] | None = None
    """Body fields for callers who give none; merged with the parent's."""
    drop_params: Annotated[tuple[str, ...], Field(max_length=DROPS_MAX)] | None = None
    """Places in the body that are left out, last of all: `user`, `messages[*].name`."""
    request_timeout: Annotated[int, Field(strict=True, ge=1, le=86_400_000)] | None = None
    """Milliseconds for each attempt: until a plain answer is whole, or a stream begins. Then a 408."""
    retry: Retry | None = None
    """Calling a target again that failed."""
    cache: Annotated[Cache | None, WithJsonSchema(CACHE_SCHEMA)] = None
    """Answers are kept and given again; `"simple"` is `{"mode": "simple"}`."""
    forward_headers: Annotated[tuple[str, ...], Field(max_length=NAMES_MAX)] | None = None
    """Names of request headers that go on to the provider as they came."""
    cb_config: CircuitBreaker | None = None
    """Circuit breaker, as in `strategy`."""
    on_status_codes: tuple[Status, ...] | None = None
    """An older place of `strategy.on_status_codes`."""

    @model_validator(mode="before")
    @classmethod
    def _seal_the_key(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("api_key"), str):
            return {**data, "api_key": Secret(data["api_key"])}
        return data

    @field_validator("api_key")
    @classmethod
    def _a_provider_s_key(cls, key: Secret | None) -> Secret | None:
        if key is None:
            return None
        if not fits_a_header(key):
            raise ValueError("an `api_key` is visible ASCII without spaces")
        if key.reveal().startswith(b"gh_"):
            raise ValueError("an `api_key` is the provider's; a Gatehouse key never goes to a provider")
        return key

    @field_validator("override_params", "default_params")
    @classmethod
    def _can_be_sent(cls, params: dict[str, Any] | None) -> dict[str, Any] | None:
        if params is None:
            return None
        if "stream" in params:
            raise ValueError("`stream` is the caller's to choose, since the answer's form follows it; remove it")
        model = params.get("model", "any")
        if not (isinstance(model, str) and model):
            raise ValueError("`model` must be a string that is not empty")
        if _nests_beyond(params, PARAMS_DEPTH_MAX):
            raise ValueError(f"nested more than {PARAMS_DEPTH_MAX} deep")
        try:
            orjson.dumps(params)
        except orjson.JSONEncodeError:
            raise ValueError("no JSON that can be sent: a number beyond 64 bits") from None
        return params

    @field_validator("drop_params")
    @classmethod
    def _can_be_dropped(cls, drops: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for drop in drops or ():
            if parse_path(drop)[0] in ("model", "stream"):
                raise ValueError("`model` and `stream` decide where a call goes and how it is answered; they stay")
        return drops

    @field_validator("forward_headers")
    @classmethod
    def _can_be_forwarded(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if names is None else tuple(dict.fromkeys(map(forwardable, names)))

    @model_validator(mode="after")
    def _can_work(self) -> Self:
        if self.strategy is not None and self.targets is None:
            raise ValueError("a strategy needs `targets`")
        if self.targets is not None and (self.provider or self.virtual_key or self.api_key or self.passthrough):
            raise ValueError("a node with `targets` names no provider, virtual key or API key of its own")
        if self.passthrough and (self.provider or self.virtual_key):
            raise ValueError("`passthrough` takes the provider that the request names; remove this one")
        if self.on_status_codes is not None and (self.strategy is None or self.strategy.mode is not Mode.FALLBACK):
            raise ValueError("`on_status_codes` belongs to a `fallback`'s `strategy`, or to `retry`")
        if self.on_status_codes is not None and self.strategy and self.strategy.on_status_codes is not None:
            raise ValueError("`on_status_codes` stands here and in `strategy`; remove one")
        if self.provider is not None and self.virtual_key is not None:
            raise ValueError("name a `provider` or a `virtual_key`, not both")
        if self.api_key is not None and self.provider is None:
            raise ValueError("an `api_key` needs a `provider`")
        if self.api_key is not None and self.provider is not None and self.provider.startswith("@"):
            raise ValueError("a saved provider `@slug` has its own key; remove the `api_key`")
        return self

    @property
    def fallback_codes(self) -> tuple[int, ...] | None:
        """The statuses at which a fallback goes on; None: whatever is no 2xx."""
        if self.on_status_codes is not None:
            return self.on_status_codes
        return None if self.strategy is None else self.strategy.on_status_codes

    @property
    def names_a_target(self) -> bool:
        """False for a config that only sets parameters: it joins whatever target the request names."""
        return bool(self.targets or self.provider or self.virtual_key)


_KEYS = frozenset(ConfigBody.model_fields)


class Config(Noun):
    """A stored config."""

    workspace: Id
    slug: Slug
    name: str
    body: dict[str, Any]
    """The config JSON as written; `parse_config` reads it."""


class ConfigError(ValueError):
    """A config that cannot work: each fault with its path and what is wrong."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self.faults = faults
        super().__init__("; ".join(f"{pointer(path)}: {message}" for path, message in faults))


def slug_in(model: Any) -> str | None:
    """The virtual key's slug in a model written as `@slug/model`; None for any other."""
    if not isinstance(model, str) or not model.startswith("@"):
        return None
    slug, slash, rest = model[1:].partition("/")
    return slug if slug and slash and rest else None


def pointer(path: Path) -> str:
    """A JSON pointer (RFC 6901) to `path`."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def parse_config(data: Any) -> ConfigBody:
    """Check a config JSON. Raises ConfigError naming every fault with its path; never a fault of ours."""
    if not isinstance(data, dict):
        raise ConfigError((((), "a config is a JSON object"),))
    if beyond := list(_beyond_limits(data)):
        raise ConfigError(tuple(beyond))
    faults = dict(_faults_of(data, ()))
    try:
        body = ConfigBody.model_validate(data)
    except ValidationError as error:
        for path, message in fault_words.faults(error):
            faults.setdefault(path, message)
    if faults:
        raise ConfigError(tuple(faults.items()))
    return body


def _beyond_limits(data: dict[str, Any]) -> Iterator[Fault]:
    """What is too deep or too much to be looked at any closer."""
    layer: list[tuple[Path, Any]] = [((), data)]
    nodes = 0
    for depth in range(DEPTH_MAX + 1):
        below: list[tuple[Path, Any]] = []
        for path, node in layer:
            targets = node.get("targets") if isinstance(node, dict) else None
            if not isinstance(targets, list | tuple):
                continue
            nodes += len(targets)
            most = _targets_max(node, depth)
            if not 1 <= len(targets) <= most:
                yield (*path, "targets"), f"name 1 to {most} targets"
            elif nodes > NODES_MAX:
                yield (*path, "targets"), f"a config has at most {NODES_MAX} targets, nested ones among them"
                return
            else:
                below += [((*path, "targets", index), target) for index, target in enumerate(targets)]
        layer = below
    if layer:
        yield ("targets",), f"targets are nested more than {DEPTH_MAX} deep"


def _targets_max(node: dict[str, Any], depth: int) -> int:
    strategy = node.get("strategy")
    if isinstance(strategy, dict) and strategy.get("mode") == Mode.CONDITIONAL:
        return CONDITIONAL_TARGETS_MAX
    return NESTED_TARGETS_MAX if depth else TARGETS_MAX


def _faults_of(node: Any, path: Path) -> Iterator[Fault]:
    """What a model of one node's fields cannot see, or not at its place; in whatever JSON stands there."""
    if not isinstance(node, dict):
        return
    for key in node:
        if key in NOT_BUILT_YET:
            yield (*path, key), f"`{key}` is not supported by this version of Gatehouse; remove it"
        elif key not in _KEYS:
            yield (*path, key), UNKNOWN_KEY
    cache = node.get("cache")
    mode = cache.get("mode") if isinstance(cache, dict) else cache
    if isinstance(mode, str) and mode in CACHE_MODES_NOT_BUILT_YET:
        yield (*path, "cache", "mode"), f"cache mode `{mode}` is not supported by this version of Gatehouse"
    strategy, targets = node.get("strategy"), node.get("targets")
    targets = targets if isinstance(targets, list | tuple) else ()
    if isinstance(strategy, dict):
        yield from _faults_of_strategy(strategy, targets, path)
    for index, target in enumerate(targets):
        yield from _faults_of(target, (*path, "targets", index))


def _faults_of_strategy(strategy: dict[str, Any], targets: list[Any] | tuple[Any, ...], path: Path) -> Iterator[Fault]:
    mode = strategy.get("mode")
    if mode == Mode.OPTIMIZE:
        for index, target in enumerate(targets):
            if isinstance(target, dict) and ("targets" in target or target.get("passthrough") is True):
                message = "`optimize` compares targets that are named here: neither more `targets` nor `passthrough`"
                yield (*path, "targets", index), message
    elif mode == Mode.LOADBALANCE:
        if targets and all(isinstance(target, dict) and _is_never(target.get("weight", 1)) for target in targets):
            yield (*path, "targets"), "the weights sum to 0, so no call could go anywhere"
    elif mode == Mode.CONDITIONAL:
        yield from _faults_of_conditions(strategy, targets, (*path, "strategy"))


def _is_never(weight: Any) -> bool:
    return isinstance(weight, int | float) and not isinstance(weight, bool) and weight == 0


def _faults_of_conditions(
    strategy: dict[str, Any], targets: list[Any] | tuple[Any, ...], path: Path
) -> Iterator[Fault]:
    named = Counter(
        target["name"] for target in targets if isinstance(target, dict) and isinstance(target.get("name"), str)
    )
    conditions = strategy.get("conditions")
    names = [((*path, "default"), strategy.get("default"))]
    for index, condition in enumerate(conditions if isinstance(conditions, list | tuple) else ()):
        place = (*path, "conditions", index)
        if isinstance(condition, dict):
            names.append(((*place, "then"), condition.get("then")))
            try:
                parse_query(condition.get("query", {}))
            except QueryFaults as error:
                yield from (((*place, "query", *inner), message) for inner, message in error.faults)
    for place, name in names:
        if not isinstance(name, str):
            continue
        if named[name] == 0:
            yield place, f"Invalid target name found in the query router: {name}"
        elif named[name] > 1:
            yield place, f"{named[name]} of the targets have the name {name!r}; give each its own"


def _nests_beyond(value: Any, depth_max: int) -> bool:
    """Whether objects and lists stand in each other more than `depth_max` deep; looks no deeper than that."""
    layer = [value]
    for _ in range(depth_max):
        containers = (item for item in layer if isinstance(item, dict | list))
        layer = [inner for item in containers for inner in (item.values() if isinstance(item, dict) else item)]
    return any(isinstance(item, dict | list) for item in layer)
