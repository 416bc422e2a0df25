"""Values made from a schema satisfy it, and any schema gives a value."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded.simulator.schema import example

TREE = {
    "$ref": "#/$defs/node",
    "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}, "required": ["next"]}},
}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "simulated"),
        ({"type": "string", "minLength": 12}, "simulated---"),
        ({"type": "string", "maxLength": 3}, "sim"),
        ({"type": ["integer", "null"]}, 42),
        ({"type": "integer", "minimum": 50}, 50),
        ({"type": "number", "exclusiveMinimum": 1}, 2),
        ({"type": "integer", "maximum": 7}, 7),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"enum": ["b", "a"]}, "b"),
        ({"const": 5}, 5),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 42),
        ({"allOf": [{"type": "integer"}, {"minimum": 90}]}, 90),
        ({"properties": {"a": {"type": "null"}}}, {"a": None}),
        ({"type": "object", "properties": {"a": {}, "b": {"const": 1}}, "required": ["b"]}, {"b": 1}),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": "here"}}}, "here"),
        ({"$ref": "#/nowhere"}, None),
    ],
    ids=str,
)
def test_value_satisfies_its_schema(schema: dict[str, Any], value: Any) -> None:
    assert example(schema) == value


def test_schema_that_never_ends_is_cut() -> None:
    depth, value = 0, example(TREE)
    while value is not None:
        depth, value = depth + 1, value["next"]
    assert 1 < depth <= 16


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "items", "enum", "properties", "required", "allOf", "x"]), inner)
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_for_a_schema_gives_the_same_value_twice(schema: Any) -> None:
    assert example(schema) == example(schema)
