"""A JSON value that satisfies a JSON schema: the plain schemas people give tools and structured outputs."""

from typing import Any

DEPTH_MAX = 16


def example(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """The same value each time. Optional properties are left out; what recurses beyond the limit becomes null."""
    root = schema if root is None else root
    if not isinstance(schema, dict) or depth > DEPTH_MAX:
        return None
    if "$ref" in schema:
        return example(_resolve(schema["$ref"], root), root, depth + 1)
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    if schema.get("enum"):
        return schema["enum"][0]
    for keyword in ("anyOf", "oneOf"):
        if schema.get(keyword):
            return example(schema[keyword][0], root, depth + 1)
    if schema.get("allOf"):
        return example({k: v for part in schema["allOf"] for k, v in part.items()}, root, depth + 1)
    return _of_type(schema, root, depth)


def _of_type(schema: dict[str, Any], root: Any, depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            properties = schema.get("properties", {})
            wanted = schema.get("required", list(properties))
            return {name: example(properties.get(name, {}), root, depth + 1) for name in wanted}
        case "array":
            return [example(schema.get("items", {}), root, depth + 1) for _ in range(schema.get("minItems", 1))]
        case "integer" | "number":
            low = schema.get("exclusiveMinimum", schema.get("minimum"))
            high = schema.get("exclusiveMaximum", schema.get("maximum"))
            if low is not None:
                return low + 1 if "exclusiveMinimum" in schema else low
            return min(42, high - 1) if high is not None else 42
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return "simulated".ljust(schema.get("minLength", 0), "-")[: schema.get("maxLength")]


def _resolve(reference: Any, root: Any) -> Any:
    """What a local `#/…` reference points at, else None."""
    node = root
    for part in str(reference).removeprefix("#").strip("/").split("/"):
        if part and isinstance(node, dict):
            node = node.get(part.replace("~1", "/").replace("~0", "~"))
    return node
