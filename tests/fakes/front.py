"""The public port with everything behind it scripted: on a loopback socket, or one caller's lane in memory."""

import asyncio
import itertools
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from gateway.pipeline.attempt import Attempts, Waits
from gateway.pipeline.breaker import Breakers
from gateway.pipeline.explain import Explainer
from gateway.pipeline.pipeline import Pipeline
from gateway.serve.admin import AdminApi
from gateway.serve.http import ColdFront, ColdServer
from gateway.serve.lane import Lane, Limits
from gateway.serve.probes import Probes
from gateway.serve.server import Server
from gateway.upstream.messages import Deadlines
from gateway.view.holder import ViewHolder
from shared.clock import Clock, SystemClock
from tests.fakes.cache import no_cache, not_idempotent
from tests.fakes.records import FakeRecords
from tests.fakes.transport import MemoryTransport
from tests.fakes.upstream import FakeClient, Step
from tests.fakes.world import World
from tests.fixtures.wire import Reply, Wire, request

BODY_BYTES_MAX = 1_000
CHAT = "/v1/chat/completions"
BODY = {"model": "sim-chat"}
ADMIN_URL = "https://control.test:8443"
LIMITS = Limits(BODY_BYTES_MAX, body_wait_s=20.0, running_requests_max=100, sweep_s=0.02)


class _Caller(MemoryTransport):
    """To whom nothing goes out ahead of a record that waits."""

    def __init__(self, lane: Lane, records: FakeRecords) -> None:
        self._records = records
        super().__init__(lane)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self._records.waiting
        super().write(data)


@dataclass(eq=False)
class Front:
    server: Server
    client: Any
    auth: dict[str, str]
    records: FakeRecords

    def caller(self) -> MemoryTransport:
        """A caller whose connection is in memory."""
        return _Caller(self.server(), self.records)

    @property
    def is_empty(self) -> bool:
        """Nobody is connected, and nothing runs."""
        return not self.server._lanes and self.server.running == 0


def front(
    *script: Step,
    world: World | None = None,
    client: Any = None,
    ready: bool = True,
    forwards: bool = False,
    clock: Clock | None = None,
    **limits: Any,
) -> Front:
    """`limits` are those of `LIMITS` that shall be others."""
    world = world or World()
    client = client or FakeClient(*script)
    clock = clock or SystemClock()
    records = FakeRecords(clock)
    views, numbers = ViewHolder(), itertools.count(1)
    if ready:
        views.swap(world.view())

    def new_id() -> str:
        return f"lg_{next(numbers):032x}"

    chance = random.Random(7)
    attempts = Attempts(
        client,
        Waits(Deadlines(), Deadlines()),
        100_000,
        clock,
        breakers=Breakers(),
        cached=no_cache(clock),
        chance=chance,
        sleep=asyncio.sleep,
    )
    idempotent = not_idempotent(clock)
    pipeline = Pipeline(views, attempts, idempotent, clock, records, chance)
    probes = Probes(views, lambda: {"sequence": 7})
    admin_api = AdminApi(lambda: ADMIN_URL, client if forwards else None)
    explainer = Explainer(pipeline.view, attempts, idempotent, clock, random.Random(8))
    front = ColdFront(pipeline, explainer, probes, admin_api, clock, new_id)
    cold = ColdServer(front, asyncio.get_running_loop())
    server = Server(pipeline, cold, records, clock, new_id, replace(LIMITS, **limits))
    return Front(server, client, {"authorization": f"Bearer {world.key}"}, records)


class Door:
    """A front on a socket."""

    def __init__(self, port: int, behind: Front) -> None:
        self.port = port
        self.server = behind.server
        self.client = behind.client
        self.records = behind.records
        self.auth = behind.auth

    async def post(self, body: Any = None, headers: dict[str, str] | None = None, path: str = CHAT) -> Reply:
        async with await Wire.open(self.port) as wire:
            return await wire.post(path, BODY if body is None else body, {**self.auth, **(headers or {})})

    async def get(self, path: str, method: str = "GET") -> Reply:
        async with await Wire.open(self.port) as wire:
            await wire.send(request(method, path, self.auth))
            return await wire.reply()

    async def raw(self, data: bytes) -> Reply:
        async with await Wire.open(self.port) as wire:
            await wire.send(data)
            return await wire.reply()


@asynccontextmanager
async def opened(*script: Step, tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[Door]:
    """`options` as for `front`."""
    behind = front(*script, **options)
    listener = await asyncio.get_running_loop().create_server(behind.server, "127.0.0.1", 0, ssl=tls)
    try:
        yield Door(listener.sockets[0].getsockname()[1], behind)
    finally:
        listener.close()
        await behind.server.close(1.0)
        await listener.wait_closed()


def error(reply: Reply, status: int, code: str) -> dict[str, Any]:
    """Every error of the gateway's own: both clients' shapes, an id in head and body, and no trace of aiohttp."""
    assert reply.headers["content-type"].startswith("application/json"), reply
    body: dict[str, Any] = reply.json()
    assert (reply.status, body["error"]["code"]) == (status, code), body
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert (body["status"], body["message"]) == ("failure", body["error"]["message"])
    assert body["request_id"] == reply.headers["x-portkey-request-id"]
    assert "aiohttp" not in str(reply.headers).lower()
    assert ("x-should-retry" in reply.headers) == (status not in (408, 500, 502, 503, 504))
    return body
