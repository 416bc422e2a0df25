"""Callers who call without a pause, each on a connection of its own, and who remember how each call ended."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus

import orjson

from chaos import kernel
from chaos.stack import Node, chat
from embedded.ports import LOOPBACK

PATH = "/v1/chat/completions"
RECONNECT_S = 0.02
LOOK_S = 0.02


class Broken(ConnectionError):
    """The connection ended before the answer did."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A call that did not end well."""

    connection: int
    """The caller's port."""
    what: str


class Line:
    """One kept connection to a gateway; a call at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.port: int = writer.get_extra_info("sockname")[1]

    @classmethod
    async def open(cls, port: int) -> "Line":
        """Raises OSError."""
        return cls(*await asyncio.open_connection(LOOPBACK, port))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer. Raises Broken."""
        try:
            self._writer.write(request)
            head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"\ncontent-length:")[2].partition(b"\r\n")[0])
            return int(head.split(b" ", 2)[1]), await self._reader.readexactly(length)
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            raise Broken(str(error)) from None

    async def close(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):  # The other side was faster.
            await self._writer.wait_closed()


def post(api_key: str, body: object, **headers: str) -> bytes:
    """The bytes of one call of a chat."""
    payload = orjson.dumps(body)
    given = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"POST {PATH} HTTP/1.1\r\nhost: gateway.test\r\ncontent-type: application/json\r\n{given}"
    return f"{head}authorization: Bearer {api_key}\r\ncontent-length: {len(payload)}\r\n\r\n".encode() + payload


class Load:
    """`calls` counts all that ended; `failed` remembers those that ended badly."""

    def __init__(self) -> None:
        self.calls = 0
        self.failed: list[Ended] = []
        self.stopping = False

    async def caller(self, node: Node, request: bytes) -> None:
        """Call until told to stop; a connection that broke is replaced at once."""
        while not self.stopping:
            try:
                line = await Line.open(node.port)
            except OSError as error:
                self._failed(0, f"no connection: {error}")
                await asyncio.sleep(RECONNECT_S)
                continue
            try:
                while not self.stopping:
                    status, body = await line.ask(request)
                    self.calls += 1
                    if status != HTTPStatus.OK:
                        self._failed(line.port, f"status {status}: {body[:200].decode(errors='replace')}", counted=True)
            except Broken:
                self._failed(line.port, "the connection broke")
            finally:
                await line.close()

    async def reach(self, calls: int) -> None:
        """Wait until so many calls more have ended."""
        wanted = self.calls + calls
        while self.calls < wanted:  # noqa: ASYNC110 - the count is the only event there is
            await asyncio.sleep(LOOK_S)

    def _failed(self, connection: int, what: str, *, counted: bool = False) -> None:
        self.calls += not counted
        self.failed.append(Ended(connection, what))


@asynccontextmanager
async def calling(
    nodes: Sequence[Node], api_key: str, *, callers: int, model: str = "sim-slow-20"
) -> AsyncIterator[Load]:
    """`callers` at each node, while inside; each ends with the call it is in."""
    load, request = Load(), post(api_key, chat(model=model))
    async with asyncio.TaskGroup() as group:
        for node in nodes:
            for _ in range(callers):
                group.create_task(load.caller(node, request))
        try:
            yield load
        finally:
            load.stopping = True


async def line_to_each_worker(node: Node) -> dict[str, Line]:
    """A kept connection to each worker, by its name. The kernel chooses who accepts, so it is tried until it fits."""
    lines: dict[str, Line] = {}
    workers = node.workers()
    while lines.keys() < workers.keys():
        line = await Line.open(node.port)
        await line.ask(b"GET /livez HTTP/1.1\r\nhost: gateway.test\r\n\r\n")
        owner = next((name for name, pid in workers.items() if line.port in kernel.callers_of(pid, node.port)), None)
        if owner is None or owner in lines:
            await line.close()
        else:
            lines[owner] = line
    return lines
