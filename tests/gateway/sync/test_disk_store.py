"""The disk store when the disk is not well: torn, overwritten, truncated, gone, read-only, full; and many at once."""

import asyncio
import os
import random
import shutil
import sqlite3
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.sync.disk_store import SETTLED_S, DiskStore
from gateway.sync.store import SWEEP_AFTER_S, StoreUnavailable
from shared.clock import FakeClock
from tests.fixtures.disk import small_disk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "configuration.sqlite"


def read(path: Path) -> bytes:
    return path.read_bytes()


def overwrite(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def remove(path: Path) -> None:
    path.unlink()


async def filled(path: Path, clock: FakeClock) -> DiskStore:
    store = DiskStore(path, clock)
    await store.put({f"value:{number}": bytes((number % 256,)) * 2000 for number in range(100)})
    assert await store.move(None, b"pointer")
    return store


async def test_what_was_written_is_there_for_the_next_process(path: Path, clock: FakeClock) -> None:
    store = await filled(path, clock)
    await store.close()
    again = DiskStore(path, clock)
    assert await again.pointer() == b"pointer"
    assert (await again.get(["value:7"])) == {"value:7": b"\7" * 2000}
    await again.close()


async def test_only_its_user_can_read_it(path: Path, clock: FakeClock) -> None:
    """GHS/1 8.1."""
    store = await filled(path, clock)
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    await store.close()


async def test_commits_are_synchronous(path: Path, clock: FakeClock) -> None:
    store = await filled(path, clock)
    assert store._connection is not None
    assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    await store.close()


async def settle(store: DiskStore, clock: FakeClock) -> bytes | None:
    """Ask it until it has no need to look any more."""
    await store.pointer()
    clock.advance(SETTLED_S)
    return await store.pointer()


async def test_nobody_is_asked_for_a_pointer_that_cannot_have_changed(path: Path, clock: FakeClock) -> None:
    store = await filled(path, clock)
    asked = 0
    transact = store._transact

    def counted(begin: str, act: Any) -> Any:
        nonlocal asked
        asked += 1
        return transact(begin, act)

    store._transact = counted  # type: ignore[method-assign]
    for turn in range(1, 4):
        clock.advance(SETTLED_S / 4)
        assert (await store.pointer(), asked) == (b"pointer", turn), "two commits may have come in one step of the time"
    clock.advance(SETTLED_S)
    for _ in range(3):
        assert (await store.pointer(), asked) == (b"pointer", 4)
        clock.advance(1.0)
    await store.close()


@settings(deadline=None)
@given(steps=st.lists(st.sampled_from(["mine", "another's", "read", "settle", "checkpoint", "remove"]), max_size=12))
async def test_what_is_remembered_is_what_is_there(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    path, clock = tmp_path_factory.mktemp("store") / "configuration.sqlite", FakeClock()
    store, other = DiskStore(path, clock), DiskStore(path, clock)
    pointer: bytes | None = None
    for number, step in enumerate(steps):
        if step in ("mine", "another's"):
            writer = store if step == "mine" else other
            assert await writer.move(await writer.pointer(), b"%d" % number)
            pointer = b"%d" % number
        elif step == "checkpoint" and other._connection is not None:
            other._connection.execute("PRAGMA wal_checkpoint(RESTART)")
        elif step == "remove":
            for file in path.parent.iterdir():
                file.unlink()
            pointer = None
        elif step == "settle":
            assert await settle(store, clock) == pointer
        assert await store.pointer() == pointer
    await store.close()
    await other.close()


async def test_a_writer_killed_in_the_middle_leaves_the_last_commit(path: Path, clock: FakeClock) -> None:
    """A process is killed while it writes pointer after pointer; what it said it had written is there."""
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from gateway.sync.disk_store import SETTLED_S, DiskStore\n"
        "from shared.clock import SystemClock\n"
        "async def main():\n"
        "    store, before = DiskStore(Path(sys.argv[1]), SystemClock()), None\n"
        "    for number in range(1_000_000):\n"
        "        pointer = str(number).encode()\n"
        "        await store.put({f'value:{number}': pointer * 100})\n"
        "        assert await store.move(before, pointer)\n"
        "        before = pointer\n"
        "        print(number, flush=True)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    lines = [await process.stdout.readline() for _ in range(20)]
    process.kill()
    said = int((b"".join(lines) + await process.stdout.read()).splitlines()[-1])
    await process.wait()
    store = DiskStore(path, clock)
    there = int(await store.pointer() or b"-1")
    assert said <= there <= said + 1
    assert (await store.get([f"value:{there}"])) == {f"value:{there}": str(there).encode() * 100}
    await store.close()


@pytest.mark.parametrize("damage", ["overwritten", "header", "truncated", "emptied", "text"])
async def test_a_damaged_file_is_moved_aside_and_an_empty_one_takes_its_place(
    path: Path, clock: FakeClock, damage: str
) -> None:
    store = await filled(path, clock)
    await store.close()
    data = read(path)
    dice = random.Random(4)
    overwrite(
        path,
        {
            "overwritten": data[:4096] + dice.randbytes(len(data) - 4096),
            "header": dice.randbytes(4096) + data[4096:],
            "truncated": data[: len(data) // 2],
            "emptied": b"",
            "text": b"this was never a database, " * 1000,
        }[damage],
    )
    again = DiskStore(path, clock)
    with capture_logs() as logs:
        if damage != "emptied":
            with pytest.raises(StoreUnavailable):
                await again.pointer()
        assert await again.pointer() is None
    assert await again.move(None, b"new")
    assert await again.pointer() == b"new"
    events = [entry["event"] for entry in logs]
    assert events == ([] if damage == "emptied" else ["disk_store_damaged"])
    assert path.with_name(path.name + ".damaged").exists() == (damage != "emptied")
    await again.close()


@pytest.mark.parametrize("bit", [0x01, 0x80])
async def test_one_changed_bit_in_what_the_file_says_of_its_tables_is_noticed(
    path: Path, clock: FakeClock, bit: int
) -> None:
    """Of a page that is sound but for a letter SQLite tells no damage: a column is called otherwise, a text is none."""
    await (await filled(path, clock)).close()
    data = read(path)
    clock.advance(SWEEP_AFTER_S + 1)
    for at in range(data.index(b"CREATE TABLE"), 4096, 11):
        overwrite(path, data[:at] + bytes((data[at] ^ bit,)) + data[at + 1 :])
        store = DiskStore(path, clock)
        for last in (False, True):
            try:
                await store.put({"value:new": b"new"})
                assert (await store.get(["value:new"])) == {"value:new": b"new"}
                assert await store.move(await store.pointer(), b"%d" % at)
                await store.sweep(["value:new"])
                break
            except StoreUnavailable:
                assert not last, f"byte {at} is never got over"
        assert await store.pointer() == b"%d" % at
        await store.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE touched SET name = CAST(x'76ff' AS TEXT) WHERE name = 'value:7'",
        "UPDATE piece SET name = CAST(x'76ff' AS TEXT) WHERE name = 'value:7'",
        "UPDATE piece SET body = 'no bytes' WHERE name = 'value:7'",
        "UPDATE pointer SET body = 'no bytes'",
    ],
)
async def test_a_value_that_nobody_wrote_keeps_no_store_from_being_filled_again(
    path: Path, clock: FakeClock, damage: str
) -> None:
    await (await filled(path, clock)).close()
    with sqlite3.connect(path) as db:
        db.execute(damage)
    db.close()
    clock.advance(SWEEP_AFTER_S + 1)
    store = DiskStore(path, clock)
    for last in (False, True):
        try:
            assert (await store.get(["value:7"])).get("value:7", b"\7" * 2000) == b"\7" * 2000
            assert await store.pointer() in (b"pointer", None)
            await store.put({"value:7": b"\7" * 2000})
            assert await store.move(await store.pointer(), b"new")
            await store.sweep(["value:7"])
            break
        except StoreUnavailable:
            assert not last
    assert await store.get(["value:7"]) == {"value:7": b"\7" * 2000}
    await store.close()


async def test_damage_under_an_open_store_is_noticed_by_everyone_who_has_it_open(path: Path, clock: FakeClock) -> None:
    one = await filled(path, clock)
    two = DiskStore(path, clock)
    assert await two.pointer() == b"pointer"
    await one.close()
    await two.close()
    overwrite(path, b"x" * 8192)
    one, two = DiskStore(path, clock), DiskStore(path, clock)
    with pytest.raises(StoreUnavailable):
        await one.pointer()
    assert await one.move(None, b"new")
    assert await two.pointer() == b"new"
    remove(path)
    assert await two.pointer() is None, "the file is another one now"
    await one.close()
    await two.close()


async def test_who_notices_damage_late_does_not_move_the_new_file_aside(path: Path, clock: FakeClock) -> None:
    late = await filled(path, clock)
    early = DiskStore(path, clock)
    remove(path)
    assert await early.move(None, b"new")
    late._move_aside()
    assert await early.pointer() == b"new"
    assert await late.pointer() == b"new"
    await early.close()
    await late.close()


async def test_the_folder_missing_is_unavailable(tmp_path: Path, clock: FakeClock) -> None:
    store = DiskStore(tmp_path / "nowhere" / "configuration.sqlite", clock)
    with pytest.raises(StoreUnavailable):
        await store.pointer()
    await store.close()


async def test_read_only_it_can_be_read_and_not_written(path: Path, clock: FakeClock) -> None:
    store = await filled(path, clock)
    assert store._connection is not None
    store._connection.execute("PRAGMA query_only = ON")
    assert await store.pointer() == b"pointer"
    with pytest.raises(StoreUnavailable, match="readonly"):
        await store.put({"value:new": b"1"})
    await store.close()


async def test_full_it_refuses_and_keeps_what_it_has(path: Path, clock: FakeClock) -> None:
    store = await filled(path, clock)
    assert store._connection is not None
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreUnavailable, match="full"):
        await store.put({"value:big": os.urandom(1_000_000)})
    assert await store.pointer() == b"pointer"
    assert await store.get(["value:big"]) == {}
    await store.close()


async def test_a_start_on_a_full_disk_reads_what_the_last_one_left(tmp_path: Path, clock: FakeClock) -> None:
    """Law 3: who closed the file last took its log away, and there is no room to begin another."""
    with small_disk(tmp_path / "disk", 4 * 1024 * 1024) as disk:
        path = disk.path / "configuration.sqlite"
        await (await filled(path, clock)).close()
        elses = disk.fill()
        stores = [DiskStore(path, clock) for _ in range(2)]
        for store in stores:
            for _ in range(2):
                assert await store.pointer() == b"pointer"
                assert await store.get(["value:7"]) == {"value:7": b"\7" * 2000}
            with pytest.raises(StoreUnavailable):
                await store.move(b"pointer", b"next")
        elses.unlink()
        assert await stores[0].move(b"pointer", b"next")
        for store in stores:
            assert await store.pointer() == b"next"
            await store.close()


@pytest.mark.parametrize("in_order", [True, False])
async def test_a_start_on_a_disk_that_takes_nothing_reads_what_the_last_one_left(
    path: Path, tmp_path: Path, clock: FakeClock, in_order: bool
) -> None:
    """As a worker is replaced after its disk was remounted read-only; the last one ended in order, or did not."""
    with small_disk(tmp_path / "disk", 4 * 1024 * 1024) as disk:
        store = await filled(path, clock)
        if in_order:
            await store.close()
        for file in path.parent.glob(f"{path.name}*"):
            shutil.copy(file, disk.path)
        disk.read_only(True)
        again = DiskStore(disk.path / path.name, clock)
        for _ in range(2):
            assert await again.pointer() == b"pointer"
            assert await again.get(["value:7"]) == {"value:7": b"\7" * 2000}
        with pytest.raises(StoreUnavailable):
            await again.move(b"pointer", b"next")
        await again.close()
        await store.close()


async def test_several_processes_worth_of_stores_read_while_one_writes(path: Path, clock: FakeClock) -> None:
    writer, *readers = [DiskStore(path, clock) for _ in range(4)]

    async def write() -> None:
        before = None
        for number in range(50):
            pointer = str(number).encode()
            await writer.put({f"value:{number}": pointer})
            assert await writer.move(before, pointer)
            before = pointer

    async def read(store: DiskStore) -> None:
        last = -1
        while last < 49:
            pointer = int(await store.pointer() or b"-1")
            assert pointer >= last
            last = pointer
            if pointer >= 0:
                assert await store.get([f"value:{pointer}"]) == {f"value:{pointer}": str(pointer).encode()}

    async with asyncio.timeout(60):
        await asyncio.gather(write(), *map(read, readers))
    for store in (writer, *readers):
        await store.close()


def test_sqlite_is_built_for_threads() -> None:
    """One connection is used from several threads, one at a time."""
    assert sqlite3.threadsafety >= 1
