"""API keys: random, checked offline, hashed with a key."""

import string

from hypothesis import given
from hypothesis import strategies as st

from shared.crypto import api_keys
from shared.crypto.secret import Secret

ALPHANUMERIC = string.digits + string.ascii_letters


def test_a_new_key_is_well_formed_and_new() -> None:
    """GHS/1 9.1."""
    keys = [api_keys.new_api_key().reveal_text() for _ in range(200)]
    assert len(set(keys)) == 200
    assert all(api_keys.well_formed(key) and len(key) == 52 for key in keys)
    assert all(set(key[3:]) <= set(ALPHANUMERIC) for key in keys)


def test_a_prefix_is_part_of_the_key() -> None:
    token = api_keys.new_api_key("ghe").reveal_text()
    assert token.startswith("ghe_")
    assert api_keys.well_formed(token, "ghe")
    assert not api_keys.well_formed(token)
    assert not api_keys.well_formed("gha" + token[3:], "gha")


def test_a_new_key_does_not_print() -> None:
    key = api_keys.new_api_key()
    assert key.reveal_text() not in f"{key!r} {key} {[key]}"


@given(st.integers(0, 51), st.sampled_from(ALPHANUMERIC + "_-é "))
def test_any_one_wrong_character_is_noticed(place: int, other: str) -> None:
    """GHS/1 9.1: a CRC finds every single changed character."""
    key = "gh_" + "k" * 43
    key += api_keys._checksum(key)
    assert api_keys.well_formed(key)
    changed = key[:place] + other + key[place + 1 :]
    assert api_keys.well_formed(changed) == (changed == key)


@given(st.text(max_size=80))
def test_no_text_breaks_the_check(text: str) -> None:
    assert not api_keys.well_formed(text)


def test_the_hash_depends_on_the_key_and_on_the_organisation() -> None:
    """GHS/1 9.2."""
    one, two = Secret(b"1" * 32), Secret(b"2" * 32)
    hashes = {api_keys.keyed_hash(secret, text) for secret in (one, two) for text in ("gh_a", "gh_b")}
    assert len(hashes) == 4
    assert {len(found) for found in hashes} == {32}
