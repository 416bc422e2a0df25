"""Canonical JSON: one value, one sequence of bytes."""

import enum
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.protocol import canonical
from shared.protocol.canonical import DEPTH_MAX, INTEGER_MAX, CanonicalError

TEXT = st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-INTEGER_MAX, INTEGER_MAX) | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=30,
)


@given(VALUES)
def test_every_value_comes_back(value: Any) -> None:
    """GHS/1 2.1."""
    assert canonical.decode(canonical.encode(value)) == value


@given(st.dictionaries(TEXT, st.integers(0, 9), min_size=2))
def test_the_order_of_keys_is_that_of_their_bytes(value: dict[str, int]) -> None:
    """GHS/1 2.1: also beyond the basic plane, where UTF-16 would sort otherwise."""
    reordered = dict(reversed(value.items()))
    assert canonical.encode(reordered) == canonical.encode(value)
    assert list(orjson.loads(canonical.encode(value))) == sorted(value, key=str.encode)


@given(st.binary(max_size=60))
@example(b'{"a":1,"a":1}')
@example(b"[1,]")
def test_bytes_are_refused_or_are_the_one_form(data: bytes) -> None:
    """GHS/1 2.2."""
    try:
        value = canonical.decode(data)
    except CanonicalError:
        return
    assert canonical.encode(value) == data


@given(VALUES, st.integers(0, 10_000), st.sampled_from([b" ", b"\n", b"\t"]))
def test_a_space_anywhere_is_refused_or_inside_a_text(value: Any, place: int, space: bytes) -> None:
    """GHS/1 2.2."""
    data = canonical.encode(value)
    place %= len(data) + 1
    try:
        changed = canonical.decode(data[:place] + space + data[place:])
    except CanonicalError:
        return
    assert changed != value


class _Word(enum.StrEnum):
    A = "a"


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("nan"),
        2**53,
        -(2**53),
        "\ud800",
        {1: 2},
        {"a": object()},
        b"bytes",
        {1, 2},
        _Word.A,
        {_Word.A: 1},
        True + 0.5,
    ],
)
def test_what_has_no_form_is_refused(value: Any) -> None:
    """GHS/1 2.3."""
    with pytest.raises(CanonicalError):
        canonical.encode([value])


def test_depth_is_bounded_on_both_ways() -> None:
    """GHS/1 2.3."""
    deep: Any = 1
    for _ in range(DEPTH_MAX):
        deep = [deep]
    assert canonical.decode(canonical.encode(deep)) == deep
    with pytest.raises(CanonicalError):
        canonical.encode([deep])
    with pytest.raises(CanonicalError):
        canonical.decode(b"[" * 100_000 + b"]" * 100_000)
