"""Callers who call without a pause, each on a connection of its own, and who remember how each call ended."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from itertools import cycle

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


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    request_id: str
    cache: str = ""
    """What it says of the cache."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A call to make again and again, and how it is to end."""

    request: bytes
    status: int = HTTPStatus.OK


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

    async def ask(self, request: bytes) -> Answer:
        """The whole answer. Raises Broken."""
        try:
            self._writer.write(request)
            head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
            length = _header(head, b"content-length")
            body = await self._reader.readexactly(int(length)) if length else await self._chunks()
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            raise Broken(str(error)) from None
        cache = _header(head, b"x-portkey-cache-status").decode().upper()
        return Answer(int(head.split(b" ", 2)[1]), body, _header(head, b"x-portkey-request-id").decode(), cache)

    async def _chunks(self) -> bytes:
        whole = b""
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            whole += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readexactly(2)
        return whole

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


def _header(head: bytes, name: bytes) -> bytes:
    """Its value; empty if it is not there."""
    return head.partition(b"\n%b:" % name)[2].partition(b"\r\n")[0].strip()


class Load:
    """`calls` counts all that ended; `answered` has the ids of whole answers, `failed` those that ended badly."""

    def __init__(self) -> None:
        self.calls = 0
        self.answered: list[str] = []
        self.failed: list[Ended] = []
        self.stopping = False

    async def caller(self, node: Node, asks: Sequence[Ask]) -> None:
        """Make the calls in turn until told to stop; a connection that broke is replaced at once."""
        turns = cycle(asks)
        while not self.stopping:
            try:
                line = await Line.open(node.port)
            except OSError as error:
                self._failed(0, f"no connection: {error}")
                await asyncio.sleep(RECONNECT_S)
                continue
            try:
                while not self.stopping:
                    ask = next(turns)
                    answer = await line.ask(ask.request)
                    self.calls += 1
                    self.answered.append(answer.request_id)
                    if answer.status != ask.status:
                        body = answer.body[:200].decode(errors="replace")
                        self._failed(line.port, f"status {answer.status}: {body}", counted=True)
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
    nodes: Sequence[Node], api_key: str, *, callers: int, model: str = "sim-slow-20", asks: Sequence[Ask] = ()
) -> AsyncIterator[Load]:
    """`callers` at each node, while inside; each ends with the call it is in. What they ask, else a chat of `model`."""
    load, asks = Load(), asks or [Ask(post(api_key, chat(model=model)))]
    async with asyncio.TaskGroup() as group:
        for node in nodes:
            for number in range(callers):
                group.create_task(load.caller(node, [*asks[number % len(asks) :], *asks[: number % len(asks)]]))
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
