"""What is wrong with a value, in words for whoever wrote it instead of pydantic's names and patterns: one table."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

PATTERN_WORDS: Mapping[str, str] = {
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$": (
        "only letters A to Z, digits, dots, dashes and underscores may stand here, at most 100, and a letter or a digit"
        " comes first"
    ),
    r"^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,199}$": (
        "an id is wanted here: letters A to Z, digits and any of . _ : / @ -, at most 200, and a letter or a digit"
        " comes first"
    ),
    r"^[a-z0-9][a-z0-9-]{0,62}$": (
        "only small letters a to z, digits and dashes may stand here, at most 63, and a letter or a digit comes first"
    ),
    r"^[a-z][a-z0-9_]{0,63}$": (
        "a parameter's name is wanted here: small letters a to z, digits and underscores, at most 64, and a letter"
        " comes first"
    ),
    r"^[a-z0-9-]{1,64}$": (
        "a header's name is wanted here: small letters a to z, digits and dashes, at least one and at most 64"
    ),
    r"^[\x21-\x7e]([\x20-\x7e]{0,510}[\x21-\x7e])?$": (
        "a header's text is wanted here: at most 512 characters of plain ASCII, without spaces at its ends"
    ),
    r"^[\x20-\x7e]{0,32}$": "at most 32 characters of plain ASCII may stand here",
    r"^[!-?A-~]+@[!-?A-~]+$": "an e-mail address is wanted here, such as ada@example.com, in plain ASCII",
    r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$": (
        "only letters A to Z, digits, dots, dashes and underscores may stand here, at most 128, and a letter or a digit"
        " comes first"
    ),
    r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\x21-\x7e]{1,512}$": (
        "a role's ARN is wanted here, such as arn:aws:iam::123456789012:role/name"
    ),
    r"^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$": "a region is wanted here, such as eu-central-1",
    r"^(0|[1-9][0-9]{0,8})(\.[0-9]{1,20})?$": "an amount is wanted here, such as 0.15, below 1,000,000,000",
    r"^(0|[1-9][0-9]{0,3})(\.[0-9]{1,12})?$": "a decimal number is wanted here, such as 0.85, below 10,000",
}
"""By the pattern. `tests/control_plane/web/test_fault_words.py` fails for one that is not here."""

_MISMATCH = "string_pattern_mismatch"
_WORDS: Mapping[str, str | Callable[[Mapping[str, Any]], str]] = {
    "missing": "this is required",
    "extra_forbidden": "there is no field of this name here",
    "string_type": "a text is wanted here",
    "string_too_short": lambda limits: _at_least(limits["min_length"], "character"),
    "string_too_long": lambda limits: _at_most(limits["max_length"], "character"),
    _MISMATCH: lambda limits: PATTERN_WORDS.get(limits["pattern"], "this form is not wanted here"),
    "too_short": lambda limits: _at_least(limits["min_length"], _unit(limits)),
    "too_long": lambda limits: _at_most(limits["max_length"], _unit(limits)),
    "literal_error": lambda limits: f"one of these is wanted here: {limits['expected']}",
    "enum": lambda limits: f"one of these is wanted here: {limits['expected']}",
    "bool_type": "true or false is wanted here",
    "bool_parsing": "true or false is wanted here",
    "int_type": "a whole number is wanted here",
    "int_parsing": "a whole number is wanted here",
    "int_parsing_size": "a smaller number is wanted here",
    "int_from_float": "a whole number is wanted here",
    "float_type": "a number is wanted here",
    "float_parsing": "a number is wanted here",
    "finite_number": "a number is wanted here",
    "greater_than": lambda limits: f"a number above {limits['gt']} is wanted here",
    "greater_than_equal": lambda limits: f"a number of {limits['ge']} or more is wanted here",
    "less_than": lambda limits: f"a number below {limits['lt']} is wanted here",
    "less_than_equal": lambda limits: f"a number of {limits['le']} or less is wanted here",
    "dict_type": "an object is wanted here",
    "mapping_type": "an object is wanted here",
    "model_type": "an object is wanted here",
    "model_attributes_type": "an object is wanted here",
    "list_type": "a list is wanted here",
    "tuple_type": "a list is wanted here",
    **dict.fromkeys(
        ("datetime_type", "datetime_parsing", "datetime_from_date_parsing", "timezone_aware"),
        "a time with its zone is wanted here, such as 2026-11-21T09:30:00Z",
    ),
    **dict.fromkeys(
        ("date_type", "date_parsing", "date_from_datetime_parsing", "date_from_datetime_inexact"),
        "a day of the calendar is wanted here, such as 2026-11-21",
    ),
}
"""By the type of pydantic's error. Types that are not here keep its words."""

_KEY = "[key]"
"""What pydantic puts behind a name that is wrong itself: no place in the document."""


def faults(error: ValidationError) -> list[tuple[tuple[str | int, ...], str]]:
    """Where each stands in the document, and what is wrong there in words; nothing of the input is repeated."""
    found = error.errors(include_url=False)
    # Of a list pydantic counts only what is sound: one fault in its only value would be told as two.
    whole = {fault["loc"][:end] for fault in found for end in range(len(fault["loc"]))}
    return [
        (_path(fault), _said(fault)) for fault in found if fault["type"] != "too_short" or fault["loc"] not in whole
    ]


def _said(fault: Mapping[str, Any]) -> str:
    if fault["type"] == _MISMATCH and fault.get("input") == "":
        return _at_least(1, "character")
    words = _WORDS.get(fault["type"])
    if words is None:
        return str(fault["msg"]).removeprefix("Value error, ")
    return words if isinstance(words, str) else words(fault.get("ctx", {}))


def _path(fault: Mapping[str, Any]) -> tuple[str | int, ...]:
    steps = tuple(fault["loc"])
    return steps[:-1] if len(steps) > 1 and steps[-1] == _KEY else steps


def _at_least(least: int, unit: str) -> str:
    return "this must not be empty" if least == 1 else f"at least {least} {unit}s are wanted here"


def _at_most(most: int, unit: str) -> str:
    return f"at most {most} {unit}{'' if most == 1 else 's'} may stand here"


def _unit(limits: Mapping[str, Any]) -> str:
    # A password's length is checked after it was enclosed, and told like that of a list.
    return "character" if limits.get("field_type") == "Value" else "value"
