"""Parts die, stand still and come back while calls run: what must go on goes on, and what must end ends."""

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from gateway.sync import reports
from gateway.telemetry import slots
from tests.fixtures.disk import small_disk
from tests.fixtures.processes import Process, children_of, free_ports, is_running
from tests.fixtures.stack import GATEWAY_ID, Stack, chat, running_stack
from tests.fixtures.wire import Broken, Wire, look, request
from tests.system.load import CALLERS, under_load
from tests.system.test_callers_mistakes import assert_refused

CHAT = "/v1/chat/completions"
HANG_S = 20.0


async def test_killed_worker_takes_only_its_own_calls_with_it(fresh: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    workers = fresh.workers()
    victim = workers["worker-0"]
    async with under_load(fresh) as load:
        await load.reach(200)
        its_own = load.connections_by_worker()[victim]
        os.kill(victim, signal.SIGKILL)
        await load.reach(400)
        await fresh.wait_until(lambda: fresh.workers().get("worker-0", victim) != victim)
        await load.reach(200)
    broken = sorted(outcome.connection for outcome in load.failures)
    with capsys.disabled():
        print(f"\n{len(load.outcomes)} calls, {len(broken)} failed, {len(its_own)} connections on the killed worker")
    assert len(load.outcomes) >= 500
    assert 0 < len(its_own) < CALLERS
    assert broken == sorted(its_own)  # Each broke once; no call on the other worker, and none that came later, failed.
    assert [outcome.status for outcome in load.failures] == [None] * len(broken)
    assert fresh.workers()["worker-1"] == workers["worker-1"]
    await fresh.wait_for_log("child_ended", child="worker-0", pid=victim, code=-signal.SIGKILL)
    served = await fresh.readiness()
    assert set(served) == set(fresh.workers().values())
    assert {reply.json()["sequence"] for reply in served.values()} == {fresh.sequence}


async def test_connection_that_waits_on_a_killed_worker_is_served_by_its_successor(fresh: Stack) -> None:
    """The supervisor keeps the sockets, so what the kernel has queued for a worker is not lost with it."""
    victim = fresh.workers()["worker-0"]
    os.kill(victim, signal.SIGSTOP)  # It accepts nobody, so connections queue up.
    queued = [await Wire.open(fresh.port) for _ in range(20)]
    for wire in queued:
        await wire.send(request("POST", CHAT, fresh.authorization, chat()))
    os.kill(victim, signal.SIGKILL)
    replies = [await wire.reply() for wire in queued]
    owners = {fresh.owner_of(wire) for wire in queued}
    for wire in queued:
        await wire.close()
    assert [reply.status for reply in replies] == [200] * 20
    assert owners == set(fresh.workers().values())


async def test_connections_beyond_a_hundred_wait_for_workers_that_are_busy(fresh: Stack) -> None:
    """The kernel drops who finds the queue full, and he tries again a second later, and then two."""
    workers = fresh.workers().values()
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    try:
        async with asyncio.timeout(HANG_S):
            queued = await asyncio.gather(*(Wire.open(fresh.port) for _ in range(400)))
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGCONT)
    await queued[-1].send(request("POST", CHAT, fresh.authorization, chat()))
    assert (await queued[-1].reply()).status == 200
    for wire in queued:
        await wire.close()


async def test_killed_agent_is_replaced_and_edits_arrive(fresh: Stack) -> None:
    victim = fresh.agent
    async with under_load(fresh) as load:
        os.kill(victim, signal.SIGKILL)
        fresh.workspace["model_aliases"]["late"] = {"virtual_key": "simulator", "model": "sim-chat"}
        await asyncio.to_thread(fresh.publish)
        await fresh.wait_for_sequence(fresh.sequence)
    assert load.failures == []
    assert fresh.agent != victim
    assert (await fresh.call(model="late")).status == 200


async def test_workers_end_with_a_killed_supervisor(fresh: Stack) -> None:
    assert fresh.gateway is not None
    children = children_of(fresh.gateway.pid)
    assert len(children) == 3
    fresh.gateway.kill()
    await fresh.wait_until(lambda: not any(map(is_running, children)))
    with pytest.raises(ConnectionRefusedError):
        await Wire.open(fresh.port)


@asynccontextmanager
async def half_asked(stack: Stack) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """A call that runs, marked by its worker, until the rest of it is sent; what sends it and tells the status."""
    asked = request("POST", CHAT, stack.authorization, chat())
    async with await Wire.open(stack.port) as wire:

        async def rest() -> int:
            await wire.send(asked[-10:])
            return (await wire.reply()).status

        await wire.send(asked[:-10])
        await stack.wait_until(lambda: slots.in_use(stack.state_dir) == 1)
        yield rest


async def test_gateway_begun_after_a_killed_supervisor_waits_for_the_calls_that_still_run(fresh: Stack) -> None:
    """Its workers would have the others' tables and files: records would be made twice, or be lost."""
    assert fresh.gateway is not None
    async with half_asked(fresh) as rest:
        fresh.gateway.kill()
        fresh.start_gateway()
        await fresh.wait_for_log("state_folder_held")
        assert await rest() == 200
    await fresh.wait_for_sequence(fresh.sequence)
    assert (await fresh.call()).status == 200
    assert fresh.logs("requests_aborted") == []


async def test_second_gateway_of_a_folder_waits_for_the_end_of_the_first(fresh: Stack) -> None:
    first = fresh.gateway
    assert first is not None
    async with half_asked(fresh) as rest:
        (fresh.port,) = free_ports(1)
        fresh.start_gateway()
        await fresh.wait_for_log("state_folder_held")
        first.terminate()
        assert await rest() == 200
    assert await asyncio.to_thread(first.wait) == 0
    await fresh.wait_for_sequence(fresh.sequence)
    assert (await fresh.call()).status == 200
    assert fresh.logs("requests_aborted") == []


async def test_killed_redis_costs_no_call(fresh: Stack) -> None:
    async with under_load(fresh, "sim-chat") as load:
        fresh.hold_redis()
        await fresh.wait_for_log("sync_store_away", store="redis")
        await load.reach(500)
        await fresh.release_redis()
        await fresh.wait_for_log("sync_store_back", store="redis")
        await load.reach(200)
    assert load.failures == []


async def test_redis_that_stands_still_costs_no_call(fresh: Stack) -> None:
    async with under_load(fresh, "sim-chat") as load:
        with fresh.frozen(fresh.redis):
            await fresh.wait_for_log("sync_store_away", store="redis")
            await load.reach(500)
        await fresh.wait_for_log("sync_store_back", store="redis")
        await load.reach(200)
    assert load.failures == []


async def test_edit_made_while_redis_is_away_is_live_and_reaches_redis_later(fresh: Stack) -> None:
    fresh.hold_redis()
    fresh.workspace["model_aliases"]["late"] = {"virtual_key": "simulator", "model": "sim-chat"}
    await asyncio.to_thread(fresh.publish)
    await fresh.wait_for_sequence(fresh.sequence)
    assert (await fresh.call(model="late")).status == 200
    await fresh.release_redis()
    await fresh.wait_until_in_redis(fresh.sequence)


async def test_emptied_redis_is_filled_again(fresh: Stack) -> None:
    async with Redis(port=fresh.redis_port, password=fresh.redis_password) as client:
        held = await client.dbsize()
        await client.flushall()
        await fresh.wait_until_in_redis(fresh.sequence)
        assert await client.dbsize() >= held - 1  # The list of earlier pointers begins anew.
        assert await client.exists(f"gh:{{{GATEWAY_ID}}}:pointer")


async def test_restart_without_redis_and_without_the_file_serves_from_disk(fresh: Stack) -> None:
    fresh.hold_redis()
    fresh.snapshot.unlink()
    await fresh.restart_gateway()
    assert (await fresh.call()).status == 200
    assert {reply.json()["sequence"] for reply in (await fresh.readiness()).values()} == {fresh.sequence}


async def test_restart_without_redis_on_a_full_disk_serves_from_disk(fresh: Stack) -> None:
    fresh.hold_redis()
    fresh.stop_gateway()
    fresh.snapshot.unlink()
    kept = fresh.state_dir.rename(fresh.folder / "kept")
    with small_disk(fresh.state_dir, 8 * 1024 * 1024) as disk:
        shutil.copytree(kept, disk.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("ballast"))
        disk.fill()
        fresh.start_gateway()
        await fresh.wait_for_sequence(fresh.sequence)
        assert (await fresh.call()).status == 200
        assert fresh.logs("slots_not_kept")
        fresh.stop_gateway()


async def test_restart_on_a_disk_that_turned_read_only_serves_what_it_holds(fresh: Stack) -> None:
    """As a file system does by itself once something is wrong with its disk."""
    fresh.hold_redis()
    fresh.stop_gateway()
    fresh.snapshot.unlink()
    kept = fresh.state_dir.rename(fresh.folder / "kept")
    with small_disk(fresh.state_dir, 64 * 1024 * 1024) as disk:
        shutil.copytree(kept, disk.path, dirs_exist_ok=True)
        disk.read_only(True)
        fresh.start_gateway()
        await fresh.wait_for_sequence(fresh.sequence)
        assert (await fresh.call()).status == 200
        before = reports.signature(disk.path)
        disk.read_only(False)
        await fresh.wait_until(lambda: reports.signature(disk.path) != before)
        fresh.stop_gateway()


async def test_restart_with_a_wiped_disk_serves_from_redis_and_writes_the_disk_again(fresh: Stack) -> None:
    await fresh.wait_until_in_redis(fresh.sequence)
    fresh.stop_gateway()
    fresh.snapshot.unlink()
    for file in fresh.disk_copy:
        file.unlink()
    fresh.start_gateway()
    await fresh.wait_for_sequence(fresh.sequence)
    assert (await fresh.call()).status == 200
    await fresh.wait_for_log("sync_stored", after=len(fresh.logs("sync_stored")) - 1, store="disk")
    fresh.hold_redis()
    await fresh.restart_gateway()
    assert (await fresh.call()).status == 200


async def test_start_with_damaged_disk_copy_serves_from_redis(fresh: Stack) -> None:
    await fresh.wait_until_in_redis(fresh.sequence)
    fresh.stop_gateway()
    fresh.snapshot.unlink()
    for file in fresh.disk_copy:
        file.write_bytes(os.urandom(max(4_096, file.stat().st_size)))
    fresh.start_gateway()
    await fresh.wait_for_sequence(fresh.sequence)
    assert (await fresh.call()).status == 200
    assert fresh.logs("disk_store_damaged")


async def test_start_with_nothing_says_not_ready_until_there_is_something(fresh: Stack) -> None:
    fresh.stop_gateway()
    fresh.hold_redis()
    for file in (*fresh.disk_copy, fresh.snapshot):
        file.unlink()
    fresh.start_gateway()
    await fresh.wait_until(lambda: answers(fresh))
    assert (await look(fresh.port, "/livez")).status == 200
    readiness = await look(fresh.port, "/readyz")
    assert (readiness.status, readiness.json()["code"]) == (503, "no_configuration")
    refusal = await fresh.call()
    assert_refused(refusal, 503, "not_ready")
    assert int(refusal.headers["retry-after"]) > 0
    fresh.publish()
    await fresh.wait_for_sequence(fresh.sequence)
    assert (await fresh.call()).status == 200


async def answers(stack: Stack) -> bool:
    try:
        return (await look(stack.port, "/livez")).status == 200
    except (Broken, OSError):
        return False


@pytest.fixture
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """It drains for ever: an idle connection, or a call that comes too late, must not be what it waits for."""
    with running_stack(tmp_path_factory.mktemp("patient"), drain_s=3_600) as running:
        yield running


@pytest.fixture
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """It hardly drains."""
    with running_stack(tmp_path_factory.mktemp("hurried"), drain_s=0.5) as running:
        yield running


async def test_stop_lets_running_calls_end_and_refuses_new_ones_at_once(patient: Stack) -> None:
    assert patient.gateway is not None
    children = children_of(patient.gateway.pid)
    async with (
        patient.one_connection_per_worker() as idle,
        await Wire.open(patient.port) as plain,
        await Wire.open(patient.port) as stream,
    ):
        await plain.send(request("POST", CHAT, patient.authorization, chat(model="sim-slow-2000")))
        await stream.send(request("POST", CHAT, patient.authorization, chat(model="sim-drip-150", stream=True)))
        await patient.wait_until(lambda: both_have_begun(patient))
        patient.gateway.terminate()
        assert [await wire.ended() for wire in idle.values()] == [True, True]
        with pytest.raises(ConnectionRefusedError):
            await Wire.open(patient.port)
        assert patient.gateway.running
        assert (await plain.reply()).status == 200
        assert (await stream.reply()).events[-1] == "[DONE]"
    assert await asyncio.to_thread(patient.gateway.wait) == 0
    assert not any(map(is_running, children))
    assert await patient.last_call() == 2
    assert port_is_free(patient.port)


async def both_have_begun(stack: Stack) -> bool:
    return len([row for row in await stack.simulator_calls(0) if row["model"] is not None]) == 2


async def test_stop_does_not_wait_longer_than_it_may(hurried: Stack) -> None:
    assert hurried.gateway is not None
    children = children_of(hurried.gateway.pid)
    endless = chat(model="sim-drip-100-long-5000", stream=True)
    async with await Wire.open(hurried.port) as wire:
        await wire.send(request("POST", CHAT, hurried.authorization, endless))
        assert (await wire.head()).status == 200
        assert await asyncio.to_thread(hurried.stop_gateway) == 0
    assert not any(map(is_running, children))
    assert await hurried.how_it_ended(1, "client_left") == "client_left"


async def test_second_gateway_on_the_same_port_says_so_and_ends(stack: Stack) -> None:
    log = stack.folder / "second.log"
    second = Process(
        stack.gateway_command,
        {**stack.gateway_environment(), "GATEHOUSE_STATE_DIR": str(stack.folder / "second")},
        log,
    )
    assert await asyncio.to_thread(second.wait) == 1
    assert log.read_text().startswith("the gateway cannot start: ")
    assert "Traceback" not in log.read_text()
    assert (await stack.call()).status == 200


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
    return True
