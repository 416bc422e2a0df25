"""A JSON value that satisfies a JSON schema: the plain schemas people give tools and structured outputs."""

from typing import Any, TypeVar

T = TypeVar("T")

DEPTH_MAX = 16
ITEMS_MAX = 100
CHARACTERS_MAX = 10_000


def example(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """The same value each time; what recurses beyond the limit, or is no schema, becomes null.

    Only required properties are given, or all where none is required.
    """
    root = schema if root is None else root
    if not isinstance(schema, dict) or depth > DEPTH_MAX:
        return None
    if "$ref" in schema:
        return example(_resolve(schema["$ref"], root), root, depth + 1)
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    if values := _field(schema, "enum", list, []):
        return values[0]
    for keyword in ("anyOf", "oneOf"):
        if branches := _field(schema, keyword, list, []):
            return example(branches[0], root, depth + 1)
    if parts := _field(schema, "allOf", list, []):
        merged = {name: value for part in parts if isinstance(part, dict) for name, value in part.items()}
        return example(merged, root, depth + 1)
    return _of_type(schema, root, depth)


def _of_type(schema: dict[str, Any], root: Any, depth: int) -> Any:
    properties = _field(schema, "properties", dict, {})
    kind = schema.get("type", "object" if properties else "string")
    match next(iter(kind), "null") if isinstance(kind, list) else kind:
        case "object":
            wanted = _field(schema, "required", list, list(properties))
            return {str(name): example(properties.get(str(name), {}), root, depth + 1) for name in wanted}
        case "array":
            count = min(_field(schema, "minItems", int, 1), ITEMS_MAX)
            return [example(schema.get("items", {}), root, depth + 1)] * count
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            length = min(_field(schema, "minLength", int, 0), CHARACTERS_MAX)
            return "simulated".ljust(length, "-")[: _field(schema, "maxLength", int, CHARACTERS_MAX)]


def _number(schema: dict[str, Any]) -> int | float:
    if isinstance(low := schema.get("minimum"), int | float):
        return low
    if isinstance(low := schema.get("exclusiveMinimum"), int | float):
        return low + 1
    if isinstance(high := schema.get("maximum"), int | float):
        return min(42, high)
    if isinstance(high := schema.get("exclusiveMaximum"), int | float):
        return min(42, high - 1)
    return 42


def _field(schema: dict[str, Any], name: str, kind: type[T], default: T) -> T:
    value = schema.get(name)
    return value if isinstance(value, kind) else default


def _resolve(reference: Any, root: Any) -> Any:
    """What a local `#/…` reference points at, else None."""
    node = root
    for part in str(reference).removeprefix("#").strip("/").split("/"):
        if part:
            node = node.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(node, dict) else None
    return node
