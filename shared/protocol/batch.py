"""A batch of records: immutable bytes that a node sends until they are acknowledged (GHS/1 17). Pure.

    GHB1 | length of the head, 4 bytes, big endian | head: {"stream", "seq"} | payload: zstd of a JSON object

The payload names its fields once and then holds rows of values in their order, so that either plane may be newer than
the other: a field the reader does not know is left out, one that is missing is None.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, TypeVar

import msgspec
import orjson
from backports import zstd
from pydantic import ConfigDict, FailFast, Field, StringConstraints, TypeAdapter, ValidationError

from shared.models.record import FIELDS, RECORD, Record
from shared.protocol.drop import Drop
from shared.protocol.request import BODY_BYTES_MAX
from shared.protocol.wire import WHEN_READ, WirePart

PATH = "/sync/v1/records"
ROWS_MAX = 10_000
PAYLOAD_BYTES_MAX = 16 * 1024 * 1024
"""Decompressed."""
ROWS_BYTES_MAX = 8 * 1024 * 1024
"""What a writer puts in one batch, before compression; one row more may be over it."""
ROW_BYTES_MAX = 256 * 1024
"""As JSON; the largest record has half of it."""
VALUES_MAX = 2_097_152
"""In a payload, whatever they stand in; the densest records a writer puts in one batch come to nine tenths."""
PART_BYTES_MAX = 256 * 1024
"""Of the fields' names, and of the drops, as JSON."""
SMALL_BYTES_MAX = 256 * 1024
"""What may be built whole: as tiny values that is 28 MB; of 16 MiB it was two gigabytes."""
HEAD_BYTES_MAX = 1_024
DROPS_MAX = 1_000
FIELDS_MAX = 500
COMPRESSION_LEVEL = 1
ROWS_AT_ONCE = 128
"""Compressed: put together all at once, the rows would be megabytes that are written to memory three times."""
PAYLOAD_KNOWN_DAYS = 7
"""At least so long after it came last a payload is known, so that it counts once under whatever name (GHS/1 17.4)."""

_MAGIC = b"GHB1"
_FEW_BYTES = VALUES_MAX
"""No more values than this fit in."""
_SLICE_BYTES = 64 * 1024

T = TypeVar("T")


class BatchError(ValueError):
    """Bytes that are no batch; `code` is `malformed` or `too_large`. Holds no value of a record."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Head(WirePart):
    """What a batch is called. A stream is a run of batches, each number one higher than the one before; first 1."""

    stream: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
    """Name of the run of batches, random."""
    seq: Annotated[int, Field(ge=1, le=2**53 - 1)]
    """The batch's number in it."""


class Acknowledgement(WirePart):
    """The answer: every batch of the stream up to this one counts, and may be forgotten (GHS/1 17.5)."""

    stream: str
    acknowledged: Annotated[int, Field(ge=0, le=2**53 - 1)]


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that is no record, by its place in the batch and where the fault stands."""

    row: int
    detail: str


@dataclass(frozen=True, slots=True)
class Batch:
    records: tuple[Record, ...]
    refused: tuple[Refused, ...]
    drops: tuple[Drop, ...]


class _Small(WirePart):
    """A payload of this build's fields in which every row is a record, as nearly all are: read in one go."""

    model_config = WHEN_READ

    fields: Annotated[list[str], Field(max_length=FIELDS_MAX)]
    rows: Annotated[list[Record], FailFast(), Field(max_length=ROWS_MAX)]
    drops: Annotated[list[Drop], Field(max_length=DROPS_MAX)]


class _Parts(msgspec.Struct):
    """A payload's parts, none of them built yet."""

    fields: msgspec.Raw
    rows: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=ROWS_MAX)]
    drops: msgspec.Raw


_PARTS = msgspec.json.Decoder(_Parts)
_FIELDS: TypeAdapter[list[str]] = TypeAdapter(
    Annotated[list[str], FailFast(), Field(max_length=FIELDS_MAX)], config=ConfigDict(defer_build=True)
)
_DROPS: TypeAdapter[list[Drop]] = TypeAdapter(
    Annotated[list[Drop], FailFast(), Field(max_length=DROPS_MAX)], config=ConfigDict(defer_build=True)
)


def payload(fields: Sequence[str], rows: Sequence[bytes], drops: Sequence[Drop] = ()) -> bytes:
    """The compressed payload. `rows` are JSON arrays as they stand in the spool: they are not read again."""
    told = orjson.dumps([drop.model_dump(mode="json") for drop in drops])
    compress = zstd.ZstdCompressor(COMPRESSION_LEVEL).compress
    parts = [compress(b'{"fields":%b,"rows":[' % orjson.dumps(list(fields)))]
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = b",".join(rows[start : start + ROWS_AT_ONCE])
        parts.append(compress(b"," + some if start else some))
    parts.append(compress(b'],"drops":%b}' % told, zstd.ZstdCompressor.FLUSH_FRAME))
    return b"".join(parts)


def payload_hash(payload: bytes) -> str:
    """Hex SHA-256: what makes a batch that comes twice known as the same (GHS/1 17.4)."""
    return hashlib.sha256(payload).hexdigest()


def encode(head: Head, payload: bytes) -> bytes:
    """The body of `POST /sync/v1/records`."""
    text = orjson.dumps(head.model_dump(mode="json"))
    return _MAGIC + len(text).to_bytes(4) + text + payload


def split(body: bytes) -> tuple[Head, bytes]:
    """Head and payload, which is not read yet. Raises BatchError."""
    if len(body) > BODY_BYTES_MAX:
        raise BatchError("too_large", f"a batch has at most {BODY_BYTES_MAX} bytes")
    length = int.from_bytes(body[4:8])
    if body[:4] != _MAGIC or length > HEAD_BYTES_MAX or len(body) < 8 + length:
        raise BatchError("malformed", "no batch: it begins with GHB1 and the length of its head")
    try:
        head = Head.model_validate_json(body[8 : 8 + length])
    except ValidationError as error:
        raise BatchError("malformed", f"head: {_where(error)}") from None
    return head, body[8 + length :]


def parse(payload: bytes) -> Batch:
    """Every row that is a record; the others are refused one by one. Raises BatchError."""
    plain = _decompressed(payload)
    if len(plain) <= SMALL_BYTES_MAX:
        with suppress(ValidationError):
            small = _Small.model_validate_json(plain)
            if tuple(small.fields) == FIELDS:
                return Batch(tuple(small.rows), (), tuple(small.drops))
    if len(plain) > _FEW_BYTES and _values(plain) > VALUES_MAX:
        raise BatchError("too_large", f"the payload has more than {VALUES_MAX} values")
    try:
        parts = _PARTS.decode(plain)
    except msgspec.ValidationError as error:
        raise BatchError("malformed", f"payload: {error}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise BatchError("malformed", f"payload: no JSON: {error}") from None
    fields = _part(_FIELDS, "fields", parts.fields)
    drops = _part(_DROPS, "drops", parts.drops)
    places = None if tuple(fields) == FIELDS else {name: index for index, name in enumerate(fields)}
    records: list[Record] = []
    refused: list[Refused] = []
    for number, row in enumerate(parts.rows):
        try:
            records.append(_record(bytes(row), places, len(fields)))
        except _NoRecord as error:
            refused.append(Refused(number, str(error)))
    return Batch(tuple(records), tuple(refused), tuple(drops))


def _part(adapter: TypeAdapter[T], name: str, data: msgspec.Raw) -> T:
    if len(bytes(data)) > PART_BYTES_MAX:
        raise BatchError("too_large", f"the {name} of the payload have more than {PART_BYTES_MAX} bytes")
    try:
        return adapter.validate_json(bytes(data))
    except ValidationError as error:
        raise BatchError("malformed", f"payload: {_where(error, name)}") from None


class _NoRecord(ValueError):
    """Says where the fault stands, and holds no value."""


def _record(row: bytes, places: dict[str, int] | None, width: int) -> Record:
    """`places`: of the fields, where they are not ours; `width`: how many there are. Raises _NoRecord."""
    if len(row) > ROW_BYTES_MAX:
        raise _NoRecord(f"/: more than {ROW_BYTES_MAX} bytes")
    if not row.startswith(b"["):  # By its fields' names a record could be read, too.
        raise _NoRecord("/: no list of values")
    try:
        return RECORD.validate_json(row if places is None else _in_our_order(row, places, width), strict=True)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):  # It reads deeper than it writes.
        raise _NoRecord("/: no JSON, or nested too deep") from None
    except ValidationError as error:
        raise _NoRecord(_where(error)) from None


def _in_our_order(row: bytes, places: dict[str, int], width: int) -> bytes:
    values = orjson.loads(row)
    if len(values) != width:
        return row
    return orjson.dumps([values[places[name]] if name in places else None for name in FIELDS])


def _values(plain: bytes) -> int:
    """Roughly how many there are; what texts hold is counted too unless it would be too many."""
    count = _marks(plain)
    if count <= VALUES_MAX:
        return count
    bare = plain.replace(rb"\\", b"").replace(rb"\"", b"")
    count = within = 0
    for at in range(0, len(bare), _SLICE_BYTES):
        pieces = bare[at : at + _SLICE_BYTES].split(b'"')
        count += _marks(b"".join(pieces[within::2]))
        within ^= (len(pieces) - 1) & 1
    return count


def _marks(data: bytes) -> int:
    """Of a list or object with values all but one have a comma."""
    return len(data) - len(data.translate(None, b",[{"))


def _decompressed(payload: bytes) -> bytes:
    try:
        decompressor = zstd.ZstdDecompressor()
        plain = decompressor.decompress(payload, PAYLOAD_BYTES_MAX + 1)
    except zstd.ZstdError:
        raise BatchError("malformed", "the payload is not zstd") from None
    if len(plain) > PAYLOAD_BYTES_MAX:
        raise BatchError("too_large", f"the payload has more than {PAYLOAD_BYTES_MAX} bytes")
    if not decompressor.eof or decompressor.unused_data:
        raise BatchError("malformed", "the payload is not one whole zstd frame")
    return plain


def _where(error: ValidationError, *within: str) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return _place((*within, *first["loc"]), first["msg"])


def _place(path: tuple[int | str, ...], message: str) -> str:
    """A field of a record is named, not numbered; a key of its metadata, which may be any text, is not told."""
    if path and isinstance(path[0], int) and path[0] < len(FIELDS):
        path = (FIELDS[path[0]], *(part if isinstance(part, int) else "…" for part in path[1:]))
    return f"/{'/'.join(str(part) for part in path)}: {message}"
