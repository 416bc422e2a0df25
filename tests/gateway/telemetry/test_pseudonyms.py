"""Pseudonyms: the same user the same one, by the key in the file and no other; none without it."""

import hashlib
import hmac
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry import pseudonyms, user_key_file
from gateway.telemetry.pseudonyms import KNOWN_CHARS_MAX, KNOWN_MAX, Pseudonyms
from gateway.telemetry.user_key_file import CHANGED_LOOK_S, MISSING_LOOK_S, UserKeyFile
from shared.clock import FakeClock

KEY = bytes(range(32))
OTHER = bytes(32)


def by_hand(key: bytes, user: str) -> str:
    return hmac.new(key, user.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]


def with_key(folder: Path, key: bytes = KEY) -> Pseudonyms:
    (folder / user_key_file.FILE).write_bytes(key)
    return Pseudonyms(UserKeyFile(folder, FakeClock()))


def test_a_pseudonym_is_the_first_half_of_the_hmac_of_the_name(tmp_path: Path) -> None:
    """GHS/1 17.9."""
    assert with_key(tmp_path).pseudonym("ada@example.com") == by_hand(KEY, "ada@example.com")


@given(st.text(alphabet=st.characters(), max_size=600))
def test_any_text_has_one_that_a_record_may_hold(tmp_path_factory: pytest.TempPathFactory, user: str) -> None:
    names = with_key(tmp_path_factory.getbasetemp())
    first = names.pseudonym(user)
    assert first is not None
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert names.pseudonym(user) == first == by_hand(KEY, user)


def test_another_key_makes_others(tmp_path: Path) -> None:
    assert with_key(tmp_path).pseudonym("ada") != with_key(tmp_path, OTHER).pseudonym("ada")


def test_without_a_key_there_is_none_and_a_key_that_comes_is_seen_within_a_second(tmp_path: Path) -> None:
    clock = FakeClock()
    names = Pseudonyms(UserKeyFile(tmp_path, clock))
    assert names.pseudonym("ada") is None
    (tmp_path / user_key_file.FILE).write_bytes(KEY)
    assert names.pseudonym("ada") is None
    clock.advance(MISSING_LOOK_S)
    assert names.pseudonym("ada") == by_hand(KEY, "ada")


def test_a_key_that_takes_the_place_of_another_is_seen_and_nothing_of_the_old_one_stays(tmp_path: Path) -> None:
    clock = FakeClock()
    (tmp_path / user_key_file.FILE).write_bytes(KEY)
    names = Pseudonyms(UserKeyFile(tmp_path, clock))
    assert names.pseudonym("ada") == by_hand(KEY, "ada")
    fresh = tmp_path / "fresh"
    fresh.write_bytes(OTHER)
    fresh.replace(tmp_path / user_key_file.FILE)
    clock.advance(CHANGED_LOOK_S)
    assert names.pseudonym("ada") == by_hand(OTHER, "ada")


def test_a_key_whose_file_goes_away_stays_in_use(tmp_path: Path) -> None:
    clock = FakeClock()
    (tmp_path / user_key_file.FILE).write_bytes(KEY)
    names = Pseudonyms(UserKeyFile(tmp_path, clock))
    assert names.pseudonym("ada") == by_hand(KEY, "ada")
    (tmp_path / user_key_file.FILE).unlink()
    clock.advance(CHANGED_LOOK_S)
    assert names.pseudonym("bob") == by_hand(KEY, "bob")


def test_a_damaged_file_is_no_key(tmp_path: Path) -> None:
    clock = FakeClock()
    (tmp_path / user_key_file.FILE).write_bytes(KEY[:31])
    names = Pseudonyms(UserKeyFile(tmp_path, clock))
    assert names.pseudonym("ada") is None
    (tmp_path / user_key_file.FILE).write_bytes(KEY)
    clock.advance(MISSING_LOOK_S)
    assert names.pseudonym("ada") == by_hand(KEY, "ada")


def test_what_is_remembered_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = with_key(tmp_path)
    made: list[str] = []
    monkeypatch.setattr(pseudonyms, "_pseudonym", lambda _, user: made.append(user) or user)
    for number in range(KNOWN_MAX):
        names.pseudonym(f"user-{number}")
    long = "x" * (KNOWN_CHARS_MAX + 1)
    for user in ("user-0", long, long):
        names.pseudonym(user)
    assert made[KNOWN_MAX:] == [long, long]
    del made[:]
    for user in ("one more", "one more", "user-0", "user-0"):
        names.pseudonym(user)
    assert made == ["one more", "user-0"]
    assert len(names._known) <= KNOWN_MAX
