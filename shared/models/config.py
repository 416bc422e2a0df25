"""The config JSON, as both planes check it. Source: reference/portkey.md 2.4.

What cannot work is refused by name. Keys that belong to rooms not built yet are refused too, never ignored:
a guardrail that is silently dropped is worse than an error.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Self

import orjson
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from shared.crypto.secret import Secret
from shared.models.noun import Id, Noun, Slug
from shared.models.virtual_key import fits_a_header

TARGETS_MAX = 100
DEPTH_MAX = 8
PARAMS_DEPTH_MAX = 64
"""How deep `override_params` nest. A config stands inside other documents, and each reader has a limit of its own."""

NOT_BUILT_YET = frozenset(
    "retry cache request_timeout forward_headers default_params drop_params passthrough weight cb_config prompt_id "
    "input_guardrails output_guardrails default_input_guardrails default_output_guardrails before_request_hooks "
    "after_request_hooks input_mutators output_mutators strict_open_ai_compliance on_status_codes "
    "conditions default sticky".split()
)
"""Keys of the original that this version refuses by name."""

MODES_NOT_BUILT_YET = ("loadbalance", "conditional", "optimize")

Path = tuple[str | int, ...]
Fault = tuple[Path, str]
"""Where in a config, and what is wrong there."""

Status = Annotated[int, Field(ge=100, le=599)]


class Mode(StrEnum):
    SINGLE = "single"
    FALLBACK = "fallback"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True)


class Strategy(_Strict):
    mode: Mode
    on_status_codes: tuple[Status, ...] | None = None
    """Fallback only; None: anything but a 2xx goes on to the next target."""

    @model_validator(mode="after")
    def _codes_need_fallback(self) -> Self:
        if self.on_status_codes is not None and self.mode is not Mode.FALLBACK:
            raise ValueError("`on_status_codes` belongs to the mode `fallback`")
        return self


class ConfigBody(_Strict):
    """One node of the tree: a target, or a strategy over targets. Settings inherit downwards."""

    name: Annotated[str, Field(max_length=200)] | None = None
    strategy: Strategy | None = None
    targets: tuple["ConfigBody", ...] | None = None
    provider: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    virtual_key: Slug | None = None
    api_key: Annotated[Secret | None, Field(repr=False), WithJsonSchema({"type": "string"})] = None
    custom_host: Annotated[str, Field(min_length=1, max_length=2_000)] | None = None
    override_params: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _seal_the_key(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("api_key"), str):
            return {**data, "api_key": Secret(data["api_key"])}
        return data

    @field_validator("targets", mode="before")
    @classmethod
    def _some_but_not_too_many(cls, targets: Any) -> Any:
        if isinstance(targets, list | tuple) and not 1 <= len(targets) <= TARGETS_MAX:
            raise ValueError(f"name 1 to {TARGETS_MAX} targets")
        return targets

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

    @field_validator("override_params")
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

    @model_validator(mode="after")
    def _can_work(self) -> Self:
        if self.strategy is not None and self.targets is None:
            raise ValueError("a strategy needs `targets`")
        if self.targets is not None and (self.provider or self.virtual_key or self.api_key):
            raise ValueError("a node with `targets` names no provider, virtual key or API key of its own")
        if self.provider is not None and self.virtual_key is not None:
            raise ValueError("name a `provider` or a `virtual_key`, not both")
        if self.api_key is not None and self.provider is None:
            raise ValueError("an `api_key` needs a `provider`")
        if self.api_key is not None and self.provider is not None and self.provider.startswith("@"):
            raise ValueError("a saved provider `@slug` has its own key; remove the `api_key`")
        return self

    @property
    def names_a_target(self) -> bool:
        """False for a config that only sets parameters: it joins whatever target the request names."""
        return bool(self.targets or self.provider or self.virtual_key)


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


def pointer(path: Path) -> str:
    """A JSON pointer (RFC 6901) to `path`."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def parse_config(data: Any) -> ConfigBody:
    """Check a config JSON. Raises ConfigError naming every fault with its path; never a fault of ours."""
    if not isinstance(data, dict):
        raise ConfigError((((), "a config is a JSON object"),))
    if depth := _too_deep(data):
        raise ConfigError(((("targets",), f"targets are nested {depth} deep; {DEPTH_MAX} is the limit"),))
    faults = dict(_not_built_yet(data, ()))
    try:
        body = ConfigBody.model_validate(data)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            faults.setdefault(tuple(fault["loc"]), fault["msg"].removeprefix("Value error, "))
    if faults:
        raise ConfigError(tuple(faults.items()))
    return body


def _not_built_yet(node: Any, path: Path) -> Iterator[Fault]:
    """What the original knows and this version does not, wherever in the tree it stands."""
    if not isinstance(node, dict):
        return
    for key in node:
        if key in NOT_BUILT_YET:
            yield (*path, key), f"`{key}` is not supported by this version of Gatehouse; remove it"
    strategy, targets = node.get("strategy"), node.get("targets")
    if isinstance(strategy, dict):
        for key in strategy:
            if key in NOT_BUILT_YET and key != "on_status_codes":
                message = f"`strategy.{key}` is not supported by this version of Gatehouse; remove it"
                yield (*path, "strategy", key), message
        if strategy.get("mode") in MODES_NOT_BUILT_YET:
            message = f"strategy mode `{strategy['mode']}` is not supported by this version of Gatehouse"
            yield (*path, "strategy", "mode"), message
    if isinstance(targets, list | tuple):
        for index, target in enumerate(targets):
            yield from _not_built_yet(target, (*path, "targets", index))


def _too_deep(node: Any, depth: int = 0) -> int:
    """How deep `targets` nest if that is too deep, else 0. Checked before anything recurses without a bound."""
    if depth > DEPTH_MAX:
        return depth
    targets = node.get("targets") if isinstance(node, dict) else None
    if not isinstance(targets, list | tuple):
        return 0
    return max((_too_deep(target, depth + 1) for target in targets), default=0)


def _nests_beyond(value: Any, depth_max: int) -> bool:
    """Whether objects and lists stand in each other more than `depth_max` deep; looks no deeper than that."""
    layer = [value]
    for _ in range(depth_max):
        containers = (item for item in layer if isinstance(item, dict | list))
        layer = [inner for item in containers for inner in (item.values() if isinstance(item, dict) else item)]
    return any(isinstance(item, dict | list) for item in layer)
