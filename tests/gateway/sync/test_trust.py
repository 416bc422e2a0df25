"""What is believed and what is refused, by name. Each test is an attack or an accident."""

import random
from dataclasses import replace

import pytest

from gateway.sync import trust
from gateway.sync.opener import unlock
from gateway.sync.trust import Refused, Verified
from shared.clock import FakeClock
from shared.crypto import sign
from shared.protocol import snapshot as document
from shared.protocol.digest import state_digest
from shared.protocol.lease import Lease, sign_lease
from shared.protocol.resource import SealedResource
from shared.protocol.snapshot import ShardState, Snapshot
from tests.fixtures.house import GATEWAY, HOUR_MS, House


def accept(house: House, snapshot: Snapshot, have: Verified | None = None, *, gateway: str = GATEWAY) -> Verified:
    return trust.accept(
        snapshot,
        pinned_fingerprint=house.fingerprint,
        gateway=gateway,
        have=have,
        now_ms=house.clock.wall_ms(),
    )


def refusal(house: House, snapshot: Snapshot, have: Verified | None = None, *, gateway: str = GATEWAY) -> str:
    with pytest.raises(Refused) as refused:
        accept(house, snapshot, have, gateway=gateway)
    return refused.value.code


def relet(house: House, snapshot: Snapshot, **changes: object) -> Snapshot:
    """The snapshot under another lease, signed by the right key."""
    lease = Lease.model_validate_json(snapshot.lease.payload).model_copy(update=changes)
    return replace(snapshot, lease=sign_lease(house.signing_key, lease))


def test_a_genuine_state_is_taken(house: House) -> None:
    snapshot = house.publish()
    verified = accept(house, snapshot)
    assert verified.lease.sequence == 1
    assert [shard.shard for shard in verified.snapshot.shards] == ["global", "org:org_test", "ws:ws_test"]


def test_another_signing_key_is_refused_also_when_it_names_itself(house: House, clock: FakeClock) -> None:
    """GHS/1 6.4."""
    assert refusal(house, House(clock).publish()) == "lease_key"


def test_a_payload_that_was_not_signed_is_refused(house: House) -> None:
    """GHS/1 6.5: a genuine key beside a payload of somebody else."""
    lease = house.publish().lease
    forged = Lease.model_validate_json(lease.payload).model_copy(update={"sequence": 99}).encode()
    snapshot = replace(house.publish(), lease=lease.model_copy(update={"payload": forged}))
    assert refusal(house, snapshot) == "lease_signature"


def test_a_signature_over_the_bare_payload_does_not_count(house: House) -> None:
    """GHS/1 6.3: what is signed begins with its purpose, so no other signature can be passed off as a lease."""
    snapshot = house.publish()
    bare = snapshot.lease.model_copy(update={"signature": sign.sign(house.signing_key, snapshot.lease.payload)})
    assert refusal(house, replace(snapshot, lease=bare)) == "lease_signature"


def test_a_lease_of_another_protocol_is_refused(house: House) -> None:
    """GHS/1 6.6."""
    assert refusal(house, relet(house, house.publish(), protocol="GHS/2")) == "protocol"


def test_a_state_for_another_gateway_is_refused(house: House) -> None:
    """GHS/1 6.6."""
    assert refusal(house, house.publish(), gateway="gw_other") == "audience"


def test_an_older_state_is_refused(house: House) -> None:
    """GHS/1 6.7."""
    older = house.publish()
    have = accept(house, house.publish())
    assert refusal(house, older, have) == "lease_sequence"


def test_the_same_sequence_with_another_content_is_refused(house: House) -> None:
    """GHS/1 6.2, 6.7: two control planes with one key, as after a restored backup."""
    twin = house.fork()
    twin.configs["default"] = {"virtual_key": "simulator", "override_params": {"temperature": 1}}
    have = accept(house, house.publish())
    assert refusal(house, twin.publish(), have) == "lease_conflict"


def test_the_same_state_again_is_no_change(house: House) -> None:
    """GHS/1 6.7."""
    snapshot = house.publish()
    have = accept(house, snapshot)
    assert accept(house, document.parse(document.encode(snapshot)), have) is have


def test_the_same_lease_over_changed_resources_is_refused(house: House) -> None:
    """GHS/1 4.4: the lease that is held already does not vouch for what comes with it the second time."""
    snapshot = house.publish()
    have = accept(house, snapshot)
    assert refusal(house, replace(snapshot, shards=snapshot.shards[:-1]), have) == "digest_mismatch"


def test_an_expired_lease_brings_nothing_new(house: House, clock: FakeClock) -> None:
    """GHS/1 6.8."""
    snapshot = house.publish(lease_ms=HOUR_MS)
    clock.advance(3600)
    assert refusal(house, snapshot) == "lease_expired"


def test_a_stored_state_is_taken_with_its_lease_expired(house: House, clock: FakeClock) -> None:
    """GHS/1 6.8, 8.8."""
    snapshot = house.publish(lease_ms=HOUR_MS)
    clock.advance(3600 * 24 * 365)
    verified = trust.accept_stored(snapshot, pinned_fingerprint=house.fingerprint, gateway=GATEWAY, have=None)
    assert trust.is_expired(verified.lease, clock.wall_ms())


def test_an_expired_lease_that_is_held_is_still_no_change(house: House, clock: FakeClock) -> None:
    """GHS/1 6.8: the file that a running gateway took yesterday is no refusal today."""
    snapshot = house.publish(lease_ms=HOUR_MS)
    have = accept(house, snapshot)
    clock.advance(7200)
    assert accept(house, snapshot, have) is have


def test_a_shard_that_goes_back_is_refused(house: House) -> None:
    """GHS/1 6.9: a newer lease cannot bring an older shard."""
    older = house.publish()
    house.configs["second"] = {"virtual_key": "simulator"}
    have = accept(house, house.publish())
    assert refusal(house, relet(house, older, sequence=9), have) == "shard_rollback"


def test_a_new_epoch_may_start_again_from_a_lower_revision(house: House) -> None:
    """GHS/1 6.9: (epoch, revision) is ordered by epoch first."""
    house.publish()
    house.configs["second"] = {"virtual_key": "simulator"}
    have = accept(house, house.publish())
    shard = house.state.shards["ws:ws_test"]
    shards = {**house.state.shards, "ws:ws_test": replace(shard, epoch=2, revision=0, resources=())}
    house.state = replace(house.state, shards=shards)
    assert accept(house, house.publish(), have).lease.sequence == 3


def test_a_shard_that_is_left_out_or_added_is_refused(house: House) -> None:
    """GHS/1 4.4, 6.10."""
    snapshot = house.publish()
    assert refusal(house, replace(snapshot, shards=snapshot.shards[1:])) == "digest_mismatch"
    extra = ShardState("ws:extra", 1, 1, ())
    assert refusal(house, replace(snapshot, shards=(*snapshot.shards, extra))) == "digest_mismatch"
    assert refusal(house, replace(snapshot, shards=(*snapshot.shards, snapshot.shards[0]))) == "digest_mismatch"


def test_a_lease_whose_own_digest_is_wrong_is_refused(house: House) -> None:
    """GHS/1 4.2, 4.4, 6.10."""
    assert refusal(house, relet(house, house.publish(), digest="0" * 64)) == "digest_mismatch"


def test_resources_of_two_states_are_not_mixed(house: House) -> None:
    """GHS/1 4.4: a genuine older resource in a genuine newer state."""
    older = house.publish()
    house.configs["default"] = {"virtual_key": "simulator", "override_params": {"temperature": 1}}
    newer = house.publish()
    mixed = replace(newer, shards=(*newer.shards[:-1], replace(older.shards[-1], revision=newer.shards[-1].revision)))
    assert refusal(house, mixed) == "digest_mismatch"


def test_another_key_chain_is_refused(house: House) -> None:
    """GHS/1 5.4, 6.10."""
    first, second = house.publish(), house.publish()
    assert refusal(house, replace(second, key_chain=first.key_chain)) == "key_chain_mismatch"


def test_a_state_this_node_has_no_key_for_is_refused(house: House, clock: FakeClock) -> None:
    """GHS/1 5.5."""
    verified = accept(house, house.publish())
    with pytest.raises(Refused, match="key_chain_unopened"):
        unlock(verified.snapshot.key_chain, verified.lease, House(clock).node_keys)


def test_unknown_kinds_are_kept_and_counted(house: House) -> None:
    """GHS/1 7.4."""
    snapshot = house.publish()
    shard = snapshot.shards[-1]
    unknown = SealedResource(shard.shard, "prophecy", "p1", shard.revision, 7, 1, b"whatever it is")
    wider = ShardState(shard.shard, shard.epoch, shard.revision, (*shard.resources, unknown))
    assert refusal(house, replace(snapshot, shards=(*snapshot.shards[:-1], wider))) == "digest_mismatch"
    lease = Lease.model_validate_json(snapshot.lease.payload)
    vector = [e.model_copy(update={"digest": wider.digest}) if e.shard == wider.shard else e for e in lease.vector]
    digest = state_digest(entry.position for entry in vector)
    widened = replace(relet(house, snapshot, vector=vector, digest=digest), shards=(*snapshot.shards[:-1], wider))
    verified = accept(house, document.parse(document.encode(widened)))
    assert unknown in verified.snapshot.shards[-1].resources


def test_one_changed_bit_anywhere_in_the_document_is_refused_by_name(house: House) -> None:
    """GHS/1 2.4, 4.4, 10.1: every byte of the document, one bit of each, at random. None passes, none has no name."""
    data = house.document()
    have = accept(house, document.parse(data))
    dice = random.Random(20261121)
    seen: dict[str, int] = {}
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << dice.randrange(8)
        with pytest.raises(Refused) as refused:
            accept(house, trust.read(bytes(changed)), have)
        seen[refused.value.code] = seen.get(refused.value.code, 0) + 1
    expected = {"malformed", "protocol", "lease_key", "lease_signature", "digest_mismatch", "key_chain_mismatch"}
    assert expected <= seen.keys()
