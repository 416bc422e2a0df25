"""The public port over TLS: the same answers, proper ends, and a certificate that can be renewed while calls run."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509

from gateway.serve.certificate import Certificate
from gateway.serve.lane import AHEAD_BYTES_MAX
from tests.fakes.front import BODY, BODY_BYTES_MAX, CHAT, Door, opened
from tests.fakes.upstream import Hang, answers, streams
from tests.fixtures.certificates import Authority
from tests.fixtures.wire import request

OK = b'{"id": "1"}'
EVENT = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
FINISH = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
HANG_S = 20.0


class Files:
    """A certificate on disk, and who trusts it."""

    def __init__(self, folder: Path) -> None:
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        self.authority = Authority.make()
        self.renew()

    def renew(self) -> int:
        return self.authority.issue(self.cert, self.key)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@asynccontextmanager
async def dialled(door: Door, files: Files) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", door.port, ssl=files.authority.trusted(), server_hostname="localhost"
    )
    try:
        async with asyncio.timeout(HANG_S):
            yield reader, writer
    finally:
        writer.transport.abort()


async def whole(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head, await reader.readexactly(length)


def serial(writer: asyncio.StreamWriter) -> int:
    tls = writer.get_extra_info("ssl_object")
    return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True)).serial_number


async def test_calls_one_after_the_other_and_a_probe_of_the_other_lane(files: Files) -> None:
    tls = Certificate(files.cert, files.key).context
    async with opened(answers(200, OK), answers(200, OK), tls=tls) as door, dialled(door, files) as (reader, writer):
        for _ in range(2):
            writer.write(request("POST", CHAT, door.auth, BODY))
            assert (await whole(reader))[1] == OK
        writer.write(request("GET", "/livez", {}))
        assert b"alive" in (await whole(reader))[1]


async def test_a_stream_comes_event_by_event(files: Files) -> None:
    hang = Hang()
    tls = Certificate(files.cert, files.key).context
    async with opened(streams(EVENT, hang, FINISH, DONE), tls=tls) as door, dialled(door, files) as (reader, writer):
        writer.write(request("POST", CHAT, door.auth, {**BODY, "stream": True}))
        await reader.readuntil(EVENT)
        hang.released.set()
        assert (await reader.readuntil(b"0\r\n\r\n")).endswith(DONE + b"\r\n0\r\n\r\n")


async def test_a_refusal_that_ends_the_connection_is_read_whole(files: Files) -> None:
    """TLS has no half-closed connection: ours stays until the caller, who was told that it ends, hangs up."""
    tls = Certificate(files.cert, files.key).context
    async with opened(tls=tls) as door, dialled(door, files) as (reader, writer):
        announced = b"content-length: %d" % (BODY_BYTES_MAX + 1)
        writer.write(request("POST", CHAT, door.auth, b"x").replace(b"content-length: 1", announced))
        head, _ = await whole(reader)
        assert b" 413 " in head
        assert b"connection: close" in head


async def test_http_1_0_streams_until_the_connection_ends(files: Files) -> None:
    tls = Certificate(files.cert, files.key).context
    async with opened(streams(EVENT, FINISH, DONE), tls=tls) as door, dialled(door, files) as (reader, writer):
        asked = request("POST", CHAT, door.auth, {**BODY, "stream": True}).replace(b"HTTP/1.1", b"HTTP/1.0")
        writer.write(asked)
        assert (await reader.read(-1)).endswith(EVENT + FINISH + DONE)


async def test_a_caller_who_leaves_cancels_the_provider(files: Files) -> None:
    tls = Certificate(files.cert, files.key).context
    async with opened(streams(EVENT, Hang()), tls=tls) as door:
        async with dialled(door, files) as (reader, writer):
            writer.write(request("POST", CHAT, door.auth, {**BODY, "stream": True}))
            await reader.readuntil(EVENT)
        async with asyncio.timeout(HANG_S):
            await door.records.ended.wait()
        assert door.client.responses[0].aborted


@pytest.mark.parametrize("why", ["idle", "draining"])
async def test_a_caller_who_does_not_see_the_end_of_his_connection_is_not_waited_for_long(
    files: Files, why: str
) -> None:
    """As a pool does not that looks at its connections when it needs one."""
    tls = Certificate(files.cert, files.key).context
    limits = {"linger_s": 0.1, **({"idle_s": 0.1} if why == "idle" else {})}
    async with opened(answers(200, OK), tls=tls, **limits) as door, dialled(door, files) as (reader, writer):
        writer.write(request("POST", CHAT, door.auth, BODY))
        assert (await whole(reader))[1] == OK
        writer.transport.pause_reading()  # type: ignore[attr-defined] # a socket's goes both ways
        if why == "draining":
            await door.server.close(HANG_S)
        while door.server._lanes:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.01)


async def test_a_renewed_certificate_holds_for_the_next_connection_and_not_for_the_running_one(files: Files) -> None:
    certificate = Certificate(files.cert, files.key)
    async with opened(answers(200, OK), answers(200, OK), tls=certificate.context) as door:
        async with dialled(door, files) as (reader, writer):
            before = serial(writer)
            renewed = files.renew()
            certificate.reload()
            writer.write(request("POST", CHAT, door.auth, BODY))
            assert (await whole(reader))[1] == OK
        async with dialled(door, files) as (reader, writer):
            assert serial(writer) == renewed != before


async def test_a_renewed_key_that_could_not_be_read_is_taken_up_once_its_rights_are_mended(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = Certificate(files.cert, files.key)
    renewed = files.renew()
    files.key.chmod(0o000)
    with monkeypatch.context() as nobody:  # Whoever runs the tests may read everything.
        nobody.setattr("gateway.serve.certificate._context", unreadable)
        certificate.reload()
    files.key.chmod(0o600)
    certificate.reload()
    async with opened(tls=certificate.context) as door, dialled(door, files) as (_, writer):
        assert serial(writer) == renewed


def unreadable(*_: object) -> None:
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize("fault", ["gone", "garbage", "another's key"])
async def test_a_certificate_that_does_not_load_leaves_the_old_one_in_use(
    files: Files, tmp_path: Path, fault: str
) -> None:
    certificate = Certificate(files.cert, files.key)
    async with opened(answers(200, OK), tls=certificate.context) as door:
        async with dialled(door, files) as (_, writer):
            before = serial(writer)
        if fault == "gone":
            files.key.unlink()
        elif fault == "garbage":
            files.cert.write_bytes(b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
        else:
            files.authority.issue(tmp_path / "other.pem", files.key)
        certificate.reload()
        async with dialled(door, files) as (reader, writer):
            assert serial(writer) == before
            writer.write(request("POST", CHAT, door.auth, BODY))
            assert (await whole(reader))[1] == OK


async def test_who_speaks_no_tls_harms_nobody(files: Files) -> None:
    tls = Certificate(files.cert, files.key).context
    async with opened(answers(200, OK), tls=tls) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(request("POST", CHAT, door.auth, BODY))
        async with asyncio.timeout(HANG_S):
            assert OK not in await reader.read(-1)
        writer.close()
        async with dialled(door, files) as (reader, writer):
            writer.write(request("POST", CHAT, door.auth, BODY))
            assert (await whole(reader))[1] == OK


def test_files_that_hold_no_pair_are_named(tmp_path: Path, files: Files) -> None:
    with pytest.raises(ValueError, match=r"cert\.pem and .*none\.pem"):
        Certificate(files.cert, tmp_path / "none.pem")


def test_old_versions_of_tls_are_not_spoken(files: Files) -> None:
    assert Certificate(files.cert, files.key).context.minimum_version is ssl.TLSVersion.TLSv1_2


async def test_a_caller_who_leaves_behind_more_than_is_read_has_left(files: Files) -> None:
    tls = Certificate(files.cert, files.key).context
    hang = Hang()
    async with opened(answers(200, hang), tls=tls) as door:
        async with dialled(door, files) as (_, writer):
            writer.write(request("POST", CHAT, door.auth, BODY))
            await hang.reached.wait()
            (lane,) = door.server._lanes
            writer.write(bytes(2 * AHEAD_BYTES_MAX))
            while not lane._reading_paused:  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.001)
            assert not door.records.ended.is_set()
        async with asyncio.timeout(HANG_S):
            await door.records.ended.wait()
        assert door.client.responses[0].aborted
