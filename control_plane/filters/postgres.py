"""A filter as conditions of PostgreSQL. Expressions are ours; every value becomes a parameter (pure)."""

from collections.abc import Mapping
from typing import Any

from control_plane.filters.fields import EQUALITY, Operator, Type
from control_plane.filters.tree import Anything, Condition, Filter, Flag, Moment, Number, Prefix, Text, Value


def conditions(filter_: Filter, expressions: Mapping[str, str], parameters: list[Any]) -> list[str]:
    """What must all hold; the values are appended to `parameters`. `expressions`: SQL by the name of the field."""
    return [_condition(condition, expressions[condition.field.name], parameters) for condition in filter_.conditions]


def _condition(condition: Condition, expression: str, parameters: list[Any]) -> str:
    tests = [_test(condition, value, expression, parameters) for value in condition.values]
    holds = tests[0] if len(tests) == 1 else f"({' or '.join(tests)})"
    negated = condition.negated != (condition.operator is Operator.DIFFERS)
    return f"not coalesce({holds}, false)" if negated else holds


def _test(condition: Condition, value: Value, expression: str, parameters: list[Any]) -> str:
    def parameter(given: object) -> str:
        parameters.append(given)
        return f"${len(parameters)}"

    part = condition.field.type is Type.TEXT and condition.operator is Operator.MATCHES
    match value:
        case Anything():
            return f"({expression}) is not null"
        case Text(text) if part:
            return f"strpos(lower({expression}), lower({parameter(text)})) > 0"
        case Prefix(text) if part:
            return f"starts_with(lower({expression}), lower({parameter(text)}))"
        case Text(text):
            return f"({expression})::text = {parameter(text)}"
        case Prefix(text):
            return f"starts_with(({expression})::text, {parameter(text)})"
        case Flag(on):
            return f"({expression}) = {parameter(on)}"
        case Number(number):
            return f"({expression}) {_sign(condition.operator)} {parameter(number)}::bigint"
        case Moment():
            bounds = value.bounds(condition.operator)
            return f"({' and '.join(f'({expression}) {sign} {parameter(at)}' for sign, at in bounds)})"
    raise AssertionError(f"no list has a field of type {condition.field.type}")


def _sign(operator: Operator) -> str:
    return "=" if operator in EQUALITY else operator.value
