"""A stack of the bench's own: upstream, pass-through, and a whole gateway with one worker, on free ports."""

import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path

from bench.processes import Cores, Running, accepts, free_port, run_to_end, running
from bench.workloads import MODEL
from embedded import redis_server
from embedded.part import Part, get
from embedded.ports import LOOPBACK
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
    api_key, redis_password = new_api_key(), new_api_key()
    upstream_port, passthrough_port, redis_port, gateway_port = (free_port() for _ in range(4))
    upstream_url = f"http://{LOOPBACK}:{upstream_port}"
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    async with AsyncExitStack() as parts:

        async def start(part: Part, cores: Cores) -> Running:
            return await parts.enter_async_context(running(part, cores, folder))

        upstream = await start(_own("upstream", upstream_port, environment), place.others)
        passthrough = await start(
            _own("passthrough", passthrough_port, environment, f"--upstream={upstream_url}"), place.measured
        )
        server = redis_server.binary(environment.get("PATH"))
        redis = await start(redis_server.part(server, folder, redis_port, redis_password), place.others)
        await redis.until_ready()

        build = _SnapshotBuild(folder, environment, place.others)
        settings = {
            "GATEHOUSE_STATE_DIR": str(build.gateway_state),
            "GATEHOUSE_REDIS_URL": redis_server.url(redis_port, redis_password).reveal_text(),
            "GATEHOUSE_GATEWAY": _GATEWAY,
            "GATEHOUSE_SNAPSHOT": str(build.output),
            "GATEHOUSE_SIGNING_FINGERPRINT": await build.fingerprint(),
            "GATEHOUSE_PORT": str(gateway_port),
            "GATEHOUSE_METRICS_PORT": "0",
            "GATEHOUSE_WORKERS": "1",
            "GATEHOUSE_UPSTREAM_ALLOW_CIDRS": "127.0.0.0/8",
        }
        gateway = await start(_gateway(gateway_port, environment | settings), place.measured)
        await gateway.until(build.can_be_made)
        await build.make(f"{upstream_url}/v1", api_key.reveal_text())
        for part in (upstream, passthrough, gateway):
            await part.until_ready()
        yield Stack(
            systems=(
                System("pass-through", passthrough_port, passthrough.pid),
                System("gateway", gateway_port, gateway.pid),
            ),
            api_key=api_key.reveal_text(),
        )


def _own(name: str, port: int, environment: Mapping[str, str], *arguments: str) -> Part:
    """A program of the bench."""
    command = (sys.executable, "-m", f"bench.{name}", f"--port={port}", *arguments)
    return Part(name, command, environment, ready=partial(accepts, port))


def _gateway(port: int, environment: Mapping[str, str]) -> Part:
    async def ready() -> bool:
        status, _ = await get(LOOPBACK, port, "/readyz")
        return status == HTTPStatus.OK

    return Part("gateway", (sys.executable, "-m", "gateway", "--role", "all"), environment, ready)


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

    async def can_be_made(self) -> bool:
        """Whether the gateway has made its keys, which everything is sealed to."""
        return self.node.exists()

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
        return await run_to_end(command, self._environment, self._cores)


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
