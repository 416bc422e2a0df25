"""The OpenAPI 3.1 description, generated from the routes and their models (pure)."""

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from control_plane.web import portkey, session_cookie, versions
from control_plane.web.problem import ProblemDocument
from control_plane.web.route import Route

_TEMPLATE = "#/components/schemas/{model}"
_IF_MATCH = {
    "name": versions.IF_MATCH,
    "in": "header",
    "description": "The `ETag` of what the change was made from, its `updated_at` in quotes. Refused (412) if it is"
    " another by now; without it the change is made in any case",
    "schema": {"type": "string"},
}
_IF_NONE_MATCH = {
    "name": versions.IF_NONE_MATCH,
    "in": "header",
    "description": "`*`: refused (412) if there is one already, which is changed otherwise",
    "schema": {"type": "string"},
}
_ETAG = {"ETag": {"description": "Its `updated_at` in quotes", "schema": {"type": "string"}}}
_PATH_PART = re.compile(r"{(\w+)}")


def describe(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """The whole document. The same routes give the same document."""
    used = [model for route in routes for model in _models(route)]
    models: list[type[BaseModel]] = list(dict.fromkeys([*used, ProblemDocument, portkey.Refusal]))
    inputs: list[tuple[type[BaseModel], Any]] = [(model, "validation") for model in models]
    references, schemas = models_json_schema(inputs, ref_template=_TEMPLATE)
    names = {model: references[model, "validation"]["$ref"] for model in models}
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, names)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Gatehouse control plane", "version": version},
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {
                "admin_key": {"type": "http", "scheme": "bearer", "description": "An admin key, `gha_…`"},
                "session": {"type": "apiKey", "in": "cookie", "name": session_cookie.NAME},
            },
        },
        "security": [{"admin_key": []}, {"session": []}],
    }


def _models(route: Route) -> list[type[BaseModel]]:
    told = [model for model in (route.body, route.answer) if model is not None]
    return [*told, *(data for _, data in route.events)]


def _operation(route: Route, names: dict[type[BaseModel], str]) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": {"$ref": names[ProblemDocument]}}}
    if route.path.startswith(portkey.PREFIX):
        problem = {"application/json": {"schema": {"$ref": names[portkey.Refusal]}}}
    success: dict[str, Any] = {"description": route.summary}
    if route.events:
        anything = {"anyOf": [{"$ref": names[model]} for _, model in route.events]}
        said = ", ".join(f"`{name}`" for name, _ in route.events)
        success["description"] = f"{route.summary}. Server-sent events {said}; the data of each is JSON."
        success["content"] = {"text/event-stream": {"schema": {"type": "string"}, "x-event-data": anything}}
    elif route.answer is not None:
        success["content"] = {"application/json": {"schema": {"$ref": names[route.answer]}}}
        if versions.UPDATED_AT in route.answer.model_fields:
            success["headers"] = _ETAG
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "tags": [route.tag or route.action.partition(".")[0]],
        "description": "Needs no login." if route.public else f"Needs the permission `{route.action}`.",
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in _parts(route)),
            *(
                {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
                for name, text in route.query
            ),
            *([_IF_MATCH] if route.versioned else []),
            *([_IF_NONE_MATCH] if route.makes_or_changes else []),
        ],
        "responses": {
            str(route.status if route.answer is not None or route.events else 204): success,
            "default": {"description": "Refused", "content": problem},
        },
    }
    if route.public:
        operation["security"] = []
    if route.body is not None:
        schema = {"$ref": names[route.body]}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _parts(route: Route) -> list[str]:
    return _PATH_PART.findall(route.path)


def _operation_id(route: Route) -> str:
    """`GET /api/v1/workspaces/{workspace}/configs` of `configs.list` is `configs_list`."""
    return route.operation or route.action.replace(".", "_") + ("" if not route.tag else f"_{route.tag}")
