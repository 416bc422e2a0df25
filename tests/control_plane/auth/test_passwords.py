"""Passwords: what is right, and that nobody's takes the same work."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from pydantic import SecretStr

from control_plane.auth.passwords import AT_ONCE_MAX, Passwords
from tests.fixtures.people import CountingHasher


async def test_only_the_same_password_is_right() -> None:
    passwords = Passwords(CountingHasher())
    stored = await passwords.hash(SecretStr("correct horse battery"))
    assert "correct" not in stored
    assert await passwords.right(SecretStr("correct horse battery"), stored)
    assert not await passwords.right(SecretStr("correct horse batterz"), stored)
    assert not await passwords.right(SecretStr(" correct horse battery"), stored)


async def test_nobodys_password_is_never_right_and_costs_the_same_step() -> None:
    hasher = CountingHasher()
    passwords = Passwords(hasher)
    stored = await passwords.hash(SecretStr("correct horse battery"))
    hasher.asked.clear()
    await passwords.right(SecretStr("wrong"), stored)
    known = list(hasher.asked)
    hasher.asked.clear()
    assert not await passwords.right(SecretStr("wrong"), None)
    assert hasher.asked == known == ["verify"]


async def test_an_accent_may_be_composed_either_way() -> None:
    passwords = Passwords(CountingHasher())
    stored = await passwords.hash(SecretStr("caf\u00e9 au lait noir"))
    assert await passwords.right(SecretStr("cafe\u0301 au lait noir"), stored)


async def test_a_damaged_hash_is_a_wrong_password() -> None:
    assert not await Passwords(CountingHasher()).right(SecretStr("anything"), "$argon2id$damaged")


async def test_only_so_many_are_hashed_at_once() -> None:
    class Slow(CountingHasher):
        running = most = 0
        lock = threading.Lock()
        full = threading.Barrier(AT_ONCE_MAX)

        def verify(self, hash: str, password: str) -> bool:  # noqa: A002
            with self.lock:
                self.running += 1
                self.most = max(self.most, self.running)
            # Each waits until as many as may are in here; one more would be counted.
            self.full.wait(timeout=30)
            with self.lock:
                self.running -= 1
            return True

    hasher = Slow()
    passwords = Passwords(hasher)
    # As many threads as there are callers, so that only the turns hold anybody back.
    with ThreadPoolExecutor(AT_ONCE_MAX * 3) as threads:
        asyncio.get_running_loop().set_default_executor(threads)
        await asyncio.gather(*(passwords.right(SecretStr("x"), None) for _ in range(AT_ONCE_MAX * 3)))
    assert hasher.most == AT_ONCE_MAX
