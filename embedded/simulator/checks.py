"""What a request's fields must be, as data: a wrong one is refused in OpenAI's words."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from embedded.simulator import errors

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """The JSON types a field may have, how OpenAI names them, and a number's bounds. Null is always taken as absent."""

    types: tuple[type[Any], ...]
    named: str
    bounds: tuple[float, float] | None = None


def integer(low: int, high: int) -> Rule:
    return Rule((int,), "an integer", (low, high))


def decimal(low: float, high: float) -> Rule:
    return Rule((int, float), "a decimal number", (low, high))


BOOLEAN = Rule((bool,), "a boolean")
STRING = Rule((str,), "a string")
OBJECT = Rule((dict,), "an object")
ARRAY = Rule((list,), "an array")
STOP = Rule((str, list), "a string or an array of strings")

SAMPLING: Mapping[str, Rule] = {
    "stream": BOOLEAN,
    "stream_options": OBJECT,
    "temperature": decimal(0, 2),
    "top_p": decimal(0, 1),
    "presence_penalty": decimal(-2, 2),
    "frequency_penalty": decimal(-2, 2),
    "n": integer(1, 128),
    "max_tokens": integer(1, 1_000_000),
    "logit_bias": OBJECT,
    "stop": STOP,
    "user": STRING,
}
"""Fields that chat and completions share."""


def check(body: Body, rules: Mapping[str, Rule]) -> None:
    """Raises Refused for the first field that is not what its rule says."""
    for name, rule in rules.items():
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, rule.types) or (isinstance(value, bool) and bool not in rule.types):
            raise errors.wrong_type(name, rule.named, value)
        if rule.bounds is not None and not rule.bounds[0] <= value <= rule.bounds[1]:
            raise errors.out_of_range(name, *rule.bounds, value)
    if body.get("stream_options") is not None and not body.get("stream"):
        raise errors.invalid(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options"
        )


def stops(body: Body) -> list[str]:
    stop = body.get("stop") or []
    return [stop] if isinstance(stop, str) else [text for text in stop if text]


def wants_usage(body: Body) -> bool:
    """Whether a stream ends with a chunk that holds the usage."""
    return bool((body.get("stream_options") or {}).get("include_usage"))


def digest(body: Body) -> str:
    """Hex that names what was asked, the same whether or not it is streamed."""
    asked = {name: value for name, value in body.items() if name not in ("stream", "stream_options")}
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()
