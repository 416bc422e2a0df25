"""The filters of the original's analytics, read into a filter of ours and a range of time (pure)."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

import orjson

from control_plane.analytics import times
from control_plane.analytics.times import Range
from control_plane.errors import Invalid
from control_plane.filters.fields import META, Operator
from control_plane.filters.parse import parse
from control_plane.filters.records import VOCABULARY
from control_plane.filters.tree import Condition, Filter, Money, Number, Text, Value
from shared.models.record import INTEGER_MAX, METADATA_CHARS_MAX, METADATA_KEYS_MAX

VALUES_MAX = 100
_CENTS_MAX = Decimal(10**8)

FROM, TO = "time_of_generation_min", "time_of_generation_max"
WORKSPACE = "workspace_slug"

_BETWEEN: Mapping[str, str] = {
    "total_units": "tokens",
    "cost": "cost",
    "prompt_token": "input_tokens",
    "completion_token": "output_tokens",
}
"""What has a `…_min` and a `…_max`, and the field it is about."""
_LISTS: Mapping[str, str] = {
    "status_code": "status",
    "virtual_keys": "virtual_key",
    "configs": "config",
    "api_key_ids": "api_key",
    "ai_org_model": "model_id",
    "trace_id": "trace",
    "span_id": "span",
}
"""Values between commas, any of which may be it, and the field they are about."""

QUERY = (
    (WORKSPACE, "Only requests of this workspace, by its slug or id"),
    (FROM, "From this time on, ISO 8601; required"),
    (TO, "Before this time, ISO 8601; required"),
    *((f"{name}_{end}", f"Of `{field}`") for name, field in _BETWEEN.items() for end in ("min", "max")),
    *((name, f"Values of `{field}`, between commas") for name, field in _LISTS.items()),
    ("metadata", "A JSON object: each key has this value"),
)
"""`cost_…` is in cents, `ai_org_model` is `provider__model`. Filters of what is not there yet are refused by name."""


def read_range(query: Mapping[str, str], now_ms: int) -> Range:
    """Raises Invalid."""
    for name in (FROM, TO):
        if not query.get(name):
            raise Invalid(f"`{name}` is required, a time such as `2026-11-01T00:00:00Z`", pointer=name)
    utc = ZoneInfo("UTC")
    given = {"from": query[FROM], "to": query[TO]}
    try:
        found = times.read(given, now_ms, utc)
    except Invalid as error:
        raise Invalid(error.detail, pointer=TO if error.pointer == "to" else FROM) from None
    assert found is not None
    return found


def read_filter(query: Mapping[str, str]) -> Filter:
    """Raises Invalid."""
    found: list[Condition] = []
    for name, field in _BETWEEN.items():
        for end, operator in (("min", Operator.AT_LEAST), ("max", Operator.AT_MOST)):
            text = query.get(f"{name}_{end}")
            if text:
                found.append(_condition(field, operator, [_bound(f"{name}_{end}", text)]))
    for name, field in _LISTS.items():
        values = [part.strip() for part in query.get(name, "").split(",") if part.strip()]
        if len(values) > VALUES_MAX:
            raise Invalid(f"at most {VALUES_MAX} values", pointer=name)
        if values:
            found.append(_condition(field, Operator.EQUALS, [_READ.get(name, Text)(value) for value in values]))
    return Filter((*found, *_metadata(query.get("metadata", ""))))


def also(filter_: Filter, text: str) -> Filter:
    """The filter, and a condition of our own."""
    return Filter((*filter_.conditions, *parse(text, VOCABULARY).conditions))


def _condition(name: str, operator: Operator, values: Sequence[Value]) -> Condition:
    field = VOCABULARY.find(name)
    assert field is not None
    return Condition(field, operator, tuple(values))


def _bound(name: str, text: str) -> Value:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0:
        raise Invalid("a number that is not negative", pointer=name)
    if not name.startswith("cost_"):
        return Number(int(min(number, Decimal(INTEGER_MAX))))  # `1e999999999` is short, and as an integer it is not.
    return Money(round(min(number, _CENTS_MAX) / 100, 12))


def _status(text: str) -> Value:
    if not (text.isascii() and text.isdecimal() and len(text) == 3):
        raise Invalid("HTTP statuses between commas, `400,429`", pointer="status_code")
    return Number(int(text))


def _org_model(text: str) -> Value:
    return Text(text.replace("__", "/", 1))


_READ: Mapping[str, Callable[[str], Value]] = {"status_code": _status, "ai_org_model": _org_model}


def _metadata(text: str) -> list[Condition]:
    if not text:
        return []
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError:
        given = None
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise Invalid('a JSON object of texts, `{"team": "search"}`', pointer="metadata")
    if len(given) > METADATA_KEYS_MAX or any(not 0 < len(key) <= METADATA_CHARS_MAX or "\0" in key for key in given):
        raise Invalid(
            f"at most {METADATA_KEYS_MAX} keys of at most {METADATA_CHARS_MAX} characters", pointer="metadata"
        )
    return [Condition(META, Operator.EQUALS, (Text(value),), key=key) for key, value in given.items()]
