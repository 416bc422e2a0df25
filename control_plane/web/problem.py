"""Problem documents (RFC 9457), made in one place."""

from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from control_plane.errors import Invalid, Problem


class ProblemDocument(BaseModel):
    """What every refusal looks like."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    pointer: str | None = None
    position: int | None = None
    """Of a fault in a filter: where in its text, in characters from 0."""
    request_id: str


def invalid_body(error: ValidationError) -> Invalid:
    """The first fault of a body, with its JSON pointer; the value itself is not repeated."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in first["loc"])
    more = error.error_count() - 1
    rest = f" (and {more} more)" if more else ""
    return Invalid(first["msg"].removeprefix("Value error, ") + rest, pointer=path)


def response(problem: Problem, request_id: str) -> web.Response:
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": problem.code.replace("_", " "),
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "pointer": problem.pointer,
        "request_id": request_id,
        **problem.extensions,
    }
    headers = None if problem.retry_after_s is None else {"retry-after": str(problem.retry_after_s)}
    body = orjson.dumps(document)
    return web.Response(status=problem.status, content_type="application/problem+json", body=body, headers=headers)
