"""Signatures and key delivery: what fits, and that nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.crypto import hpke, sign
from shared.crypto.hpke import HpkeError
from shared.crypto.secret import Secret

SIGNING, OPENING = Secret(b"s" * 32), Secret(b"o" * 32)


@given(st.binary(max_size=200), st.integers(0, 511))
def test_a_signature_fits_its_message_and_no_other(message: bytes, bit: int) -> None:
    """GHS/1 6.5."""
    public, signature = sign.public_key(SIGNING), sign.sign(SIGNING, message)
    assert sign.verify(public, message, signature)
    assert not sign.verify(public, message + b"x", signature)
    changed = bytearray(signature)
    changed[bit // 8] ^= 1 << bit % 8
    assert not sign.verify(public, message, bytes(changed))
    assert not sign.verify(sign.public_key(Secret(b"t" * 32)), message, signature)


@given(st.binary(max_size=70), st.binary(max_size=70))
def test_malformed_keys_and_signatures_are_false_and_no_error(public: bytes, signature: bytes) -> None:
    assert not sign.verify(public, b"message", signature)


def test_keys_of_the_wrong_size_are_an_error() -> None:
    for module in (sign, hpke):
        with pytest.raises(ValueError, match="32"):
            module.public_key(Secret(b"short"))


@given(st.binary(min_size=1, max_size=100), st.binary(max_size=50), st.data())
def test_what_is_sealed_opens_for_its_owner_and_its_purpose_only(
    plaintext: bytes, info: bytes, data: st.DataObject
) -> None:
    """GHS/1 5.2."""
    sealed = hpke.seal(hpke.public_key(OPENING), info, Secret(plaintext))
    assert hpke.open_(OPENING, info, sealed).matches(plaintext)
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    changed = bytearray(sealed)
    changed[bit // 8] ^= 1 << bit % 8
    wrong: list[tuple[Secret, bytes, bytes]] = [
        (Secret(b"x" * 32), info, sealed),
        (OPENING, info + b"x", sealed),
        (OPENING, info, sealed[:-1]),
        (OPENING, info, b""),
    ]
    # The last bit of an X25519 public key is not part of it (RFC 7748, section 5).
    if bit != 31 * 8 + 7:
        wrong.append((OPENING, info, bytes(changed)))
    for key, purpose, message in wrong:
        with pytest.raises(HpkeError):
            hpke.open_(key, purpose, message)


def test_a_public_key_that_is_none_is_named() -> None:
    for public in (b"", b"short", bytes(32)):
        with pytest.raises(HpkeError):
            hpke.seal(public, b"", Secret(b"key"))
