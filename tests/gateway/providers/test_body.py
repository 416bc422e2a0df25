"""Reading an answer no further than to its usage: the same as of the whole of it, and the same answers are broken."""

import json
import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.providers.base import BrokenAnswer
from gateway.providers.body import parsed_answer, usage_in

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.just("usage"), inner, max_size=4),
    max_leaves=12,
)


HUGE = re.compile(rb"[0-9][eE]\+?[0-9]{3}")
"""A number that no reader holds: skipped, it is not looked at."""


def seen(read: Any, body: bytes) -> Any:
    try:
        return read(body)
    except BrokenAnswer as error:
        return str(error)


@given(JSON, st.integers(0, 200), st.binary(max_size=2), st.booleans())
def test_usage_is_that_of_the_whole_answer(answer: Any, at: int, odd: bytes, is_cut: bool) -> None:
    body = json.dumps(answer, ensure_ascii=False).encode("utf-8", "surrogatepass")
    at = min(at, len(body))
    body = body[:at] + odd + body[at + is_cut :]
    assume(not HUGE.search(body))
    assert seen(usage_in, body) == seen(lambda whole: parsed_answer(whole).get("usage"), body)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"usage":{}', b'{"a":"\xff"}', b"[" * 3_000, b'{"a":' * 3_000])
def test_a_broken_answer_is_broken(body: bytes) -> None:
    with pytest.raises(BrokenAnswer):
        usage_in(body)
