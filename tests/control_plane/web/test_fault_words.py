"""What is wrong with a value is told in words: never with a pattern, or in pydantic's names for Python's types."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core.core_schema import ErrorType

from control_plane.api_keys.api import Patterns
from control_plane.app import description
from control_plane.people import NewPassword
from control_plane.providers.api import ParameterNames, Renamed
from shared import fault_words
from shared.models.config import ConfigError, parse_config
from shared.models.credential import FORMS, Region, RoleArn
from shared.models.noun import Slug
from shared.models.strategy import Status


def patterns(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        yield from schema.get("patternProperties", {})
        for value in schema.values():
            yield from patterns(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from patterns(value)


def faults(type_: Any, value: object) -> list[tuple[tuple[str | int, ...], str]]:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(type_).validate_python(value)
    return fault_words.faults(refused.value)


def test_every_pattern_that_a_caller_can_miss_has_words() -> None:
    typed = [TypeAdapter(type_).json_schema() for type_ in (RoleArn, Region, *FORMS.values())]
    described = {pattern for schema in (description(), *typed) for pattern in patterns(schema)}
    assert described
    assert described <= fault_words.PATTERN_WORDS.keys()


def test_every_type_of_fault_is_one_of_pydantic_s() -> None:
    assert fault_words._WORDS.keys() <= set(get_args(ErrorType))


class Many(BaseModel):
    names: ParameterNames = ()
    renamed: Renamed = {}
    password: NewPassword | None = None
    slug: Slug | None = None
    patterns: Patterns | None = None


@pytest.mark.parametrize(
    ("value", "path", "words"),
    [
        ({"names": ["Top P"]}, ("names", 0), "a parameter's name is wanted here: small letters"),
        ({"renamed": {"Seed": "seed"}}, ("renamed", "Seed"), "a parameter's name is wanted here: small letters"),
        ({"renamed": {"seed": "Seed"}}, ("renamed", "seed"), "a parameter's name is wanted here: small letters"),
        ({"names": ["a"] * 51}, ("names",), "at most 50 values may stand here"),
        ({"names": 1}, ("names",), "a list is wanted here"),
        ({"renamed": []}, ("renamed",), "an object is wanted here"),
        ({"password": "short"}, ("password",), "at least 12 characters are wanted here"),
        ({"password": "x" * 1_001}, ("password",), "at most 1000 characters may stand here"),
        ({"patterns": []}, ("patterns",), "this must not be empty"),
        ({"patterns": ["a*b"]}, ("patterns", 0), "a `*` stands at the end"),
        ({"slug": ""}, ("slug",), "this must not be empty"),
        ({"slug": 1}, ("slug",), "a text is wanted here"),
        ({"slug": "ä"}, ("slug",), "only letters A to Z, digits, dots, dashes and underscores may stand here"),
    ],
)
def test_a_fault_is_told_in_words_at_its_place(value: object, path: tuple[object, ...], words: str) -> None:
    ((place, told),) = faults(Many, value)
    assert place == path
    assert told.startswith(words)


def test_numbers_are_told_with_their_limits() -> None:
    assert faults(Status, "x") == [((), "a whole number is wanted here")]
    assert faults(Status, 1) == [((), "a number of 100 or more is wanted here")]


def test_a_config_s_faults_are_told_the_same_way() -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config({"virtual_key": "a b", "retry": {"attempts": "many"}})
    told = dict(refused.value.faults)
    assert told["virtual_key",].startswith("only letters")
    assert told["retry", "attempts"] == "a whole number is wanted here"
