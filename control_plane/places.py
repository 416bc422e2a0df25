"""Places for work that few may do at once, so given out that no organisation keeps the others from it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from control_plane.errors import Unavailable


@dataclass(slots=True)
class _Own:
    """An organisation's places."""

    room: asyncio.Semaphore
    users: int = 0
    """Who has one or waits."""


class Places:
    """Those who wait are let in in turn. Of one organisation no more stand in that line than may have a place, so that
    whoever comes next is behind a few of each, whatever one of them asks for.
    """

    def __init__(self, count: int, *, each_max: int, wait_s_max: float) -> None:
        """`each_max`: of one organisation."""
        self._room = asyncio.Semaphore(count)
        self._each_max = each_max
        self._wait_s_max = wait_s_max
        self._own: dict[str, _Own] = {}

    @asynccontextmanager
    async def place(self, organisation: str, refusal: Unavailable) -> AsyncIterator[None]:
        """Raises `refusal` if none is free in time."""
        own = self._own.setdefault(organisation, _Own(asyncio.Semaphore(self._each_max)))
        own.users += 1
        try:
            await self._enter(own, refusal)
            try:
                yield
            finally:
                self._room.release()
                own.room.release()
        finally:
            own.users -= 1
            if not own.users:
                del self._own[organisation]

    async def _enter(self, own: _Own, refusal: Unavailable) -> None:
        try:
            async with asyncio.timeout(self._wait_s_max):
                await own.room.acquire()
                try:
                    await self._room.acquire()
                except BaseException:
                    own.room.release()
                    raise
        except TimeoutError:
            raise refusal from None
