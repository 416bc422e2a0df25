"""The snapshot document at the door: whole or refused by name."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.protocol import snapshot as document
from shared.protocol.resource import WireResource
from shared.protocol.snapshot import DOCUMENT_BYTES_MAX, RESOURCES_MAX, SHARDS_MAX, SnapshotError
from tests.fixtures.house import House


def code(data: bytes) -> str:
    with pytest.raises(SnapshotError) as error:
        document.parse(data)
    return error.value.code


def changed(data: bytes, path: tuple[str | int, ...], value: Any) -> bytes:
    whole = orjson.loads(data)
    place = whole
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return orjson.dumps(whole)


def test_a_document_comes_back(house: House) -> None:
    """GHS/1 7.1."""
    snapshot = house.publish()
    assert document.parse(document.encode(snapshot)) == snapshot


def test_fields_that_are_not_known_are_ignored_and_stay_in_the_key_chains_hash(house: House) -> None:
    """GHS/1 5.4, 7.4."""
    data = house.document()
    wider = changed(changed(data, ("news",), 1), ("shards", 0, "resources", 0, "news"), 1)
    assert document.parse(wider) == document.parse(data)
    assert document.parse(changed(data, ("key_chain", "news"), 1)).key_chain != document.parse(data).key_chain


def test_another_protocol_is_named_before_anything_else_is_read() -> None:
    """GHS/1 7.3."""
    assert code(b'{"protocol":"GHS/2","entirely":"different"}') == "protocol"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("lease",), None),
        (("lease", "payload"), "%%%"),
        (("lease", "signature"), 7),
        (("key_chain",), []),
        (("key_chain", "x"), 1.5),
        (("shards",), {}),
        (("shards", 0, "shard"), ""),
        (("shards", 0, "shard"), "a\tb"),
        (("shards", 0, "shard"), "x" * 301),
        (("shards", 0, "epoch"), "1"),
        (("shards", 0, "revision"), -1),
        (("shards", 0, "revision"), 1.0),
        (("shards", 0, "revision"), True),
        (("shards", 0, "revision"), 2**53),
        (("shards", 0, "resources", 0, "kind"), "a\nb"),
        (("shards", 0, "resources", 0, "key_epoch"), 2**32),
        (("shards", 0, "resources", 0, "sealed"), "AB=="),
    ],
    ids=str,
)
def test_what_does_not_fit_is_malformed(house: House, path: tuple[str | int, ...], value: Any) -> None:
    """GHS/1 2.4, 4.3, 7.3."""
    assert code(changed(house.document(), path, value)) == "malformed"


def test_a_resource_that_is_there_twice_is_malformed(house: House) -> None:
    """GHS/1 4.3."""
    data = house.document()
    resources = orjson.loads(data)["shards"][0]["resources"]
    assert code(changed(data, ("shards", 0, "resources"), [resources[0], resources[0]])) == "malformed"


@given(st.binary(max_size=100))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    assert code(data) in ("malformed", "protocol")


def test_limits(house: House) -> None:
    """GHS/1 7.3."""
    assert code(bytes(DOCUMENT_BYTES_MAX + 1)) == "too_large"
    data = house.document()
    empty = {"epoch": 1, "revision": 0, "resources": []}
    assert (
        code(changed(data, ("shards",), [{"shard": f"ws:{n}", **empty} for n in range(SHARDS_MAX + 1)])) == "too_large"
    )


def test_the_number_of_resources_is_limited(house: House) -> None:
    """GHS/1 7.3: counted without building half a million of them."""
    resource = WireResource(kind="config", id="a", revision=1, schema_version=1, key_epoch=1, sealed=b"")
    shard = document._Shard(shard="ws:w", epoch=1, revision=1, resources=[])
    full = shard.model_copy(update={"resources": [resource] * RESOURCES_MAX})
    document._bound([full])
    with pytest.raises(SnapshotError, match="more than"):
        document._bound([full, shard.model_copy(update={"resources": [resource]})])
