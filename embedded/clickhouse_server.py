"""The embedded ClickHouse: how the process that holds the engine is started, and its address."""

import importlib.util
import sys
from pathlib import Path
from urllib.parse import quote

from embedded.clickhouse.login import USER, header
from embedded.part import Part, exchange
from embedded.ports import LOOPBACK
from embedded.state import write_private
from shared.crypto.secret import Secret

DATABASE = "gatehouse"
"""In the address. The control plane makes it."""


class NoClickhouse(Exception):
    """There is no engine to start."""


def part(folder: Path, port: int, password: Secret) -> Part:
    """Loopback only, with a password, which stands in a private file and not on the command line. Raises NoClickhouse.

    Here the package is looked for and not loaded: a process that has loaded it must not fork.
    """
    if importlib.util.find_spec("chdb") is None:
        raise NoClickhouse(
            "the package `chdb-core` is not installed; install it, or name a server in GATEHOUSE_CLICKHOUSE_URL"
        )
    password_file = folder / "password"
    write_private(password_file, password.reveal())
    options = (f"--port={port}", f"--password-file={password_file}", f"--data={folder / 'data'}")
    return Part(
        name="clickhouse",
        command=(sys.executable, "-m", "embedded.clickhouse", *options),
        # A server's clock shows UTC; the engine would take this machine's zone.
        environment={"TZ": "UTC", "PYTHONUNBUFFERED": "1"},
        ready=lambda: answers(port, password),
        stop_s_max=20.0,
    )


def url(port: int, password: Secret, database: str = DATABASE) -> Secret:
    return Secret(f"http://{USER}:{quote(password.reveal_text(), safe='')}@{LOOPBACK}:{port}/{database}")


async def answers(port: int, password: Secret) -> bool:
    """Whether an engine that knows this password answers questions."""
    question = b"SELECT 1"
    head = (
        f"POST / HTTP/1.1\r\nhost: {LOOPBACK}\r\nauthorization: {header(password)}\r\n"
        f"content-length: {len(question)}\r\nconnection: close\r\n\r\n"
    )
    answer = await exchange(LOOPBACK, port, head.encode() + question)
    return answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\n1\n")
