"""How things look on the wire: base64 decoded strictly, names, counts, and the base of what is parsed at the door."""

import base64
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, StringConstraints

from shared.protocol.canonical import INTEGER_MAX


def to_base64(data: bytes) -> str:
    """RFC 4648 section 4, padded: one sequence of bytes has one text (GHS/1 2.4)."""
    return base64.b64encode(data).decode()


def from_base64(text: str) -> bytes:
    """Raises ValueError for anything `to_base64` would not have written."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError("not base64") from None
    if to_base64(data) != text:
        raise ValueError("not base64 in its one form")
    return data


def to_base64url(data: bytes) -> str:
    """RFC 4648 section 5, without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def from_base64url(text: str) -> bytes:
    """Raises ValueError for anything `to_base64url` would not have written."""
    if "=" in text or "+" in text or "/" in text:
        raise ValueError("not base64url")
    standard = text.translate(str.maketrans("-_", "+/"))
    return from_base64(standard + "=" * (-len(standard) % 4))


def _decoded(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("base64 text is wanted here")  # noqa: TRY004 - pydantic turns only ValueError into a fault
    return from_base64(value)


def _decoded_url(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("base64url text is wanted here")  # noqa: TRY004 - as above
    return from_base64url(value)


Base64 = Annotated[bytes, BeforeValidator(_decoded), PlainSerializer(to_base64)]
Base64Url = Annotated[bytes, BeforeValidator(_decoded_url), PlainSerializer(to_base64url)]

Name = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""An id, kind or shard as it travels: no control character, so it cannot break a line of a digest (GHS/1 4.3)."""

Count = Annotated[int, Field(ge=0, le=INTEGER_MAX)]
Epoch = Annotated[int, Field(ge=0, le=2**32 - 1)]
Hex256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class WirePart(BaseModel):
    """What travels. Types are not coerced; a field this build does not know is ignored (GHS/1 7.4)."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True)


WHEN_READ = ConfigDict(defer_build=True)
"""Of what a gateway's workers never read: made when first read, so that their start does not wait for it."""
