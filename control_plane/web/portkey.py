"""Refusals in the shapes that clients of the original's admin API read: its older one and its newer one at once."""

from collections.abc import Mapping

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from control_plane.errors import Problem

KEY_HEADER = "x-portkey-api-key"
PREFIX = "/v1/"
_CODES: Mapping[int, str] = {400: "AB01", 404: "AB02", 403: "AB03", 401: "AB05", 429: "AB06", 409: "AB07"}
_ANY = "AB04"


class RefusalData(BaseModel):
    model_config = ConfigDict(frozen=True)

    message: str
    errorCode: str  # noqa: N815 - the original's word


class RefusalError(BaseModel):
    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    param: str | None
    type: str


class Refusal(BaseModel):
    """What every refusal of the original's paths looks like."""

    model_config = ConfigDict(frozen=True)

    success: bool
    data: RefusalData
    error: RefusalError
    request_id: str


def response(problem: Problem, request_id: str) -> web.Response:
    type_ = "invalid_request_error" if problem.status < 500 else "server_error"
    refusal = Refusal(
        success=False,
        data=RefusalData(message=problem.detail, errorCode=_CODES.get(problem.status, _ANY)),
        error=RefusalError(code=problem.code, message=problem.detail, param=problem.pointer, type=type_),
        request_id=request_id,
    )
    headers = None if problem.retry_after_s is None else {"retry-after": str(problem.retry_after_s)}
    body = refusal.model_dump_json().encode()
    return web.Response(status=problem.status, content_type="application/json", body=body, headers=headers)
