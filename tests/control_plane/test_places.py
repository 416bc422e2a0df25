"""Places: as many as there are, and none of them one organisation's alone."""

import asyncio
from contextlib import suppress

import pytest

from control_plane.errors import Unavailable
from control_plane.places import Places

HANG_S = 60.0
"""A guard: each waits for events only."""
BUSY = Unavailable("busy")


class Work:
    """What has a place until it is told to end."""

    def __init__(self, places: Places, organisation: str) -> None:
        self._places = places
        self._organisation = organisation
        self._end = asyncio.Event()
        self.begun = False
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with self._places.place(self._organisation, BUSY):
            self.begun = True
            await self._end.wait()

    async def end(self) -> None:
        self._end.set()
        await self.task


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def begin(places: Places, *organisations: str) -> list[Work]:
    works = [Work(places, organisation) for organisation in organisations]
    await settle()
    return works


async def test_one_organisation_leaves_room_for_others() -> None:
    places = Places(4, each_max=3, wait_s_max=HANG_S)
    many = await begin(places, *["a"] * 50)
    assert sum(work.begun for work in many) == 3
    (other,) = await begin(places, "b")
    assert other.begun
    await asyncio.gather(other.end(), *(work.end() for work in many))


async def test_who_comes_next_is_behind_a_few_of_each() -> None:
    places = Places(4, each_max=3, wait_s_max=HANG_S)
    of_a, of_b = await begin(places, *["a"] * 50), await begin(places, *["b"] * 50)
    (of_c,) = await begin(places, "c")
    assert not of_c.begun
    ended = 0
    while not of_c.begun:
        await next(work for work in of_a + of_b if work.begun and not work.task.done()).end()
        await settle()
        ended += 1
    assert ended <= 3
    await asyncio.gather(of_c.end(), *(work.end() for work in of_a + of_b))


async def test_no_place_is_lost_with_who_waits_in_vain_or_leaves() -> None:
    places = Places(1, each_max=1, wait_s_max=0.0)
    (first,) = await begin(places, "a")
    for organisation in ("a", "b"):
        with pytest.raises(Unavailable):
            await Work(places, organisation).task
    patient = Places(1, each_max=1, wait_s_max=HANG_S)
    held, *waiting = await begin(patient, "a", "a", "b")
    for work in (*waiting, held):
        work.task.cancel()
        with suppress(asyncio.CancelledError):
            await work.task
    for organisation in ("a", "b"):
        (work,) = await begin(patient, organisation)
        assert work.begun
        await work.end()
    await first.end()
