"""A form (`multipart/form-data`) that passes through: what its first fields say, and that nothing later says otherwise.

Pure. Forms are understood as all clients write them (RFC 7578, 2046): no preamble, no folded or escaped lines. What is
written otherwise passes as it came, unless something in it has to be checked: two readers could read it differently.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.providers.base import Untranslatable

FIELDS_BYTES_MAX = 64 * 1024
"""So much of a form is looked at for fields that stand before its first file."""
PART_HEAD_BYTES_MAX = 8 * 1024

_END_OF_HEAD = b"\r\n\r\n"
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=?-]{1,70}")
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_DISPOSITION = re.compile(
    rb'form-data;[ \t]*name="([^"\\]*)"(;[ \t]*filename="[^"\\]*")?(;[ \t]*filename\*=[^;"\s]+)?[ \t]*', re.IGNORECASE
)
_TEXT = re.compile(rb"text/plain(;[ \t]*charset=\"?utf-8\"?)?[ \t]*", re.IGNORECASE)
_UNENCODED = (b"7bit", b"8bit", b"binary")
_NO_NAME = re.compile(r"[\x00-\x1f\x7f\"\\]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class FormStart(msgspec.Struct, frozen=True):
    """The beginning of a form."""

    boundary: bytes
    fields: Mapping[str, str]
    """Those that stand before the first file."""
    places: Mapping[str, tuple[int, int]]
    """Where in the form their values begin and end."""
    begun: bytes
    """The form up to the end of the last of them."""
    begins: bool
    """With its boundary: there is nothing before its first part."""
    is_open: bool
    """What has not come yet may be more of these fields."""

    def changed(self, changes: Mapping[str, Any]) -> tuple[bytes, int]:
        """What takes the place of so many of its first bytes, for these fields to have these values.

        Fields that are not among the first are put before them. Raises Untranslatable.
        """
        if "model" in changes and "model" not in self.fields:
            message = "the config puts another `model` into this form: send `model` before the file"
            raise Untranslatable(message, "/model")
        values = {name: self._written(name, value) for name, value in changes.items()}
        added = [
            b'--%b\r\ncontent-disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (self.boundary, name.encode(), value)
            for name, value in values.items()
            if name not in self.fields
        ]
        if added and not self.begins:
            raise Untranslatable("the config puts a field into this form, which does not begin with its boundary", "")
        pieces, at = added, 0
        for name, (value_at, value_end) in self.places.items():
            if name in values:
                pieces += (self.begun[at:value_at], values[name])
                at = value_end
        return b"".join(pieces), at

    def _written(self, name: str, value: Any) -> bytes:
        """Raises Untranslatable for what a form has no way to say."""
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, int | float):
            value = str(value)
        if not isinstance(value, str) or _NO_NAME.search(name):
            message = f"the config's `{name}` cannot be put into a form: there it is a text, a number, true or false"
            raise Untranslatable(message, "/" + name.replace("~", "~0").replace("/", "~1"))
        if name == "model" and _CONTROL.search(value):
            raise Untranslatable("a model's name holds a control character", "/model")
        written = value.encode("utf-8", "surrogateescape")
        if b"--" + self.boundary in written:
            raise Untranslatable(f"the config's `{name}` holds this form's boundary", "/" + name)
        return written


def boundary_in(content_type: str) -> bytes | None:
    """The boundary of a form; None if it is no form. Raises Untranslatable for a form without one that is clear."""
    kind, *parameters = content_type.split(";")
    if kind.strip().lower() != "multipart/form-data":
        return None
    pairs = [parameter.strip().partition("=") for parameter in parameters]
    found = [value for name, _, value in pairs if name.lower() == "boundary"]
    if len(found) == 1:
        bare = found[0][1:-1] if len(found[0]) > 2 and found[0][0] == found[0][-1] == '"' else found[0]
        if _BOUNDARY.fullmatch(bare):
            return bare.encode()
    message = "`multipart/form-data` names one `boundary` of at most 70 letters, digits and `'()+_,-./:=?`"
    raise Untranslatable(message, "content-type")


def start_of(data: bytes, boundary: bytes) -> FormStart:
    """What the beginning of a form says."""
    mark = b"--" + boundary
    fields: dict[str, str] = {}
    places: dict[str, tuple[int, int]] = {}
    begun = b""
    is_open = mark.startswith(data)
    at = len(mark) if data.startswith(mark) else len(data)
    while at < len(data):
        head_end = data.find(_END_OF_HEAD, at)
        is_open = head_end < 0 and len(data) - at < PART_HEAD_BYTES_MAX
        if head_end < 0 or not data.startswith(b"\r\n", at):
            is_open = is_open and b"\r\n".startswith(data[at : at + 2])
            break
        name, is_file = _part(data[at + 2 : head_end])
        if name is None or is_file:
            break
        value_at = head_end + len(_END_OF_HEAD)
        value_end = data.find(b"\r\n" + mark, value_at)
        if value_end < 0:
            is_open = True
            break
        fields[name] = data[value_at:value_end].decode("utf-8", "surrogateescape")
        places.pop(name, None)  # Of two the last counts, also for their order.
        places[name] = (value_at, value_end)
        begun = data[:value_end]
        at = value_end + 2 + len(mark)
        is_open = at == len(data)
    return FormStart(boundary, fields, places, begun, data.startswith(mark), is_open)


class FormGuard:
    """Looks at a form as it passes: it has no more parts of these names than it may, and nobody finds another in it.

    Called with each piece from the first byte on; returns what is wrong. Wherever the boundary stands it has to be one.
    """

    __slots__ = ("_begun", "_ended", "_left", "_mark", "_searched", "_tail")

    def __init__(self, boundary: bytes, parts_max: Mapping[str, int]) -> None:
        """`parts_max`: how many of a name there may be."""
        self._mark = b"--" + boundary
        self._tail = b""
        self._searched = 0
        """So many bytes of the tail hold no boundary that was not looked at."""
        self._left = {_bare(name): count for name, count in parts_max.items()}
        self._begun = False
        self._ended = False

    def __call__(self, piece: bytes) -> Untranslatable | None:
        data, mark, at = self._tail + piece, self._mark, self._searched
        if not self._begun and not (data.startswith(mark) or mark.startswith(data)):
            return _doubtful("does not begin with its boundary")
        while (found := data.find(mark, at)) >= 0:
            behind = found + len(mark)
            if self._ended or (self._begun and data[max(found - 2, 0) : found] != b"\r\n"):
                return _doubtful("holds its boundary where none can be")
            if data.startswith(b"--", behind):
                self._begun = self._ended = True
                at = behind
                continue
            if data[behind:] in (b"", b"-", b"\r"):
                break
            if not data.startswith(b"\r\n", behind):
                return _doubtful("holds its boundary where none can be")
            head_end = data.find(_END_OF_HEAD, behind)
            if head_end < 0 and len(data) - behind <= PART_HEAD_BYTES_MAX:
                break
            name, is_file = (None, False) if head_end < 0 else _part(data[behind + 2 : head_end])
            if name is None:
                return _doubtful("has a part whose head is not `content-disposition: form-data; name=…` and a type")
            name = _bare(name)
            if name in self._left:
                self._left[name] -= 1
                if self._left[name] < 0 or is_file:
                    return _doubtful(f"has a second `{name}`, or one that is a file or stands behind one", f"/{name}")
            self._begun = True
            at = head_end + 2
        # More has to come behind `at`, and the two bytes before it are then still to be seen.
        at = found if found >= 0 else max(len(data) - len(mark) + 1, at)
        keep = max(at - 2, 0)
        self._tail, self._searched = data[keep:], at - keep
        return None


def _part(head: bytes) -> tuple[str | None, bool]:
    """Name of a part, None if two readers might not agree on it; and whether it is a file."""
    name: str | None = None
    is_file = False
    for line in head.split(b"\r\n"):
        found = _LINE.fullmatch(line)
        if found is None:
            return None, False
        key = found[1].lower()
        if key == b"content-disposition":
            disposition = _DISPOSITION.fullmatch(found[2])
            if disposition is None or name is not None:
                return None, False
            name = disposition[1].decode("utf-8", "surrogateescape")
            is_file = disposition[2] is not None or disposition[3] is not None
        elif key not in (b"content-type", b"content-length") and (
            key != b"content-transfer-encoding" or found[2].strip().lower() not in _UNENCODED
        ):
            return None, False
    if name == "model" and not _is_text(head):
        return None, False
    return name, is_file


def _bare(name: str) -> str:
    """As a reader may take it that is not strict about names."""
    return name.strip().lower().removesuffix("[]")


def _is_text(head: bytes) -> bool:
    """Its type is none but plain text."""
    lines = [line.partition(b":") for line in head.split(b"\r\n")]
    types = [value.strip() for name, _, value in lines if name.lower() == b"content-type"]
    return all(_TEXT.fullmatch(value) for value in types) and len(types) <= 1


def _doubtful(how: str, pointer: str = "/model") -> Untranslatable:
    message = (
        f"this form {how}; where models are restricted, or a config puts fields into it,"
        " it has to be one that every reader reads alike, with its fields before its files"
    )
    return Untranslatable(message, pointer)
