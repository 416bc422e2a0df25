"""Digests: of the set, not of its order; and of every part of it."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.protocol.digest import DigestError, ShardPosition, shard_digest, state_digest
from shared.protocol.resource import SealedResource
from shared.protocol.snapshot import ShardState

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\t\n"), min_size=1, max_size=8)
RESOURCES = st.lists(
    st.builds(
        SealedResource,
        shard=st.just("ws:w"),
        kind=st.sampled_from(["config", "model", "prophecy"]),
        id=NAMES,
        revision=st.integers(0, 99),
        schema_version=st.integers(0, 3),
        key_epoch=st.integers(0, 3),
        sealed=st.binary(max_size=8),
    ),
    max_size=8,
    unique_by=lambda resource: (resource.kind, resource.id),
)
POSITIONS = st.lists(
    st.builds(ShardPosition, NAMES, st.integers(0, 9), st.integers(0, 99), st.just("0" * 64)),
    max_size=8,
    unique_by=lambda position: position.shard,
)


@given(RESOURCES, st.randoms())
def test_the_order_in_which_resources_came_does_not_matter(resources: list[SealedResource], dice: Random) -> None:
    """GHS/1 4.1."""
    shuffled = list(resources)
    dice.shuffle(shuffled)
    assert shard_digest(shuffled) == shard_digest(resources)
    assert ShardState("ws:w", 1, 1, tuple(shuffled)) == ShardState("ws:w", 1, 1, tuple(resources))


@given(POSITIONS, st.randoms())
def test_the_order_of_shards_does_not_matter(positions: list[ShardPosition], dice: Random) -> None:
    """GHS/1 4.2."""
    shuffled = list(positions)
    dice.shuffle(shuffled)
    assert state_digest(shuffled) == state_digest(positions)


@pytest.mark.parametrize(
    "change",
    [{"kind": "model"}, {"id": "b"}, {"revision": 2}, {"schema_version": 2}, {"key_epoch": 2}, {"sealed": b"y"}],
    ids=lambda change: next(iter(change)),
)
def test_every_part_of_a_resource_counts(change: dict[str, Any]) -> None:
    """GHS/1 4.1."""
    resource = SealedResource("ws:w", "config", "a", 1, 1, 1, b"x")
    assert shard_digest([replace(resource, **change)]) != shard_digest([resource])


@pytest.mark.parametrize(
    "change",
    [{"shard": "b"}, {"epoch": 2}, {"revision": 2}, {"digest": "1" * 64}],
    ids=lambda change: next(iter(change)),
)
def test_every_part_of_a_position_counts(change: dict[str, Any]) -> None:
    """GHS/1 4.2."""
    position = ShardPosition("a", 1, 1, "0" * 64)
    assert state_digest([replace(position, **change)]) != state_digest([position])


def test_what_is_there_twice_has_no_digest() -> None:
    """GHS/1 4.3."""
    resource = SealedResource("ws:w", "config", "a", 1, 1, 1, b"x")
    with pytest.raises(DigestError):
        shard_digest([resource, replace(resource, sealed=b"y")])
    with pytest.raises(DigestError):
        state_digest([ShardPosition("a", 1, 1, ""), ShardPosition("a", 1, 2, "")])


@pytest.mark.parametrize("name", ["a\tb", "a\nb"])
def test_a_name_that_would_break_its_line_has_no_digest(name: str) -> None:
    """GHS/1 4.3."""
    with pytest.raises(DigestError):
        shard_digest([SealedResource("ws:w", "config", name, 1, 1, 1, b"x")])
    with pytest.raises(DigestError):
        state_digest([ShardPosition(name, 1, 1, "")])
