"""Pauses between retries: as the provider says in one of its ways, else drawn from a range that doubles."""

import random
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pipeline.pause import pause_s, retry_after_s
from gateway.view.route import Retry

NOW_MS = 1_800_000_000_000
HEEDS = Retry(5, frozenset({429, 503}), heeds_retry_after=True)
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "retry-after-ms", "x-ms-retry-after-ms", "x-amz-retry-after"]),
    st.text(max_size=40),
    max_size=3,
)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 0 "}, 0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"x-ms-retry-after-ms": "90000"}, 90),
        ({"x-amz-retry-after": "1500"}, 1.5),
        ({"retry-after-ms": "1", "x-ms-retry-after-ms": "2000", "retry-after": "3"}, 0.001),
        ({"x-ms-retry-after-ms": "2000", "retry-after": "3"}, 2),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3),
        ({"retry-after": formatdate(NOW_MS / 1_000 + 20, usegmt=True)}, 20),
        ({"retry-after": formatdate(NOW_MS / 1_000 - 20, usegmt=True)}, 0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 -0000"}, 0),
        ({}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "tomorrow"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "Wed, 99 Oct 2015 07:28:00 GMT"}, None),
        ({"retry-after": "9" * 100}, None),
    ],
)
def test_a_provider_says_when_to_come_back_in_its_head(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, NOW_MS) == seconds


@given(HEADERS)
def test_whatever_a_provider_says_is_a_time_to_come_or_nothing(headers: dict[str, str]) -> None:
    told = retry_after_s(headers, NOW_MS)
    assert told is None or told >= 0


@given(st.integers(0, 4), st.integers())
def test_a_pause_is_drawn_from_nothing_up_to_twice_the_last_one_s_most(retries: int, seed: int) -> None:
    assert 0 <= pause_s(retries, HEEDS, 503, 0.0, random.Random(seed)) <= 2**retries


def test_no_two_callers_come_back_together() -> None:
    pauses = {pause_s(2, HEEDS, None, None, random.Random(seed)) for seed in range(100)}
    assert len(pauses) == 100
    assert min(pauses) < 0.5
    assert max(pauses) > 3.5


@pytest.mark.parametrize(
    ("retry", "status", "heeded"),
    [
        (HEEDS, 429, True),
        (HEEDS, 503, False),
        (HEEDS, None, False),
        (Retry(5, frozenset({429})), 429, False),
    ],
)
def test_a_provider_s_word_counts_with_a_429_where_the_config_says_so(
    retry: Retry, status: int | None, heeded: bool
) -> None:
    waited = pause_s(0, retry, status, 33.0, random.Random(7))
    assert (waited == 33) is heeded
