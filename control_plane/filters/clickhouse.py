"""A filter as conditions of ClickHouse. Expressions are ours; every value becomes a parameter (pure).

A text that is not known is empty there, a number that is not known is NULL.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from control_plane.filters.fields import EQUALITY, Operator, Type
from control_plane.filters.tree import (
    Anything,
    Condition,
    Duration,
    Filter,
    Flag,
    Ids,
    Moment,
    Money,
    Number,
    Prefix,
    StatusClass,
    Text,
    Value,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TEXTS = frozenset({Type.TEXT, Type.WORD, Type.NAME})


@dataclass(slots=True)
class Parameters:
    """Values of a query, sent beside its text and never in it."""

    values: dict[str, object] = field(default_factory=dict)

    def add(self, value: object, type_: str) -> str:
        """The place of a new parameter in the SQL. `type_` is ClickHouse's, and ours."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"{{{name}:{type_}}}"


def conditions(filter_: Filter, expressions: Mapping[str, str], parameters: Parameters) -> list[str]:
    """What must all hold. `expressions`: SQL by the name of the field. KeyError for a field that is not there."""
    return [_condition(condition, expressions, parameters) for condition in filter_.conditions]


def _condition(condition: Condition, expressions: Mapping[str, str], parameters: Parameters) -> str:
    expression = expressions[condition.field.name]
    if condition.key is None:
        tests = [_test(condition, value, expression, parameters) for value in condition.values]
    else:
        key = parameters.add(condition.key, "String")
        there, value_of = f"mapContains({expression}, {key})", f"{expression}[{key}]"
        # An empty value is as unknown as none, so that what a dimension calls unknown can be found.
        tests = [f"({there} and {_test(condition, value, value_of, parameters)})" for value in condition.values]
    holds = tests[0] if len(tests) == 1 else f"({' or '.join(tests)})"
    negated = condition.negated != (condition.operator is Operator.DIFFERS)
    return f"not ifNull({holds}, false)" if negated else f"ifNull({holds}, false)"


def _test(condition: Condition, value: Value, expression: str, parameters: Parameters) -> str:
    add = parameters.add
    part = condition.field.type is Type.TEXT and condition.operator is Operator.MATCHES
    sign = "=" if condition.operator in EQUALITY else condition.operator.value
    match value:
        case Anything():
            return f"{expression} != ''" if condition.field.type in _TEXTS else f"{expression} is not null"
        case Text(text) if part:
            return f"position(lowerUTF8({expression}), lowerUTF8({add(text, 'String')})) > 0"
        case Prefix(text) if part:
            return f"startsWith(lowerUTF8({expression}), lowerUTF8({add(text, 'String')}))"
        case Text(text):
            return f"{expression} = {add(text, 'String')}"
        case Prefix(text):
            return f"startsWith({expression}, {add(text, 'String')})"
        case Ids(ids):
            return f"{expression} in {add(list(ids), 'Array(String)')}"
        case Flag(on):
            return f"{expression} = {add(on, 'Bool')}"
        case Number(number) | Duration(number):
            return f"{expression} {sign} {add(number, 'UInt64')}"
        case StatusClass(hundreds):
            return f"intDiv({expression}, 100) = {add(hundreds, 'UInt16')}"
        case Money(usd):
            return f"{expression} {sign} {add(f'{usd:f}', 'Decimal(38, 12)')}"
        case Moment():
            return _moment(condition.operator, value, expression, parameters)
    raise AssertionError(f"no test for {value!r}")


def _moment(operator: Operator, moment: Moment, expression: str, parameters: Parameters) -> str:
    def add(at: datetime) -> str:
        return f"fromUnixTimestamp64Micro({parameters.add((at - _EPOCH) // _MICROSECOND, 'Int64')}, 'UTC')"

    return f"({' and '.join(f'{expression} {sign} {add(at)}' for sign, at in moment.bounds(operator))})"
