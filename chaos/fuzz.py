"""Wrong bodies from callers and wrong streams from providers, by the hundred thousand, at one gateway.

Held: no caller's body is answered with a 5xx, and no stream with a fault of ours; every answer ends, a stream that is
not whole with an error event; each answer has exactly one record; and the worker has afterwards what it had before of
memory, open files and running requests.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import clickhouse_connect
import orjson

from bench.accounting import usage
from chaos import kernel, mutate
from chaos.callers import Broken, Line
from chaos.stack import Node, Stack, free_ports
from embedded.ports import LOOPBACK
from gateway.errors import Code
from gateway.telemetry import slots

LINES = 16
ANSWER_S_MAX = 20.0
"""Then a call hangs."""
TOLD = 10_000
REST_S_MAX = 120.0
LOOK_S = 0.1
PROVIDER = "fuzz"
EXAMPLES_MAX = 5
GROWTH_BYTES_MAX = 24 * 1024 * 1024
"""Of the worker's memory in the second half: above the allocator's noise, below what a leak would cost."""
FILES_MAX = 8
"""More open files than before are nobody's: some belong to whatever writes records and logs."""

_MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "x"}}]},
]
_ARGUED = {"index": 0, "id": "t", "type": "function", "function": {"name": "look", "arguments": '{"a'}}
_TOOL = {"name": "look", "description": "d", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}
BODIES: Sequence[tuple[str, dict[str, Any]]] = (
    ("/v1/chat/completions", {"model": "m", "messages": _MESSAGES, "temperature": 0.5, "max_tokens": 5}),
    (
        "/v1/chat/completions",
        {"model": "m", "messages": _MESSAGES, "tools": [{"type": "function", "function": _TOOL}], "stream": True},
    ),
    ("/v1/completions", {"model": "m", "prompt": ["a", "b"], "max_tokens": 5}),
    ("/v1/embeddings", {"model": "m", "input": ["a", "b"], "encoding_format": "float"}),
    (
        "/v1/messages",
        {
            "model": "m",
            "max_tokens": 5,
            "system": [{"type": "text", "text": "s"}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
            "tools": [{"name": "look", "input_schema": {"type": "object"}}],
            "metadata": {"user_id": "u"},
        },
    ),
    ("/v1/messages/count_tokens", {"model": "m", "messages": [{"role": "user", "content": "a"}]}),
    (
        "/v1/responses",
        {
            "model": "m",
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}],
            "tools": [{"type": "function", **_TOOL}],
            "text": {"format": {"type": "text"}},
            "reasoning": {"effort": "low"},
        },
    ),
    ("/v1/images/generations", {"model": "m", "prompt": "a", "n": 1}),
)
CONFIGS: Sequence[dict[str, Any]] = (
    {"virtual_key": PROVIDER, "retry": {"attempts": 1, "on_status_codes": [429]}, "override_params": {"model": "n"}},
    {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": PROVIDER}, {"virtual_key": PROVIDER}]},
    {
        "strategy": {
            "mode": "conditional",
            "conditions": [{"query": {"metadata.team": {"$eq": "a"}}, "then": "one"}],
            "default": "one",
        },
        "targets": [{"name": "one", "virtual_key": PROVIDER}],
    },
)
STREAMS: Sequence[tuple[str, dict[str, Any]]] = (
    ("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "a"}], "stream": True}),
    ("/v1/completions", {"model": "m", "prompt": "a", "stream": True}),
    ("/v1/messages", {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "a"}], "stream": True}),
    ("/v1/responses", {"model": "m", "input": "a", "stream": True}),
)
OURS = b'"%b"' % Code.INTERNAL.value.encode()
"""In the body of an answer that tells of a fault in the gateway itself."""
_ENDS = (b"[DONE]", b"message_stop", b"response.completed", b"response.incomplete", b'"error"')


def _chunk(delta: dict[str, Any], **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": None, **more}
    return b"data: " + orjson.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [choice]}) + b"\n\n"


EVENTS: Sequence[bytes] = (
    _chunk({"role": "assistant", "content": ""}),
    *(_chunk({"content": f" word{number}"}) for number in range(6)),
    _chunk(
        {"tool_calls": [{"index": 0, "id": "t", "type": "function", "function": {"name": "look", "arguments": '{"a'}}]}
    ),
    _chunk({"tool_calls": [{"index": 0, "function": {"arguments": '":1}'}}]}),
    _chunk({}, finish_reason="tool_calls"),
    b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":9,"total_tokens":12}}\n\n',
    b"data: [DONE]\n\n",
)
ANSWER = orjson.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop", "text": "a"}
        ],
        "data": [{"object": "embedding", "index": 0, "embedding": [0.1]}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    }
)


@dataclass(slots=True)
class Run:
    steps: int
    statuses: Counter[int] = field(default_factory=Counter)
    ids: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    """What must not be, with an example each."""
    half_bytes: int = 0
    end_bytes: int = 0

    def fault(self, text: str) -> None:
        self.faults.append(text)

    @property
    def grown_bytes(self) -> int:
        """Of the worker's memory, in the second half."""
        return self.end_bytes - self.half_bytes


@dataclass(frozen=True, slots=True)
class Found:
    bodies: Run
    streams: Run
    files: int
    """Open in the worker beyond those before."""
    running: int
    """Requests that the worker still counts."""
    unrecorded: int
    twice: int

    @property
    def good(self) -> bool:
        runs = (self.bodies, self.streams)
        flat = all(run.grown_bytes <= GROWTH_BYTES_MAX for run in runs) and self.files <= FILES_MAX
        return flat and not (self.running or self.unrecorded or self.twice or any(run.faults for run in runs))


async def fuzz(stack: Stack, steps: int, chance: random.Random) -> Found:
    """`steps` of bodies, and as many of streams."""
    (node,) = stack.nodes
    async with _standing(Provider(random.Random(chance.random()))) as provider:
        api_key = await _reaches(stack, provider.port)
        (worker,) = node.workers().values()
        await _warm(node, api_key)
        files = len(kernel.open_files(worker))
        bodies, streams = Run(steps), Run(steps)
        await _steps(bodies, node, worker, "bodies", lambda: _wrong_body(api_key, chance))
        provider.errs = True
        await _steps(streams, node, worker, "streams", lambda: _right_stream(api_key, chance))
        running = await _until_idle(node)
        left = len(kernel.open_files(worker)) - files
    unrecorded, twice = await _recorded(stack, bodies.ids | streams.ids)
    return Found(bodies, streams, left, running, unrecorded, twice)


def lines(found: Found) -> list[str]:
    told = []
    for name, run in (("bodies", found.bodies), ("streams", found.streams)):
        told += [f"{name}: {fault}" for fault in run.faults[:EXAMPLES_MAX]]
        answers = ", ".join(f"{count} x {status}" for status, count in sorted(run.statuses.items()))
        grown = f"{run.grown_bytes / 1e6:+.1f} MB in its second half, {run.end_bytes / 1e6:.0f} MB at its end"
        told.append(f"{name}: {run.steps:,} steps; {answers}; worker's memory {grown}")
    told.append(
        f"{len(found.bodies.ids) + len(found.streams.ids):,} answers with a record: {found.unrecorded} lost,"
        f" {found.twice} twice; {found.running} requests and {max(found.files, 0)} files left in the worker"
    )
    faults = len(found.bodies.faults) + len(found.streams.faults)
    told.append(f"fuzz: {found.bodies.steps:,} bodies and {found.streams.steps:,} streams, {faults} faults")
    return told


def _wrong_body(api_key: str, chance: random.Random) -> tuple[bytes, int]:
    """A request, and from which status on its answer is a fault."""
    path, seed = chance.choice(BODIES)
    headers = {}
    if chance.random() < 0.1:
        headers["x-portkey-config"] = _header_text(mutate.body(chance.choice(CONFIGS), chance))
    if chance.random() < 0.1:
        headers["x-portkey-metadata"] = _header_text(mutate.body({"team": "a", "_user": "b"}, chance))
    return _request(api_key, path, mutate.body(seed, chance), headers), 500


def _right_stream(api_key: str, chance: random.Random) -> tuple[bytes, int]:
    path, body = chance.choice(STREAMS)
    return _request(api_key, path, orjson.dumps(body), {}), 0


def _request(api_key: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
    given = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {path} HTTP/1.1\r\nhost: gateway.test\r\ncontent-type: application/json\r\n{given}"
    return f"{head}authorization: Bearer {api_key}\r\ncontent-length: {len(body)}\r\n\r\n".encode("latin-1") + body


def _header_text(data: bytes) -> str:
    """As much of it as a header's value may hold."""
    return "".join(character for character in data.decode("latin-1") if character.isprintable())[:2_000]


async def _steps(run: Run, node: Node, worker: int, name: str, make: Any) -> None:
    todo = iter(range(1, run.steps + 1))
    async with asyncio.TaskGroup() as group:
        for _ in range(LINES):
            group.create_task(_line(run, node, worker, name, todo, make))
    run.end_bytes = usage(worker).rss_bytes


async def _line(run: Run, node: Node, worker: int, name: str, todo: Any, make: Any) -> None:
    line = await Line.open(node.port)
    for number in todo:
        request, fault_from = make()
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                answer = await line.ask(request)
        except (Broken, TimeoutError) as error:
            run.fault(f"{type(error).__name__} after {request!r}")
            await line.close()
            line = await Line.open(node.port)
        else:
            run.statuses[answer.status] += 1
            run.ids.add(answer.request_id)
            if fault_from and answer.status >= fault_from:
                run.fault(f"{answer.status} {answer.body!r} to {request!r}")
            elif not fault_from and (OURS in answer.body or (answer.status == 200 and not _ended(answer.body))):
                run.fault(f"{answer.status} {answer.body[-400:]!r}")
        if number == run.steps // 2:
            run.half_bytes = usage(worker).rss_bytes
        if number % TOLD == 0:
            print(f"{name}: {number:,} of {run.steps:,}", flush=True)
    await line.close()


def _ended(body: bytes) -> bool:
    """Whether a stream ends with its proper last word or an error."""
    return any(end in body for end in _ENDS)


async def _warm(node: Node, api_key: str) -> None:
    """So many calls that connections and caches are there."""
    async with asyncio.TaskGroup() as group:
        for _ in range(LINES):
            group.create_task(_ask_all(node, api_key))


async def _ask_all(node: Node, api_key: str) -> None:
    line = await Line.open(node.port)
    for path, body in (*BODIES, *STREAMS):
        await line.ask(_request(api_key, path, orjson.dumps(body), {}))
    await line.close()


async def _until_idle(node: Node) -> int:
    """How many requests run when none should."""
    with suppress(TimeoutError):
        async with asyncio.timeout(ANSWER_S_MAX):
            while slots.in_use(node.folder):  # noqa: ASYNC110 - the table is the only place that says so
                await asyncio.sleep(LOOK_S)
    return slots.in_use(node.folder)


async def _recorded(stack: Stack, ids: set[str]) -> tuple[int, int]:
    """How many of the answers have no record, and how many more than one."""
    client = await clickhouse_connect.get_async_client(dsn=stack.clickhouse_url.reveal_text())
    found: dict[str, int] = {}
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(REST_S_MAX):
                while not ids <= found.keys():
                    rows = (await client.query("select id, count() from record group by id")).result_rows
                    found = {id_: count for id_, count in rows}  # noqa: C416 - rows are sequences, not pairs
                    await asyncio.sleep(LOOK_S)
    finally:
        await client.close()
    return len(ids - found.keys()), sum(1 for id_ in ids if found.get(id_, 0) > 1)


async def _reaches(stack: Stack, port: int) -> str:
    """A key whose calls go to the provider at this port."""
    await stack.api.post(
        "/api/v1/providers", {"id": PROVIDER, "name": "Fuzz", "base_url": f"http://{LOOPBACK}:{port}/v1"}
    )
    path = stack.workspaces[0].path
    key = {"slug": PROVIDER, "name": "Fuzz", "provider": PROVIDER, "credential": {"api_key": "sk-fuzz"}}
    await stack.api.post(f"{path}/virtual-keys", key)
    await stack.api.post(f"{path}/configs", {"slug": PROVIDER, "name": "Fuzz", "body": {"virtual_key": PROVIDER}})
    made = await stack.api.post(f"{path}/api-keys", {"name": "Fuzz", "default_config": PROVIDER})
    await stack.at_rest()
    return str(made["key"])


class Provider:
    """Answers every plain request alike, and streams as they should be or, where it errs, each in another way."""

    def __init__(self, chance: random.Random) -> None:
        (self.port,) = free_ports(1)
        self.errs = False
        self._chance = chance
        self._open: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while await self._served(reader, writer):
                continue
        writer.close()
        self._open.discard(writer)

    def hang_up(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _served(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether another request may come."""
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        body = await reader.readexactly(int(head.partition(b"\ncontent-length:")[2].partition(b"\r\n")[0] or 0))
        if _asks_for_stream(body):
            return await self._streamed(writer)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER))
        writer.write(ANSWER)
        return True

    async def _streamed(self, writer: asyncio.StreamWriter) -> bool:
        chance, errs = self._chance, self.errs
        framed = not errs or chance.random() < 0.8
        kinds = (b"application/json", b"text/html", b"x")
        kind = chance.choice(kinds) if errs and chance.random() < 0.05 else b"text/event-stream"
        framing = b"transfer-encoding: chunked" if framed else b"connection: close"
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n%b\r\n\r\n" % (kind, framing))
        for piece in mutate.stream(EVENTS, chance) if errs else EVENTS:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if framed else piece)
            if errs and chance.random() < 0.3:
                await writer.drain()
                await asyncio.sleep(0)
        if framed and (not errs or chance.random() < 0.9):
            writer.write(b"0\r\n\r\n")
            return True
        await writer.drain()
        return False


@asynccontextmanager
async def _standing(provider: Provider) -> AsyncIterator[Provider]:
    server = await asyncio.start_server(provider.serve, LOOPBACK, provider.port)
    try:
        yield provider
    finally:
        server.close()
        provider.hang_up()
        await server.wait_closed()


def _asks_for_stream(body: bytes) -> bool:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(parsed, dict) and parsed.get("stream") is True
