"""Data keys on a real database: asked of the KMS once for all who need one, and not kept beyond their time."""

import asyncio
import gc
from pathlib import Path

import pytest

from control_plane.data_keys import CACHE_S, DataKeys
from control_plane.db.pool import Database
from control_plane.errors import Unavailable
from control_plane.kms.local import LocalKms
from shared.clock import FakeClock
from shared.crypto.kms import Context, KmsDenied, Wrapped
from shared.crypto.secret import Secret
from tests.fixtures.control_plane import Plane

ORGANISATION = "org_keys"


class CountingKms:
    """The local one; it counts, remembers what it gave by nothing but its value, and can be told to deny."""

    def __init__(self, path: Path) -> None:
        self._real = LocalKms(path)
        self.unwrapped = 0
        self.denies = False
        self.given = b""

    async def wrap(self, key: Secret, context: Context) -> Wrapped:
        return await self._real.wrap(key, context)

    async def unwrap(self, wrapped: Wrapped, context: Context) -> Secret:
        self.unwrapped += 1
        if self.denies:
            raise KmsDenied("disabled")
        key = await self._real.unwrap(wrapped, context)
        self.given = key.reveal()
        return key


@pytest.fixture
def kms(tmp_path: Path) -> CountingKms:
    return CountingKms(tmp_path / "counted.json")


async def use(keys: DataKeys, database: Database) -> None:
    async with database.instance() as connection:
        await keys.seal(connection, ORGANISATION, "column", "id", Secret(b"x"))


async def test_who_need_a_key_at_once_ask_for_it_once(bare_plane: Plane, kms: CountingKms) -> None:
    clock, database = FakeClock(), bare_plane.database
    keys = DataKeys(kms, clock)
    async with database.instance() as connection:
        await keys.make(connection, ORGANISATION)
    for times in (1, 2):
        await asyncio.gather(*(use(keys, database) for _ in range(5)))
        assert kms.unwrapped == times
        clock.advance(CACHE_S)


async def test_a_key_that_is_denied_leaves_the_memory_when_its_time_is_over(
    bare_plane: Plane, kms: CountingKms
) -> None:
    clock, database = FakeClock(), bare_plane.database
    keys = DataKeys(kms, clock)
    async with database.instance() as connection:
        await keys.make(connection, ORGANISATION)
    await use(keys, database)
    kms.denies = True
    await use(keys, database)
    clock.advance(CACHE_S)
    with pytest.raises(Unavailable):
        await use(keys, database)
    gc.collect()
    alive = [found for found in gc.get_referrers(Secret) if isinstance(found, Secret)]
    assert kms.given not in [secret.reveal() for secret in alive]
