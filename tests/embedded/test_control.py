"""The control socket: private, at any depth of folder, deaf to nonsense."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from embedded import control


async def echo(request: Any) -> dict[str, Any]:
    return {"asked": request}


async def test_socket_works_in_a_deep_folder_and_is_private(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100) / ("y" * 100)
    folder.mkdir(parents=True)
    async with control.listening(folder / "control.sock", echo):
        assert (folder / "control.sock").stat().st_mode & 0o777 == 0o600
        answer = await asyncio.to_thread(control.ask, folder / "control.sock", {"do": "grüßen"})
    assert answer == {"asked": {"do": "grüßen"}}


def test_nobody_listening_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "control.sock", tmp_path / "nowhere" / "control.sock"):
        with pytest.raises(control.NotRunning, match=r"nothing is running in .*"):
            control.ask(path, {"do": "status"})
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "control.sock"))
    with pytest.raises(control.NotRunning):
        control.ask(tmp_path / "control.sock", {"do": "status"})


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"{\n", b"\xff\n", b"[" * 100_000 + b"\n", b"x" * 100_000], ids=lambda line: line[:4]
)
async def test_nonsense_gets_no_answer_and_the_next_one_is_served(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "control.sock"
    async with asyncio.timeout(20), control.listening(path, echo):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(line)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        assert await asyncio.to_thread(control.ask, path, {"do": "status"}) == {"asked": {"do": "status"}}
