"""Batches: what goes in comes out, from older and newer gateways too, and whatever else is refused by name."""

import tracemalloc
from contextlib import suppress

import orjson
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from shared.models.record import FIELDS, RECORD, Record
from shared.protocol import batch
from shared.protocol.batch import BatchError, Head
from shared.protocol.drop import Drop
from tests.fixtures.records import a_record, records

HEAD = Head(stream="0123456789abcdef", seq=7)


def row(record: Record) -> bytes:
    return orjson.dumps(tuple(record))


def sent(*rows: bytes, fields: tuple[str, ...] = FIELDS, drops: tuple[Drop, ...] = ()) -> bytes:
    return batch.payload(fields, rows, drops)


@given(st.lists(records(), max_size=5))
def test_records_come_back_as_they_went_in(given_records: list[Record]) -> None:
    head, payload = batch.split(batch.encode(HEAD, sent(*map(row, given_records))))
    assert head == HEAD
    parsed = batch.parse(payload)
    assert list(parsed.records) == given_records
    assert parsed.refused == ()


def test_drops_come_along() -> None:
    drop = Drop(reason="spool_full", count=12, from_ms=1, to_ms=2)
    assert batch.parse(sent(drops=(drop,))).drops == (drop,)


def test_a_field_of_a_newer_gateway_is_left_out_and_one_an_older_lacks_is_none() -> None:
    """GHS/1 17.2."""
    fields = ("mood", *(name for name in reversed(FIELDS) if name != "span_id"))
    record = a_record(3)
    values = [record._asdict().get(name, "sunny") for name in fields]
    assert batch.parse(sent(orjson.dumps(values), fields=fields)).records == (record,)


def test_a_bad_row_harms_only_itself_and_its_fault_holds_no_value() -> None:
    bad = a_record(1)._replace(error="Incorrect API key: sk-canary")
    parsed = batch.parse(sent(row(a_record(0)), row(bad), orjson.dumps(["short"]), row(a_record(2))))
    assert [record.id for record in parsed.records] == [a_record(0).id, a_record(2).id]
    assert [refused.row for refused in parsed.refused] == [1, 2]
    assert parsed.refused[0].detail.startswith("/error: ")
    assert "canary" not in str(parsed.refused)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("input_tokens", "1" + "0" * 40, "/input_tokens: "),
        ("metadata", '{"a\\u0000b": 1}', "/metadata/…: "),
        ("metadata", f'{{"{"k" * 5_000}": "x"}}', "/metadata/…/…: "),
    ],
    ids=["huge number", "NUL in a key", "long key"],
)
def test_a_bad_row_is_refused_alone_whatever_stands_in_it(field: str, value: str, told: str) -> None:
    """GHS/1 17.7."""
    bad = row(a_record(1)._replace(**{field: field})).replace(f'"{field}"'.encode(), value.encode())
    parsed = batch.parse(sent(row(a_record(0)), bad, row(a_record(2))))
    assert [record.id for record in parsed.records] == [a_record(0).id, a_record(2).id]
    (refused,) = parsed.refused
    assert (refused.row, refused.detail[: len(told)]) == (1, told)
    assert len(refused.detail) < 200
    assert refused.detail.isprintable()


def test_what_is_wrong_with_many_values_takes_no_more_room_than_they_do() -> None:
    attempts = [[1, 2, 3, 4, 5, 6, 7, 8]] * 30
    wrong = orjson.dumps([attempts if name == "attempts" else True for name in FIELDS])
    payload = sent(*[wrong] * 300)
    tracemalloc.start()
    try:
        parsed = batch.parse(payload)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(parsed.refused) == 300
    assert peak < 50 * 300 * len(wrong)


def test_one_fault_is_enough_of_a_million_keys_of_metadata() -> None:
    """Each fault takes hundreds of bytes, and none but the first is told."""
    many = row(a_record(1)._replace(metadata={str(n): "" for n in range(2_000)})).replace(b'":""', b'":0')
    with pytest.raises(ValidationError) as refused:
        RECORD.validate_json(many, strict=True)
    assert refused.value.error_count() == 1
    assert len(batch.parse(sent(many)).refused) == 1


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("[" * 300 + "]" * 300, "Invalid JSON: recursion limit exceeded"),
        (f'"{"x" * 262_144}"', "more than 262144 bytes"),
    ],
    ids=["deep", "long"],
)
def test_a_row_that_cannot_be_built_is_refused_alone(value: str, told: str) -> None:
    bad = row(a_record(1)._replace(user="user")).replace(b'"user"', value.encode())
    parsed = batch.parse(sent(row(a_record(0)), bad))
    assert [record.id for record in parsed.records] == [a_record(0).id]
    (refused,) = parsed.refused
    assert refused.detail.startswith(f"/: {told}")


@pytest.mark.parametrize("other", [b"7", b"null", b'{"id":"x"}', orjson.dumps(a_record(1)._asdict() | {"mood": 1})])
def test_a_row_that_is_no_list_is_refused_alone(other: bytes) -> None:
    for fields in (FIELDS, (*FIELDS, "mood")):
        parsed = batch.parse(sent(other, fields=fields))
        assert (parsed.records, len(parsed.refused)) == ((), 1)


@pytest.mark.parametrize("value", ["0", "[]", "{}", '{"":0}', "[[[[[[0]]]]]]", '"abcd"'])
@pytest.mark.parametrize("rest", ['{"fields":["a"],"rows":[[%s]],"drops":[]}', '{"fields":[%s],"rows":[],"drops":[]}'])
def test_tiny_values_take_no_more_room_than_the_payload_that_holds_them(value: str, rest: str) -> None:
    """A body of 2 KB took up to 1.9 GB to parse, and eight seconds."""
    many = ",".join([value] * ((batch.PAYLOAD_BYTES_MAX - 100) // (len(value) + 1)))
    payload = zstd.compress((rest % many).encode())
    tracemalloc.start()
    try:
        with suppress(BatchError):
            batch.parse(payload)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * batch.PAYLOAD_BYTES_MAX


@pytest.mark.parametrize(("count", "too_many"), [(batch.VALUES_MAX - 10, False), (batch.VALUES_MAX + 10, True)])
@pytest.mark.parametrize("fields", ['"[{,"', '"\\"[{,\\""', '"a","\\\\"'])
def test_values_are_counted_and_what_texts_hold_is_not(count: int, too_many: bool, fields: str) -> None:
    """Texts are the callers' own: metadata that is nothing but commas must not cost a node its records."""
    text = '[{,\\"' * 100_000
    many = "0," * (count // 2) + '"",' * (count // 2)
    plain = f'{{"fields":[{fields}],"rows":[["{text}",{many}0]],"drops":[]}}'.encode()
    payload = zstd.compress(plain)
    if too_many:
        with pytest.raises(BatchError, match="more than 2097152 values") as refused:
            batch.parse(payload)
        assert refused.value.code == "too_large"
    else:
        assert batch.parse(payload).refused == (batch.Refused(0, "/: more than 262144 bytes"),)


def test_the_densest_records_of_one_batch_are_not_too_many_values() -> None:
    attempt, reason = ("config", "a", None, None, None, None, 0, 0), ("config", "a", 0)
    dense = a_record(0)._asdict()
    for name in FIELDS:
        adapter = TypeAdapter(Record.__annotations__[name])
        for value in (None, 0):
            with suppress(ValidationError):
                dense[name] = adapter.validate_python(value, strict=True)
    dense |= {"attempts": [attempt] * 32, "decision": [reason] * 64, "status": 100, "provider_status": 100}
    dense["metadata"] = {chr(32 + n): "" for n in range(64, 96)}
    data = row(Record(**dense))
    count = (batch.ROWS_BYTES_MAX + batch.ROW_BYTES_MAX) // len(data)
    parsed = batch.parse(sent(*[data] * count))
    assert (len(parsed.records), parsed.refused) == (count, ())


def test_the_hash_is_of_the_payload_alone() -> None:
    payload = sent(row(a_record()))
    _, again = batch.split(batch.encode(Head(stream="f" * 16, seq=1), payload))
    assert batch.payload_hash(again) == batch.payload_hash(payload)


@pytest.mark.parametrize(
    "body",
    [b"", b"GHB1", b"GHB2\0\0\0\0", b"GHB1\xff\xff\xff\xff{}", b"GHB1\0\0\0\2{}", b'GHB1\0\0\0\5{"a"'],
)
def test_what_is_no_batch_is_malformed(body: bytes) -> None:
    with pytest.raises(BatchError) as refused:
        batch.split(body)
    assert refused.value.code == "malformed"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"plain",
        sent()[:-1],
        sent() + b"x",
        zstd.compress(b"[]"),
        zstd.compress(b'{"fields":[],"rows":[]}'),
        zstd.compress(b'{"fields":[1],"rows":[],"drops":[]}'),
    ],
)
def test_a_payload_that_cannot_be_read_is_malformed(payload: bytes) -> None:
    with pytest.raises(BatchError) as refused:
        batch.parse(payload)
    assert refused.value.code == "malformed"


def test_what_decompresses_without_bound_is_too_large() -> None:
    with pytest.raises(BatchError) as refused:
        batch.parse(zstd.compress(b" " * (batch.PAYLOAD_BYTES_MAX + 1)))
    assert refused.value.code == "too_large"


@pytest.mark.parametrize("part", ["fields", "drops"])
@pytest.mark.parametrize("more", [0, 1])
def test_what_stands_beside_the_rows_has_a_size_of_its_own(part: str, more: int) -> None:
    """GHS/1 17.1."""
    parts = {"fields": "[]", "rows": "[]", "drops": "[]"} | {part: f"[{' ' * (batch.PART_BYTES_MAX - 2 + more)}]"}
    payload = zstd.compress("{{{}}}".format(",".join(f'"{name}":{data}' for name, data in parts.items())).encode())
    if not more:
        assert batch.parse(payload) == batch.Batch((), (), ())
        return
    with pytest.raises(BatchError, match=f"the {part} of the payload have more than 262144 bytes") as refused:
        batch.parse(payload)
    assert refused.value.code == "too_large"


@given(st.binary(max_size=200))
def test_no_bytes_end_in_anything_but_a_batch_or_its_refusal(data: bytes) -> None:
    for read in (batch.split, batch.parse):
        with suppress(BatchError):
            read(data)
