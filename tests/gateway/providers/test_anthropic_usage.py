"""Usage as the Messages API tells it: in pieces, beside its caches, and round by round."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.anthropic.usage import counted
from gateway.providers.base import Usage

START = {"input_tokens": 10, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 5, "output_tokens": 1}
COMPACTION = {
    "type": "compaction",
    "input_tokens": 180_000,
    "output_tokens": 3_500,
    "cache_read_input_tokens": 7,
    "cache_creation_input_tokens": 0,
}


def told(start: dict[str, Any], end: dict[str, Any]) -> Usage | None:
    return counted(counted(None, start, is_end=False), end, is_end=True)


@pytest.mark.parametrize(
    ("end", "usage"),
    [
        ({"output_tokens": 9}, Usage(115, 9, 100, 5)),
        ({**START, "output_tokens": 9}, Usage(115, 9, 100, 5)),
        ({"input_tokens": 10, "output_tokens": 9}, Usage(115, 9, 100, 5)),
        ({"input_tokens": 12, "cache_read_input_tokens": None, "output_tokens": 9}, Usage(117, 9, 100, 5)),
        ({"cache_read_input_tokens": 110, "output_tokens": 9}, Usage(125, 9, 110, 5)),
    ],
)
def test_what_the_end_does_not_tell_again_is_as_it_was_at_the_start(end: dict[str, Any], usage: Usage) -> None:
    """A host that tells the fresh input once more, and not what was cached, had fewer input tokens than cached ones."""
    assert told(START, end) == usage


def test_input_that_only_the_end_tells() -> None:
    end = {"input_tokens": 3, "cache_read_input_tokens": 20, "output_tokens": 9}
    assert told({"input_tokens": 0, "output_tokens": 0}, end) == Usage(23, 9, 20)


@pytest.mark.parametrize("kept", ["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"])
def test_what_is_kept_for_an_hour_is_not_charged_as_what_is_kept_for_five_minutes(kept: str) -> None:
    usage = told({**START, "cache_creation": {kept: 5}}, {"output_tokens": 9})
    assert usage == Usage(115, 9, 100, 5, unpriced=kept == "ephemeral_1h_input_tokens")


def test_a_compaction_counts_beside_what_is_told_without_it() -> None:
    end = {**START, "output_tokens": 9, "iterations": [COMPACTION, {**START, "type": "message"}]}
    assert told({"input_tokens": 1, "output_tokens": 1}, end) == Usage(180_122, 3_509, 107, 5)
    assert counted(None, end, is_end=True) == Usage(180_122, 3_509, 107, 5)


def test_what_another_model_did_is_not_charged_as_this_one_s() -> None:
    advice = {"type": "advisor_message", "model": "other", "input_tokens": 2, "output_tokens": 3}
    usage = counted(None, {**START, "output_tokens": 9, "iterations": [advice]}, is_end=True)
    assert usage is not None
    assert usage.unpriced


@pytest.mark.parametrize("junk", [-1, 1.5, 12.0, "12", True, 2**41, [], {}])
def test_what_is_no_count_is_unknown(junk: Any) -> None:
    usage = counted(None, {"input_tokens": junk, "output_tokens": junk, "iterations": junk}, is_end=True)
    assert usage == Usage()
    assert told({**START, "cache_read_input_tokens": junk}, {"output_tokens": 9}) == Usage(
        15, 9, None, 5, unpriced=True
    )
    rounds = {**START, "output_tokens": 9, "iterations": [{**COMPACTION, "input_tokens": junk}]}
    assert counted(None, rounds, is_end=True) == Usage(122, 3_509, 107, 5, unpriced=True)


JUNK = st.none() | st.booleans() | st.integers(-5, 2**64) | st.floats() | st.text(max_size=2)
NAMES = st.sampled_from([*START, "iterations", "type", "cache_creation", "ephemeral_1h_input_tokens"])
TOLD = st.recursive(
    JUNK, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=10
)


@given(TOLD, TOLD)
def test_whatever_is_told_each_count_is_a_count_or_unknown(start: Any, end: Any) -> None:
    usage = counted(counted(None, start, is_end=False), end, is_end=True) or Usage()
    for count in (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens):
        assert count is None or (type(count) is int and count >= 0)
