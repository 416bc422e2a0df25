"""How a config chooses among its targets, and how it handles the one chosen. Source: reference/portkey.md 2.4."""

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, WithJsonSchema, field_validator, model_validator

from shared.field_texts import Described
from shared.query import QUERY_SCHEMA, parse_key

RETRIES_MAX = 5
RETRIED = (429, 500, 502, 503, 504, 529)
"""What is retried where a config does not say. The original's documents list the 529, its code forgets it."""
COOLDOWN_MS_MIN = 30_000
STICKY_TTL_S = 3_600
CACHE_S_MIN = 60
CACHE_S_MAX = 90 * 86_400
CACHE_S = 7 * 86_400
HASH_FIELDS_MAX = 10
CONDITIONS_MAX = 1_000

Status = Annotated[int, Field(ge=100, le=599)]
TargetName = Annotated[str, Field(min_length=1, max_length=200)]


class Strict(Described):
    """A part of a config: a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True)


class Mode(StrEnum):
    SINGLE = "single"
    FALLBACK = "fallback"
    LOADBALANCE = "loadbalance"
    CONDITIONAL = "conditional"
    OPTIMIZE = "optimize"


class Objective(StrEnum):
    COST = "cost"
    LATENCY = "latency"


class CacheMode(StrEnum):
    SIMPLE = "simple"


class Cache(Strict):
    """Answers that are kept, and given again to whoever asks the same."""

    mode: CacheMode
    """`simple`: everything that may change the answer is the same."""
    max_age: Annotated[int, Field(strict=True, ge=CACHE_S_MIN, le=CACHE_S_MAX)] = CACHE_S
    """Seconds for which an answer is given again."""

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, data: Any) -> Any:
        return {"mode": data} if isinstance(data, str) else data


CACHE_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"const": CacheMode.SIMPLE.value},
        {
            "type": "object",
            "properties": {
                "mode": {"const": CacheMode.SIMPLE.value},
                "max_age": {"type": "integer", "minimum": CACHE_S_MIN, "maximum": CACHE_S_MAX, "default": CACHE_S},
            },
            "required": ["mode"],
            "additionalProperties": False,
        },
    ]
}


class Condition(Strict):
    query: Annotated[dict[str, Any], WithJsonSchema(QUERY_SCHEMA)]
    """What must hold: `{"metadata.plan": {"$eq": "paid"}}`; all of it together."""
    then: TargetName
    """The `name` of the target that is taken if it holds."""


class Sticky(Strict):
    """Of calls that say the same in `hash_fields`, all go to one target."""

    enabled: bool | None = None
    """Default: false for `sticky`, true for `sticky_session`."""
    hash_fields: tuple[Annotated[str, Field(max_length=200)], ...] = Field(default=(), max_length=HASH_FIELDS_MAX)
    """What a session is known by: `metadata.user`, `params.user`, `headers.x-session-id`."""
    ttl: Annotated[int, Field(strict=True, ge=1, le=31_536_000)] = STICKY_TTL_S
    """Seconds after which a session is drawn anew."""

    @field_validator("hash_fields")
    @classmethod
    def _can_be_read(cls, fields: tuple[str, ...]) -> tuple[str, ...]:
        for field in fields:
            parse_key(field, headers=True)
        return fields


class CircuitBreaker(Strict):
    """When a target that fails is left out for a while."""

    failure_threshold: Annotated[int, Field(strict=True, ge=1)] | None = None
    """Failures after which it is left out."""
    failure_threshold_percentage: Annotated[float, Field(strict=True, gt=0, le=100)] | None = None
    """Percentage of failures at which it is left out."""
    minimum_requests: Annotated[int, Field(strict=True, ge=1)] | None = None
    """Calls before the percentage counts; default 10."""
    cooldown_interval: Annotated[int, Field(strict=True, ge=COOLDOWN_MS_MIN, le=86_400_000)] = COOLDOWN_MS_MIN
    """Milliseconds until it is tried again; also how far back failures are counted."""
    failure_status_codes: tuple[Status, ...] | None = None
    """Statuses that are failures; default: 500 and above. No answer is always one."""

    @model_validator(mode="after")
    def _can_open(self) -> Self:
        if self.failure_threshold is None and self.failure_threshold_percentage is None:
            raise ValueError("name a `failure_threshold` or a `failure_threshold_percentage`")
        return self


class Retry(Strict):
    attempts: Annotated[int, Field(strict=True, ge=0, le=1_000)]
    """How often a target that failed is called again; more than 5 is 5."""
    on_status_codes: tuple[Status, ...] = RETRIED
    """Statuses that are retried. Who does not answer at all is retried whatever stands here."""
    use_retry_after_header: bool | None = None
    """Whether to wait as long as the provider says with a 429; default false."""
    use_retry_after_headers: bool | None = None
    """The same, as the original's documents spell it."""

    @model_validator(mode="after")
    def _one_word(self) -> Self:
        spellings = {self.use_retry_after_header, self.use_retry_after_headers} - {None}
        if len(spellings) > 1:
            raise ValueError("`use_retry_after_header` and `use_retry_after_headers` say different things")
        return self

    @property
    def heeds_retry_after(self) -> bool:
        return bool(self.use_retry_after_header or self.use_retry_after_headers)


class Strategy(Strict):
    mode: Mode = Mode.SINGLE
    """How a target is chosen."""
    on_status_codes: tuple[Status, ...] | None = None
    """`fallback`: the statuses that go on to the next target; default: whatever is no 2xx."""
    conditions: tuple[Condition, ...] | None = Field(default=None, max_length=CONDITIONS_MAX)
    """`conditional`: the first whose query holds names the target."""
    default: TargetName | None = None
    """`conditional`: the target where no query holds; without one such a call is a 400."""
    sticky: Sticky | None = None
    """`loadbalance`: keeps a session at one target."""
    sticky_session: Sticky | None = None
    """The same, as the original's documents spell it."""
    objective: Objective | None = None
    """`optimize`: what the chosen target has the least of."""
    cb_config: CircuitBreaker | None = None
    """Circuit breaker of the targets; not for those that a condition names."""

    @model_validator(mode="after")
    def _of_one_mode(self) -> Self:
        for key, mode in _KEYS_OF_MODES:
            if getattr(self, key) is not None and self.mode is not mode:
                raise ValueError(f"`{key}` belongs to the mode `{mode.value}`")
        if self.mode is Mode.CONDITIONAL and self.conditions is None:
            raise ValueError("the mode `conditional` needs `conditions`")
        if self.mode is Mode.OPTIMIZE and self.objective is None:
            raise ValueError("the mode `optimize` needs an `objective`: `cost` or `latency`")
        if self.sticky is not None and self.sticky_session is not None:
            raise ValueError("name `sticky` or `sticky_session`, not both: they are the same")
        if self.session is not None and not self.session.hash_fields:
            raise ValueError("a sticky session needs `hash_fields`: by what is it known?")
        return self

    @property
    def session(self) -> Sticky | None:
        """The sticky session, if there is one that is switched on."""
        if self.sticky_session is not None:
            return self.sticky_session if self.sticky_session.enabled is not False else None
        return self.sticky if self.sticky is not None and self.sticky.enabled else None


_KEYS_OF_MODES = (
    ("on_status_codes", Mode.FALLBACK),
    ("conditions", Mode.CONDITIONAL),
    ("default", Mode.CONDITIONAL),
    ("sticky", Mode.LOADBALANCE),
    ("sticky_session", Mode.LOADBALANCE),
    ("objective", Mode.OPTIMIZE),
)
