"""A hundred megabytes through a real node, up and down: they pass, and the worker that carries them does not grow."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.fixtures.stack import Stack
from tests.fixtures.wire import HANG_S

MIB = 1024 * 1024
BODY_BYTES = 100 * MIB
GROWTH_BYTES_MAX = 16 * MIB
BOUNDARY = b"gatehouse"
HEAD = b'--%b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n' % BOUNDARY
FILE = b'--%b\r\ncontent-disposition: form-data; name="file"; filename="a.bin"\r\n\r\n' % BOUNDARY
TAIL = b"\r\n--%b--\r\n" % BOUNDARY


def pieces() -> Iterator[bytes]:
    for number in range(BODY_BYTES // MIB):
        yield hashlib.sha256(b"%d" % number).digest() * (MIB // 32)


def digest() -> str:
    found = hashlib.sha256()
    for piece in pieces():
        found.update(piece)
    return found.hexdigest()


class Peak:
    """The most memory that processes have held since this was made."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._before = {pid: self._kib(pid, "VmRSS") for pid in pids}
        for pid in pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def growth_bytes(self) -> int:
        return max(self._kib(pid, "VmHWM") - self._before[pid] for pid in self._pids) * 1024

    @staticmethod
    def _kib(pid: int, name: str) -> int:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


@pytest.fixture
async def connection(stack: Stack) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port, limit=MIB)
    yield reader, writer
    writer.close()


def head(stack: Stack, line: str, *more: str) -> bytes:
    authorization = f"authorization: {stack.authorization['authorization']}"
    return "\r\n".join([f"{line} HTTP/1.1", "host: gateway.test", authorization, *more, "", ""]).encode()


async def answer_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    return int(lines[0].split()[1]), headers


async def upload(stack: Stack, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, chunked: bool) -> str:
    """The file's id."""
    length = len(HEAD + FILE + TAIL) + BODY_BYTES
    framing = "transfer-encoding: chunked" if chunked else f"content-length: {length}"
    writer.write(
        head(stack, "POST /v1/files", f"content-type: multipart/form-data; boundary={BOUNDARY.decode()}", framing)
    )
    for piece in (HEAD + FILE, *pieces(), TAIL):
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        await writer.drain()
    if chunked:
        writer.write(b"0\r\n\r\n")
    status, headers = await answer_head(reader)
    body = await reader.readexactly(int(headers["content-length"]))
    assert status == 200, body
    return body.partition(b'"id":"')[2].partition(b'"')[0].decode()


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_hundred_megabytes_pass_up_and_down_in_a_few_of_memory(
    stack: Stack, connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], chunked: bool
) -> None:
    reader, writer = connection
    async with asyncio.timeout(HANG_S):
        await stack.call()
        peak = Peak(list(stack.workers().values()))
        file = await upload(stack, reader, writer, chunked=chunked)
        grown_up = peak.growth_bytes()

        peak = Peak(list(stack.workers().values()))
        writer.write(head(stack, f"GET /v1/files/{file}/content"))
        status, headers = await answer_head(reader)
        assert (status, headers["content-type"]) == (200, "application/octet-stream")
        assert int(headers["content-length"]) == BODY_BYTES
        found, left = hashlib.sha256(), BODY_BYTES
        while left:
            data = await reader.read(min(left, MIB))
            assert data
            found.update(data)
            left -= len(data)
        grown_down = peak.growth_bytes()
        assert found.hexdigest() == digest()
        writer.write(head(stack, f"DELETE /v1/files/{file}"))
        assert (await answer_head(reader))[0] == 200
    print(f"grown by {grown_up // 1024} KiB up, {grown_down // 1024} KiB down")
    assert grown_up < GROWTH_BYTES_MAX
    assert grown_down < GROWTH_BYTES_MAX


async def test_a_body_that_is_read_whole_is_seen_by_that_measure(stack: Stack) -> None:
    peak = Peak(list(stack.workers().values()))
    reply = await stack.call(body=b'{"model": "%b' % (b"x" * 30 * MIB))
    assert reply.status == 400
    assert peak.growth_bytes() > GROWTH_BYTES_MAX
