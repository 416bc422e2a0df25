"""Problem documents (RFC 9457), made in one place."""

from collections.abc import Sequence
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from control_plane.errors import Invalid, Problem
from shared import fault_words
from shared.models.config import pointer

FAULTS_MAX = 20
"""So many are told in one document."""


class FaultDocument(BaseModel):
    """One of several places that are wrong in what was sent."""

    pointer: str
    detail: str


class ProblemDocument(BaseModel):
    """What every refusal looks like."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    pointer: str | None = None
    errors: tuple[FaultDocument, ...] | None = None
    """Where several places of a body are wrong: the first of them, `pointer`'s among them."""
    position: int | None = None
    """Of a fault in a filter: where in its text, in characters from 0."""
    request_id: str


def invalid_body(error: ValidationError, *, within: str = "", code: str | None = None) -> Invalid:
    """The faults of a body, each in words at its JSON pointer below `within`; no value is repeated."""
    found = fault_words.faults(error)
    told = [(within + pointer(path), detail) for path, detail in found[:FAULTS_MAX]]
    return invalid(told, count=len(found), code=code)


def invalid(faults: Sequence[tuple[str, str]], *, count: int, code: str | None = None) -> Invalid:
    """Of `count` faults those that are told: pointers and details."""
    where, detail = faults[0]
    more = count - 1
    refused = Invalid(detail + (f" (and {more} more)" if more else ""), code=code, pointer=where)
    refused.faults = tuple(faults) if more else ()
    return refused


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
    if problem.faults:
        document["errors"] = [{"pointer": where, "detail": detail} for where, detail in problem.faults]
    headers = None if problem.retry_after_s is None else {"retry-after": str(problem.retry_after_s)}
    body = orjson.dumps(document)
    return web.Response(status=problem.status, content_type="application/problem+json", body=body, headers=headers)
