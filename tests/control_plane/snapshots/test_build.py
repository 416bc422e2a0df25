"""The builder: revisions move only for what changed, what is the same keeps its bytes, what leaves is whole."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.snapshots.errors import BuildError
from shared.clock import FakeClock
from shared.protocol import envelope
from shared.protocol.lease import parse
from shared.protocol.node import NodePublic
from shared.protocol.resource import SealedResource, credential_subject
from shared.protocol.snapshot import Snapshot
from shared.protocol.wire import from_base64
from tests.fixtures.house import ORGANISATION, WORKSPACE, House

SHARD = f"ws:{WORKSPACE}"


def revisions(snapshot: Snapshot) -> dict[str, int]:
    return {shard.shard: shard.revision for shard in snapshot.shards}


def resources(snapshot: Snapshot) -> dict[tuple[str, str], SealedResource]:
    return {(r.kind, r.id): r for shard in snapshot.shards for r in shard.resources}


def plain(house: House, resource: SealedResource) -> dict[str, Any]:
    key = house.state.shards[resource.shard].key
    body: dict[str, Any] = orjson.loads(envelope.open_(key, resource.subject(ORGANISATION), resource.sealed))
    return body


def test_kinds_live_in_their_shards(house: House) -> None:
    """GHS/1 7.2."""
    assert {shard.shard: {r.kind for r in shard.resources} for shard in house.publish().shards} == {
        "global": {"provider", "model"},
        "org:org_test": {"organisation", "price"},
        SHARD: {"workspace", "api_key", "virtual_key", "config"},
    }


def test_the_same_content_again_moves_the_sequence_and_nothing_else(house: House) -> None:
    """GHS/1 6.2, 7.5."""
    first, second = house.publish(), house.publish()
    assert second.shards == first.shards
    assert [parse(snapshot.lease.payload).sequence for snapshot in (first, second)] == [1, 2]


def test_an_edit_moves_its_shard_and_reseals_its_resource_only(house: House) -> None:
    """GHS/1 7.5."""
    house.configs["second"] = {"virtual_key": "simulator"}
    first = house.publish()
    house.configs["second"] = {"virtual_key": "simulator", "override_params": {"temperature": 0.5}}
    second = house.publish()
    assert revisions(second) == {**revisions(first), SHARD: 2}
    before, after = resources(first), resources(second)
    assert [key for key in after if after[key] != before[key]] == [("config", "ws_test/second")]
    assert after["config", "ws_test/second"].revision == 2


def test_a_credential_stays_as_it_was_sealed_when_other_fields_change(house: House) -> None:
    """GHS/1 3.8, 7.5."""
    first = house.publish()
    content = house.content()
    draft = content.workspaces[0].virtual_keys[0]
    renamed = replace(draft, noun=draft.noun.model_copy(update={"name": "New name"}))
    workspace = replace(content.workspaces[0], virtual_keys=(renamed,))
    house.content = lambda: replace(content, workspaces=(workspace,))  # type: ignore[method-assign]
    second = house.publish()
    place = ("virtual_key", "ws_test/simulator")
    before, after = (plain(house, resources(snapshot)[place]) for snapshot in (first, second))
    assert (before["name"], after["name"]) == ("simulator", "New name")
    assert after["credential"] == before["credential"]


def test_a_changed_credential_is_sealed_anew_and_opens(house: House) -> None:
    """GHS/1 3.8."""
    first = house.publish()
    house.credentials["simulator"] = "sk-second"
    second = house.publish()
    place = ("virtual_key", "ws_test/simulator")
    sealed = plain(house, resources(second)[place])["credential"]
    assert sealed != plain(house, resources(first)[place])["credential"]
    shard = house.state.shards[SHARD]
    subject = credential_subject(ORGANISATION, SHARD, "ws_test/simulator", shard.key_epoch)
    assert orjson.loads(envelope.open_(shard.key, subject, from_base64(sealed))) == {"api_key": "sk-second"}


def test_secret_kinds_are_not_compressed(house: House) -> None:
    """GHS/1 3.7."""
    found = resources(house.publish())
    assert {kind: resource.sealed[4] for (kind, _), resource in found.items()} == {
        "organisation": 2,
        "provider": 1,
        "model": 1,
        "price": 1,
        "workspace": 1,
        "api_key": 1,
        "virtual_key": 1,
        "config": 1,
    }
    virtual_key = plain(house, found["virtual_key", "ws_test/simulator"])
    assert from_base64(virtual_key["credential"])[4] == 2


def test_what_is_removed_is_gone_and_moves_the_revision(house: House) -> None:
    house.configs["second"] = {"virtual_key": "simulator"}
    house.publish()
    del house.configs["second"]
    snapshot = house.publish()
    assert revisions(snapshot)[SHARD] == 2
    assert ("config", "ws_test/second") not in resources(snapshot)


def test_a_workspace_that_comes_back_goes_on_from_its_last_revision(house: House) -> None:
    """GHS/1 6.9, 7.5: a gateway that missed the time between must not see it go back."""
    house.publish()
    whole = house.content
    house.content = lambda: replace(whole(), workspaces=())  # type: ignore[method-assign]
    assert SHARD not in revisions(house.publish())
    house.content = whole  # type: ignore[method-assign]
    assert revisions(house.publish())[SHARD] == 3


def test_a_resource_too_large_is_named_before_anything_leaves(house: House) -> None:
    """GHS/1 3.5."""
    house.configs["default"] = {"virtual_key": "simulator", "override_params": {"x": "y" * 2_000_000}}
    with pytest.raises(BuildError, match=r'config "ws_test/default": too_large'):
        house.publish()


def test_a_state_of_another_gateway_is_refused(house: House) -> None:
    house.publish()
    house.gateway = "gw_other"
    with pytest.raises(BuildError, match="gw_test"):
        house.publish()


def test_without_a_node_nothing_is_made(house: House) -> None:
    house.nodes = []
    with pytest.raises(BuildError, match="at least one node"):
        house.publish()


def test_a_node_whose_key_is_none_is_named(house: House) -> None:
    house.nodes = [NodePublic(node="nd_bad", sign=b"x", open=b"short")]
    with pytest.raises(BuildError, match="nd_bad"):
        house.publish()


def test_a_damaged_state_is_named(house: House) -> None:
    house.publish()
    shard = house.state.shards[SHARD]
    damaged = tuple(replace(resource, sealed=resource.sealed[:-1] + b"\x00") for resource in shard.resources)
    house.state = replace(house.state, shards={**house.state.shards, SHARD: replace(shard, resources=damaged)})
    with pytest.raises(BuildError, match="damaged"):
        house.publish()


EDITS = st.lists(
    st.tuples(st.sampled_from(["default", "a", "b", "c"]), st.one_of(st.none(), st.integers(0, 2))), max_size=12
)


@settings(max_examples=50, deadline=None)
@given(EDITS)
def test_any_history_of_edits_ends_in_what_the_content_says(edits: list[tuple[str, int | None]]) -> None:
    """GHS/1 7.5: bytes change if and only if the content does, and the revision moves exactly then."""
    house = House(FakeClock())
    last = house.publish()
    for slug, seed in edits:
        before = dict(house.configs)
        if seed is None and slug != "default":
            house.configs.pop(slug, None)
        else:
            house.configs[slug] = {"virtual_key": "simulator", "override_params": {"seed": seed or 0}}
        snapshot = house.publish()
        moved = house.configs != before
        assert revisions(snapshot)[SHARD] == revisions(last)[SHARD] + moved
        old, new = resources(last), resources(snapshot)
        changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
        assert changed == ({("config", f"ws_test/{slug}")} if moved else set())
        bodies = {key[1]: plain(house, r)["body"] for key, r in new.items() if key[0] == "config"}
        assert bodies == {f"ws_test/{name}": body for name, body in house.configs.items()}
        last = snapshot
