"""What a start waits for: a worker's parts are loaded before the fork, the agent's in the agent, authorities once."""

import asyncio
import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.serialization import Encoding

from tests.fixtures.certificates import Authority

REPOSITORY = Path(__file__).parents[2]
SCRIPT = """
import sys
import gateway.__main__
print(*sorted(name for name in sys.argv[1:] if name in sys.modules))
"""


def loaded(*names: str) -> list[str]:
    """Which of the modules are there when a node's processes are about to be forked."""
    command = [sys.executable, "-c", SCRIPT, *names]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split()


def test_workers_share_what_they_all_need() -> None:
    wanted = ["aiohttp.web", "gateway.roles.worker", "gateway.view.compile", "redis.asyncio"]
    assert loaded(*wanted) == wanted


def test_what_the_agent_alone_needs_keeps_no_worker_waiting() -> None:
    assert loaded("gateway.roles.agent", "gateway.sync.agent", "gateway.telemetry.outbox", "prometheus_client") == []


EDITS = """
import asyncio, gc, sys
from pathlib import Path
from gateway.roles.worker import _applier
from gateway.sync import reports
from gateway.view.holder import ViewHolder
from gateway.view.view import Caller, ConfigView
from shared.clock import FakeClock
from tests.fixtures.house import House
from tests.gateway.sync.test_follower import Worker, put
from gateway.sync.store import MemoryStore

async def main():
    house, views, searches = House(FakeClock()), ViewHolder(), []
    state_dir = Path(sys.argv[1])
    reports.clear(state_dir)
    store = MemoryStore(house.clock, "disk")
    follower = Worker.new(house, [store], _applier(reports.Teller(state_dir), "worker-0", views))
    await put(store, house)
    await follower.turn()
    for number in range(20):
        house.configs["default"] = {"virtual_key": "simulator", "override_params": {"seed": number}}
        await put(store, house)
        house.clock.advance(2)
        gc.collect()
        gc.callbacks.append(lambda phase, info: searches.append(phase))
        await follower.turn()
        gc.callbacks.clear()
    gc.disable()
    alive = gc.get_objects()
    print(views.current.sequence, len(searches), *(sum(type(o) is t for o in alive) for t in (ConfigView, Caller)))

asyncio.run(main())
"""


def test_a_later_view_is_applied_without_a_search_for_garbage_and_the_one_before_is_gone(tmp_path: Path) -> None:
    """The search would hold every call up. Memory stays as it is, since views are freed as soon as nobody has them."""
    command = [sys.executable, "-c", EDITS, str(tmp_path)]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ended.stdout.split("\n")[-2:] == ["21 0 1 1", ""], ended.stderr


AUTHORITIES = """
import asyncio, os, sys
import gateway.__main__
from aiohttp import connector
from gateway.sync.control_plane_client import CallFailed, ControlPlaneClient
from shared.clock import FakeClock
from tests.fixtures.house import new_node_keys

async def main():
    client = ControlPlaneClient([sys.argv[1]], new_node_keys(), FakeClock())
    try:
        return (await client.post("/", b"")).body.decode()
    except CallFailed as failure:
        return failure.code
    finally:
        await client.close()

print(connector._SSL_CONTEXT_VERIFIED.cert_store_stats()["x509"], os.environ.get("SSL_CERT_FILE"), asyncio.run(main()))
"""


async def asked_of_a_control_plane(url: str, environment: dict[str, str]) -> list[str]:
    """How many authorities aiohttp read by itself, the operator's setting afterwards, and what came back."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", AUTHORITIES, url, cwd=REPOSITORY, env=environment, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    return printed.decode().split()


@pytest.fixture
def authority() -> Authority:
    return Authority.make()


async def test_a_control_plane_is_believed_by_the_system_s_authorities_and_these_are_read_for_nobody_else(
    authority: Authority, tmp_path: Path
) -> None:
    cert_file, key_file, trusted = (tmp_path / name for name in ("cert.pem", "key.pem", "authorities.pem"))
    authority.issue(cert_file, key_file)
    trusted.write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(cert_file, key_file)

    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=b"told")

    application = web.Application()
    application.router.add_post("/", handle)
    server = TestServer(application)
    await server.start_server(ssl=tls)
    url = f"https://localhost:{server.port}"
    environment = {name: value for name, value in os.environ.items() if name != "SSL_CERT_FILE"}
    try:
        theirs = {**environment, "SSL_CERT_FILE": str(trusted)}
        assert await asked_of_a_control_plane(url, theirs) == ["0", str(trusted), "told"]
        assert await asked_of_a_control_plane(url, environment) == ["0", "None", "unreachable"]
    finally:
        await server.close()
