"""A call as one target gets it (pure): defaults, overrides, what is left out or forwarded. The call stays as it is."""

import re
from collections.abc import Mapping
from typing import Any

import orjson
from msgspec.structs import replace

from gateway.pipeline.authenticate import is_ours
from gateway.pipeline.read import FORWARDED, header_line
from gateway.providers.base import Call, Untranslatable
from gateway.view.route import Target
from shared.field_path import dropped

A_KEY_OF_OURS = re.compile(r"gh[ae]?_[0-9A-Za-z]{20,}")


def shaped(call: Call, target: Target, headers: Mapping[str, str]) -> tuple[Call, Mapping[str, Any]]:
    """The call, and what is still to be laid over its body. Raises Untranslatable, GatewayError."""
    handling, overrides = target.handling, target.overrides or {}
    if handling.defaults is not None:
        missing = {name: value for name, value in handling.defaults.items() if name not in call.body}
        overrides = {**missing, **overrides}
    if handling.drops and call.is_object:
        body: Any = {**call.body, **overrides}
        for path in handling.drops:
            body = dropped(body, path)
        call, overrides = replace(call, parsed=body, raw=_dumped(body), few=None), {}
    if handling.forward_headers:
        block = b"".join(_line(name, headers, target) for name in handling.forward_headers)
        call = replace(call, forwarded=call.forwarded + block)
    return call, overrides


def _dumped(body: Any) -> bytes:
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:  # orjson reads 1,024 levels and writes 254.
        raise Untranslatable("the body is nested too deep to be changed on its way") from None


def _line(name: str, headers: Mapping[str, str], target: Target) -> bytes:
    """The header as it came; nothing if it did not, if it goes on anyway, or if it is not for the provider."""
    value = headers.get(name)
    if value is None or name in FORWARDED or is_ours(value) or A_KEY_OF_OURS.search(value):
        return b""
    if target.credential is not None and name == target.place.auth_header.decode("ascii"):
        return b""  # There the provider's own key stands.
    return header_line(name, value)
