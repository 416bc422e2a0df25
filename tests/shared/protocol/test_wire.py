"""Base64 with one text for one sequence of bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.protocol import wire


@given(st.binary(max_size=100))
def test_bytes_come_back(data: bytes) -> None:
    """GHS/1 2.4."""
    assert wire.from_base64(wire.to_base64(data)) == data
    assert wire.from_base64url(wire.to_base64url(data)) == data


@given(st.text(st.sampled_from("AQgw09+/-_= \n"), max_size=12))
def test_a_text_is_refused_or_the_one_the_writer_makes(text: str) -> None:
    """GHS/1 2.4."""
    for decode, encode in ((wire.from_base64, wire.to_base64), (wire.from_base64url, wire.to_base64url)):
        try:
            data = decode(text)
        except ValueError:
            continue
        assert encode(data) == text


@pytest.mark.parametrize("text", ["AB==", "AA", "AA=", " AA==", "AA==\n", "A", "é", "AA==AA=="])
def test_loose_base64_is_refused(text: str) -> None:
    """GHS/1 2.4: unused bits that are set, padding left out, spaces."""
    with pytest.raises(ValueError, match="base64"):
        wire.from_base64(text)
