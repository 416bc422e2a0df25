"""Which version of a thing an answer shows, and which one an edit was made from: `ETag` and `If-Match` (RFC 9110).

A tag is the thing's `updated_at` as JSON has it, in quotes, so that rows of lists have theirs, too.
"""

import re
from datetime import datetime

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from control_plane.errors import Changed, Invalid

ETAG = "etag"
IF_MATCH = "if-match"
UPDATED_AT = "updated_at"
_TAG = r'(?:W/)?"[\x21\x23-\x7e]*"'
_TAGS = re.compile(rf"\s*{_TAG}(?:\s*,\s*{_TAG})*\s*")
_CHARS_MAX = 1_000


def tag_of(answer: BaseModel) -> str | None:
    """None: it has no versions."""
    updated_at = getattr(answer, UPDATED_AT, None)
    return _tag(updated_at) if isinstance(updated_at, datetime) else None


def require_unchanged(if_match: str | None, updated_at: datetime) -> None:
    """`if_match`: the header as it was sent. Raises Changed for a later version than it names; Invalid."""
    if if_match is None or if_match.strip() == "*":
        return
    if len(if_match) > _CHARS_MAX or not _TAGS.fullmatch(if_match):
        raise Invalid(f"an ETag in quotes is wanted, such as {_tag(updated_at)}, or `*`", pointer=IF_MATCH)
    # What an intermediary has marked as weak is not known to be the same (RFC 9110, 13.1.1).
    if _tag(updated_at) not in re.findall(_TAG, if_match):
        raise Changed(
            f"this was changed at {to_jsonable_python(updated_at)}, since you read it; read it again, see whether your"
            " change is still what you want, and send it with the new ETag"
        )


def _tag(updated_at: datetime) -> str:
    return f'"{to_jsonable_python(updated_at)}"'
