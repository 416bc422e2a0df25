"""Lease and key chain as documents: canonical, whole, bound to their place."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.crypto import hpke, sign
from shared.crypto.hpke import HpkeError
from shared.crypto.secret import Secret
from shared.protocol import canonical, key_chain, lease
from shared.protocol.envelope import EnvelopeError
from shared.protocol.key_chain import KeyChain, KeyChainError
from shared.protocol.lease import Lease, LeaseError

CONTENT: dict[str, Any] = {
    "protocol": "GHS/1",
    "organisation": "org",
    "gateway": "gw",
    "sequence": 1,
    "issued_at_ms": 1,
    "expires_at_ms": 2,
    "vector": [{"shard": "global", "epoch": 1, "revision": 1, "digest": "0" * 64}],
    "digest": "0" * 64,
    "key_chain": "0" * 64,
}
NODE, DATA_PLANE, SHARD = Secret(b"n" * 32), Secret(b"d" * 32), Secret(b"s" * 32)


def test_a_lease_comes_back() -> None:
    """GHS/1 6.1, 6.3."""
    signed = lease.sign_lease(sign.new_key(), Lease.model_validate(CONTENT))
    assert signed.is_genuine()
    assert lease.parse(signed.payload).model_dump() == CONTENT


def test_a_field_that_is_not_known_is_ignored() -> None:
    """GHS/1 7.4."""
    assert lease.parse(canonical.encode({**CONTENT, "news": [1]})).sequence == 1


@pytest.mark.parametrize("name", [name for name in CONTENT if name != "protocol"])
def test_a_lease_without_one_of_its_fields_is_malformed(name: str) -> None:
    payload = canonical.encode({key: value for key, value in CONTENT.items() if key != name})
    with pytest.raises(LeaseError) as error:
        lease.parse(payload)
    assert error.value.code == "malformed"


@given(st.binary(max_size=60))
def test_no_payload_breaks_the_reader(payload: bytes) -> None:
    with pytest.raises(LeaseError):
        lease.parse(payload)


def test_a_payload_that_is_not_canonical_is_malformed() -> None:
    """GHS/1 2.2."""
    with pytest.raises(LeaseError):
        lease.parse(canonical.encode(CONTENT).replace(b",", b", ", 1))


@pytest.mark.parametrize("changed", ["organisation", "gateway", "node", "epoch"])
def test_a_data_plane_key_opens_only_for_whom_it_was_sealed(changed: str) -> None:
    """GHS/1 5.2."""
    place: dict[str, Any] = {"organisation": "org", "gateway": "gw", "node": "nd", "epoch": 1}
    entry = key_chain.seal_data_plane_key(DATA_PLANE, **place, opening_key=hpke.public_key(NODE))
    opened = key_chain.open_data_plane_key(entry, organisation="org", gateway="gw", opening_key=NODE)
    assert opened.matches(DATA_PLANE.reveal())
    place[changed] = 2 if changed == "epoch" else "other"
    relabelled = entry.model_copy(update={"node": place["node"], "epoch": place["epoch"]})
    with pytest.raises(HpkeError):
        key_chain.open_data_plane_key(
            relabelled, organisation=place["organisation"], gateway=place["gateway"], opening_key=NODE
        )


@pytest.mark.parametrize("changed", ["organisation", "gateway", "shard", "epoch", "data_plane_epoch"])
def test_a_shard_key_opens_only_in_its_place(changed: str) -> None:
    """GHS/1 5.3."""
    entry = key_chain.seal_shard_key(
        SHARD, organisation="org", gateway="gw", shard="ws:w", epoch=1, data_plane_key=DATA_PLANE, data_plane_epoch=1
    )
    place = {"organisation": "org", "gateway": "gw"}
    assert key_chain.open_shard_key(entry, **place, data_plane_key=DATA_PLANE).matches(SHARD.reveal())
    if changed in place:
        place[changed] = "other"
    else:
        entry = entry.model_copy(update={changed: "ws:x" if changed == "shard" else 2})
    with pytest.raises(EnvelopeError):
        key_chain.open_shard_key(entry, **place, data_plane_key=DATA_PLANE)


def test_a_key_chain_comes_back_and_rubbish_is_named() -> None:
    """GHS/1 5.4."""
    chain = KeyChain(data_plane_keys=[], shard_keys=[])
    assert key_chain.parse(chain.encode()) == chain
    for data in (b"", b"[]", b'{"data_plane_keys":[]}', b'{"data_plane_keys": [], "shard_keys": []}'):
        with pytest.raises(KeyChainError):
            key_chain.parse(data)
