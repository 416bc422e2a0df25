"""The envelope: it opens in its place, whole, under its key, and not otherwise."""

import random
import zlib
from dataclasses import asdict, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from shared.crypto.secret import Secret
from shared.protocol import envelope
from shared.protocol.envelope import HEADER_BYTES, PLAINTEXT_BYTES_MAX, EnvelopeError, Subject, Suite
from shared.protocol.resource import SealedResource, credential_subject, shard_key_subject

KEY = Secret(b"k" * 32)
SUBJECT = Subject("org", "ws:w", "config", "w/default", 7, 1, 3)
SUITES = st.sampled_from(Suite)


def code(key: Secret, subject: Subject, sealed: bytes) -> str:
    with pytest.raises(EnvelopeError) as error:
        envelope.open_(key, subject, sealed)
    return error.value.code


def sealed_body(body: bytes) -> bytes:
    """An envelope of suite 1 around bytes that need not be zlib: what a faulty writer with the key could make."""
    salt = b"s" * 32
    key, commitment, nonce = envelope._derive(KEY, salt)
    ciphertext = AESGCM(key).encrypt(nonce, body, envelope._additional_data(Suite.COMPRESSED, SUBJECT))
    return b"GHE1\x01" + (3).to_bytes(4, "big") + salt + commitment + ciphertext


@given(st.binary(max_size=3000), SUITES)
def test_what_is_sealed_opens(plaintext: bytes, suite: Suite) -> None:
    """GHS/1 3.1."""
    assert envelope.open_(KEY, SUBJECT, envelope.seal(KEY, SUBJECT, plaintext, suite)) == plaintext


@given(st.binary(max_size=100), SUITES, st.data())
def test_any_changed_bit_is_refused_by_the_name_of_its_place(
    plaintext: bytes, suite: Suite, data: st.DataObject
) -> None:
    """GHS/1 3.4, 3.6."""
    sealed = bytearray(envelope.seal(KEY, SUBJECT, plaintext, suite))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    place = bit // 8
    if place < 4:
        expected = {"malformed"}
    elif place == 4:
        # Suite 1 and 2 differ in two bits, so one bit makes an unknown suite.
        expected = {"malformed"}
    elif place < 9:
        expected = {"key_epoch"}
    elif place < HEADER_BYTES:
        expected = {"commitment"}
    else:
        expected = {"tag"}
    assert code(KEY, SUBJECT, bytes(sealed)) in expected


@pytest.mark.parametrize("name", asdict(SUBJECT))
def test_any_changed_field_of_the_place_is_refused(name: str) -> None:
    """GHS/1 3.3."""
    sealed = envelope.seal(KEY, SUBJECT, b"{}", Suite.PLAIN)
    value = getattr(SUBJECT, name)
    changed: Any = value + 1 if isinstance(value, int) else value + "x"
    other = replace(SUBJECT, **{name: changed})
    assert code(KEY, other, sealed) == ("key_epoch" if name == "key_epoch" else "tag")


def test_the_suite_is_part_of_what_is_authenticated() -> None:
    """GHS/1 3.3."""
    sealed = bytearray(envelope.seal(KEY, SUBJECT, zlib.compress(b"{}"), Suite.PLAIN))
    sealed[4] = Suite.COMPRESSED
    assert code(KEY, SUBJECT, bytes(sealed)) == "tag"


def test_another_key_is_refused_before_anything_is_decrypted() -> None:
    """GHS/1 3.4: by the commitment, so no message opens under two keys."""
    assert code(Secret(b"x" * 32), SUBJECT, envelope.seal(KEY, SUBJECT, b"{}", Suite.PLAIN)) == "commitment"


def test_the_same_plaintext_is_never_the_same_twice() -> None:
    """GHS/1 3.1: a fresh salt each time."""
    assert len({envelope.seal(KEY, SUBJECT, b"{}", Suite.PLAIN) for _ in range(50)}) == 50


@pytest.mark.parametrize("length", [0, 3, 4, HEADER_BYTES, HEADER_BYTES + 15])
def test_what_is_too_short_is_malformed(length: int) -> None:
    assert code(KEY, SUBJECT, envelope.seal(KEY, SUBJECT, b"{}", Suite.PLAIN)[:length]) == "malformed"


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    assert code(KEY, SUBJECT, data) in ("malformed", "key_epoch")


@pytest.mark.parametrize("suite", Suite)
def test_one_mebibyte_is_the_limit(suite: Suite) -> None:
    """GHS/1 3.5: of bytes that do not compress, so the sealed form is at its longest."""
    plaintext = random.Random(1).randbytes(PLAINTEXT_BYTES_MAX)
    assert envelope.open_(KEY, SUBJECT, envelope.seal(KEY, SUBJECT, plaintext, suite)) == plaintext
    with pytest.raises(EnvelopeError, match="too_large"):
        envelope.seal(KEY, SUBJECT, plaintext + b"x", suite)


def test_a_bomb_is_refused_without_being_unpacked() -> None:
    """GHS/1 3.5."""
    bomb = zlib.compress(bytes(200 * PLAINTEXT_BYTES_MAX))
    assert len(bomb) < PLAINTEXT_BYTES_MAX
    assert code(KEY, SUBJECT, sealed_body(bomb)) == "too_large"
    assert code(KEY, SUBJECT, bytes(2 * PLAINTEXT_BYTES_MAX)) == "too_large"


@pytest.mark.parametrize("body", [b"", b"not zlib", zlib.compress(b"{}")[:-1], zlib.compress(b"{}") + b"x"])
def test_a_body_that_is_not_one_whole_stream_is_malformed(body: bytes) -> None:
    """GHS/1 3.5."""
    assert code(KEY, SUBJECT, sealed_body(body)) == "malformed"


def test_subjects_name_every_part_of_the_place() -> None:
    """GHS/1 3.3, 3.8, 5.3."""
    resource = SealedResource("global", "provider", "openai", 4, 1, 2, b"")
    assert resource.subject("org") == Subject("global", "global", "provider", "openai", 4, 1, 2)
    resource = replace(resource, shard="ws:w")
    assert resource.subject("org") == Subject("org", "ws:w", "provider", "openai", 4, 1, 2)
    assert credential_subject("org", "ws:w", "vk", 2) == Subject("org", "ws:w", "credential", "vk", 0, 1, 2)
    assert shard_key_subject("org", "gw", "ws:w", 5, 2) == Subject("org", "ws:w", "shard_key", "gw", 5, 1, 2)
