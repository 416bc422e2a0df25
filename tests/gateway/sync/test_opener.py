"""The opener: what a key opens, and that one bad resource harms only itself."""

from dataclasses import replace

import pytest

from gateway.sync import trust
from gateway.sync.opener import Opener, unlock
from shared.crypto.secret import Secret
from shared.protocol.envelope import EnvelopeError
from shared.protocol.resource import SealedResource
from tests.fixtures.house import GATEWAY, House


def opened(house: House) -> tuple[Opener, tuple[SealedResource, ...]]:
    snapshot = house.publish()
    lease = trust.verify_lease(snapshot.lease, pinned_fingerprint=house.fingerprint, gateway=GATEWAY)
    resources = tuple(resource for shard in snapshot.shards for resource in shard.resources)
    return unlock(snapshot.key_chain, lease, house.node_keys), resources


def code(opener: Opener, resource: SealedResource) -> str:
    with pytest.raises(EnvelopeError) as error:
        opener.open(resource)
    return error.value.code


def test_one_bad_resource_is_refused_alone(house: House) -> None:
    """GHS/1 3.6."""
    opener, (bad, *good) = opened(house)
    assert code(opener, replace(bad, sealed=b"GHE1\x09" + bad.sealed[5:])) == "malformed"
    assert code(opener, replace(bad, sealed=bad.sealed[:-1] + bytes((bad.sealed[-1] ^ 1,)))) == "tag"
    assert code(opener, replace(bad, id="another")) == "tag"
    assert code(opener, replace(bad, sealed=bad.sealed + bytes(2 * 1024 * 1024))) == "too_large"
    assert all(opener.open(resource) for resource in good)


def test_a_resource_of_another_shard_does_not_open(house: House) -> None:
    """GHS/1 3.3: each shard has a key of its own."""
    opener, resources = opened(house)
    assert code(opener, replace(resources[0], shard="ws:ws_test")) == "commitment"


def test_an_epoch_without_a_key_is_named(house: House) -> None:
    """GHS/1 3.6."""
    opener, resources = opened(house)
    assert code(opener, replace(resources[0], key_epoch=2)) == "key_epoch"
    assert code(Opener("org_test", {}), resources[0]) == "key_epoch"


@pytest.mark.parametrize("credential", ["not base64", "R0hFMQ==", ""])
def test_a_credential_that_is_no_envelope_is_malformed(house: House, credential: str) -> None:
    opener, resources = opened(house)
    virtual_key = next(resource for resource in resources if resource.kind == "virtual_key")
    with pytest.raises(EnvelopeError) as error:
        opener.open_credential(virtual_key, credential)
    assert error.value.code == "malformed"


def test_the_organisation_is_part_of_what_opens(house: House) -> None:
    """GHS/1 3.3: but in the global shard, whose bytes are everybody's."""
    snapshot = house.publish()
    keys = {(name, shard.key_epoch): Secret(shard.key.reveal()) for name, shard in house.state.shards.items()}
    stranger = Opener("org_other", keys)
    by_shard = {shard.shard: shard.resources[0] for shard in snapshot.shards}
    assert stranger.open(by_shard["global"])
    assert code(stranger, by_shard["ws:ws_test"]) == "tag"
