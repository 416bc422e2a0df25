"""Reading an answer no further than to its usage: the same as of the whole of it, and the same answers are broken."""

import json
import re
from typing import Any

import orjson
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
    raw = usage_in(body)
    assert raw is None or orjson.loads(memoryview(raw)) == parsed_answer(body).get("usage")
    assert raw is not None or isinstance(seen(parsed_answer, body), str)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"usage":{}', b'{"a":"\xff"}', b"[" * 3_000, b'{"a":' * 3_000])
def test_what_is_no_answer_is_to_be_parsed_whole(body: bytes) -> None:
    assert usage_in(body) is None
