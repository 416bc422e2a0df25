"""Answers applied to what is held: any history ends where the lease says; what does not fit is refused by name."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sync import trust
from gateway.sync.merge import merge, question
from gateway.sync.trust import Refused, Verified
from shared.clock import FakeClock
from shared.protocol import answer as answers
from shared.protocol import lease as leases
from shared.protocol.answer import Answer, Delta, Gone, Part, Unchanged, Whole
from shared.protocol.resource import SealedResource
from shared.protocol.snapshot import DOCUMENT_BYTES_MAX, ShardState, Snapshot, SnapshotError
from tests.fixtures.house import GATEWAY, WORKSPACE, House

SHARD = f"ws:{WORKSPACE}"


def answer_of(snapshot: Snapshot, parts: tuple[Part, ...] | None = None, key_chain: bytes | None = None) -> Answer:
    whole = tuple(Whole(shard.shard, shard.resources) for shard in snapshot.shards)
    return Answer(snapshot.lease, key_chain or snapshot.key_chain, parts or whole, 30_000, 0)


def part_between(held: ShardState | None, shard: ShardState, form: str) -> Part:
    """What a control plane may say of a shard, in the form asked for where that form can be."""
    if held is None or form == "snapshot":
        return Whole(shard.shard, shard.resources)
    if held.digest == shard.digest:
        return Unchanged(shard.shard)
    before = {(r.kind, r.id): r for r in held.resources}
    after = {(r.kind, r.id): r for r in shard.resources}
    changes: list[SealedResource | Gone] = [r for key, r in after.items() if before.get(key) != r]
    changes += [Gone(kind, id_, shard.revision) for kind, id_ in before.keys() - after.keys()]
    return Delta(shard.shard, held.revision, tuple(changes))


def take(house: House, answer: Answer, base: Verified | None, have: Verified | None) -> Verified:
    lease = trust.verify_lease(answer.lease, pinned_fingerprint=house.fingerprint, gateway=GATEWAY)
    return trust.accept(
        merge(answer, lease, base),
        pinned_fingerprint=house.fingerprint,
        gateway=GATEWAY,
        have=have,
        now_ms=house.clock.wall_ms(),
    )


EDITS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(0, 3), st.sampled_from(["delta", "snapshot"]), st.booleans()),
    min_size=1,
    max_size=12,
)


@settings(max_examples=80, deadline=None)
@given(EDITS)
def test_any_history_converges_to_the_digest_of_the_full_snapshot(edits: list[tuple[str, int, str, bool]]) -> None:
    """GHS/1 14.3 to 14.5, 14.7, 4.4: cut into deltas and snapshots, some lost, all sent twice, the oldest again."""
    house = House(FakeClock())
    held: Verified | None = None
    sent: list[tuple[Answer, Verified | None]] = []
    newest = house.publish()
    for slug, value, form, lost in edits:
        if value == 0:
            house.configs.pop(slug, None)
        else:
            house.configs[slug] = {"virtual_key": "simulator", "override_params": {"seed": value}}
        newest = house.publish()
        if lost:
            continue
        shards = {} if held is None else {shard.shard: shard for shard in held.snapshot.shards}
        parts = tuple(part_between(shards.get(shard.shard), shard, form) for shard in newest.shards)
        answer = answers.parse(answers.encode(answer_of(newest, parts)))
        sent.append((answer, held))
        held = take(house, answer, held, held)
        for again, base in (sent[-1], sent[0]):
            if again.lease == held.snapshot.lease:
                assert take(house, again, base, held) is held
                continue
            with pytest.raises(Refused) as refused:
                take(house, again, base, held)
            assert refused.value.code == "lease_sequence"
    held = take(house, answer_of(newest), None, held)
    assert {s.shard: s.digest for s in held.snapshot.shards} == {s.shard: s.digest for s in newest.shards}
    names = {r.id for shard in held.snapshot.shards for r in shard.resources if r.kind == "config"}
    assert names == {f"{WORKSPACE}/{slug}" for slug in house.configs}


@pytest.fixture
def held(house: House) -> Verified:
    return take(house, answer_of(house.publish()), None, None)


def test_an_unchanged_shard_stays_the_same_object(house: House, held: Verified) -> None:
    """GHS/1 14.4."""
    newest = house.publish()
    after = take(house, answer_of(newest, tuple(Unchanged(shard.shard) for shard in newest.shards)), held, held)
    assert all(one is other for one, other in zip(after.snapshot.shards, held.snapshot.shards, strict=True))


def test_a_question_names_what_is_held_unless_it_is_not_to_be_built_upon(held: Verified) -> None:
    """GHS/1 13.2."""
    asked = question(held, everything=False)
    assert (asked.have, asked.lease, asked.key_chain) == (
        held.lease.vector,
        held.snapshot.lease,
        held.lease.key_chain,
    )
    again = question(held, everything=True)
    assert (again.have, again.lease, again.key_chain) == ([], held.snapshot.lease, None)
    first = question(None, everything=False)
    assert (first.have, first.lease, first.key_chain) == ([], None, None)


def misfits(newest: Snapshot, held: Verified) -> dict[str, tuple[Answer, Verified | None]]:
    unchanged = {shard.shard: Unchanged(shard.shard) for shard in newest.shards}
    whole = {shard.shard: Whole(shard.shard, shard.resources) for shard in newest.shards}
    (revision,) = (shard.revision for shard in held.snapshot.shards if shard.shard == SHARD)
    late = Delta(SHARD, revision + 1, ())
    twice = Whole(SHARD, (whole[SHARD].resources[0], *whole[SHARD].resources))
    forms: dict[str, tuple[dict[str, Any], Verified | None]] = {
        "nothing held": (unchanged, None),
        "another base": ({**unchanged, SHARD: late}, held),
        "a shard too few": ({name: part for name, part in whole.items() if name != SHARD}, held),
        "a shard too many": ({**whole, "ws:other": Unchanged("ws:other")}, held),
        "a resource twice": ({**whole, SHARD: twice}, held),
    }
    listed = {name: (answer_of(newest, tuple(parts.values())), base) for name, (parts, base) in forms.items()}
    listed["a shard twice"] = (answer_of(newest, (*whole.values(), whole[SHARD])), held)
    no_keys = replace(answer_of(newest, tuple(whole.values())), key_chain=None)
    return {**listed, "no key chain": (no_keys, held), "no key chain at first": (no_keys, None)}


@pytest.mark.parametrize(
    "name",
    [
        "nothing held",
        "another base",
        "a shard too few",
        "a shard too many",
        "a shard twice",
        "a resource twice",
        "no key chain",
        "no key chain at first",
    ],
)
def test_what_does_not_fit_is_refused(house: House, held: Verified, name: str) -> None:
    """GHS/1 14.7."""
    answer, base = misfits(house.publish(), held)[name]
    with pytest.raises(Refused) as refused:
        take(house, answer, base, held)
    assert refused.value.code == "delta_mismatch"


def test_a_delta_that_leaves_something_out_is_found_out(house: House, held: Verified) -> None:
    """GHS/1 14.7."""
    house.configs["second"] = {"virtual_key": "simulator"}
    newest = house.publish()
    parts = tuple(
        Delta(shard.shard, shard.revision - 1, ()) if shard.shard == SHARD else Unchanged(shard.shard)
        for shard in newest.shards
    )
    with pytest.raises(Refused) as refused:
        take(house, answer_of(newest, parts), held, held)
    assert refused.value.code == "digest_mismatch"


def test_an_answer_is_read_as_it_was_written(house: House) -> None:
    """GHS/1 14.3."""
    newest = house.publish()
    resource = next(shard for shard in newest.shards if shard.shard == SHARD).resources[0]
    for part in (
        Unchanged(SHARD),
        Whole(SHARD, (resource,)),
        Delta(SHARD, 3, (resource, Gone("config", "c", 4))),
    ):
        answer = answer_of(newest, (part,))
        assert answers.parse(answers.encode(answer)) == answer


def damaged(house: House, **fields: Any) -> bytes:
    return orjson.dumps({**orjson.loads(answers.encode(answer_of(house.publish()))), **fields})


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        ("protocol", {"protocol": "GHS/2"}),
        ("malformed", {"shards": [{"shard": SHARD, "form": "other"}]}),
        ("malformed", {"lease": None}),
        ("malformed", {"next_ms": -1}),
        ("malformed", {"key_chain": {"a": 1.5}}),
    ],
)
def test_what_is_no_answer_is_refused_by_name(house: House, code: str, fields: dict[str, Any]) -> None:
    """GHS/1 14.6."""
    with pytest.raises(SnapshotError) as refused:
        answers.parse(damaged(house, **fields))
    assert refused.value.code == code


@pytest.mark.parametrize(("code", "data"), [("malformed", b"<html>"), ("malformed", b"[]"), ("malformed", b"")])
def test_a_page_is_no_answer(code: str, data: bytes) -> None:
    """GHS/1 14.6."""
    with pytest.raises(SnapshotError) as refused:
        answers.parse(data)
    assert refused.value.code == code


def test_an_answer_without_end_is_not_read() -> None:
    """GHS/1 14.6."""
    with pytest.raises(SnapshotError) as refused:
        answers.parse(bytes(DOCUMENT_BYTES_MAX + 1))
    assert refused.value.code == "too_large"


def test_leases_of_answers_are_leases(house: House) -> None:
    """GHS/1 14.1: nothing in an answer is believed but by its lease."""
    answer = answers.parse(answers.encode(answer_of(house.publish())))
    assert leases.parse(answer.lease.payload).gateway == GATEWAY
