"""Which version of a thing an answer shows, and which one an edit was made from: `ETag` and `If-Match` (RFC 9110);
`If-None-Match: *` is an edit's that was made from none.

A tag is the thing's `updated_at` as JSON has it, in quotes, so that rows of lists have theirs, too.
"""

import re
from datetime import datetime

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from control_plane.errors import Changed, Invalid

ETAG = "etag"
IF_MATCH = "if-match"
IF_NONE_MATCH = "if-none-match"
UPDATED_AT = "updated_at"
_TAG = r'(?:W/)?"[\x21\x23-\x7e]*"'
_TAGS = re.compile(rf"\s*{_TAG}(?:\s*,\s*{_TAG})*\s*")
_CHARS_MAX = 1_000
_EXAMPLE = '"2026-11-21T09:30:00Z"'


def tag_of(answer: BaseModel) -> str | None:
    """None: it has no versions."""
    updated_at = getattr(answer, UPDATED_AT, None)
    return _tag(updated_at) if isinstance(updated_at, datetime) else None


def require_unchanged(if_match: str | None, updated_at: datetime | None) -> None:
    """`if_match`: the header as it was sent; `updated_at` of what is there, None: nothing is.

    Raises Changed for another version than it names; Invalid.
    """
    if if_match is None:
        return
    is_any = if_match.strip() == "*"
    if not is_any and (len(if_match) > _CHARS_MAX or not _TAGS.fullmatch(if_match)):
        raise Invalid(f"an ETag in quotes is wanted, such as {_EXAMPLE}, or `*`", pointer=IF_MATCH)
    if updated_at is None:
        raise Changed("this is not there any more; without `If-Match` it is made anew")
    if is_any:
        return
    # What an intermediary has marked as weak is not known to be the same (RFC 9110, 13.1.1).
    if _tag(updated_at) not in re.findall(_TAG, if_match):
        raise Changed(
            f"this was changed at {to_jsonable_python(updated_at)}, since you read it; read it again, see whether your"
            " change is still what you want, and send it with the new ETag"
        )


def require_absent(if_none_match: str | None, updated_at: datetime | None) -> None:
    """The same of `If-None-Match`. Raises Changed where something is there; Invalid for anything but `*`."""
    if if_none_match is None:
        return
    if if_none_match.strip() != "*":
        raise Invalid("`*` is wanted: the change is made only where nothing is there yet", pointer=IF_NONE_MATCH)
    if updated_at is not None:
        raise Changed(
            f"this is there already, since {to_jsonable_python(updated_at)}; to change it, send its ETag as `If-Match`"
        )


def _tag(updated_at: datetime) -> str:
    return f'"{to_jsonable_python(updated_at)}"'
