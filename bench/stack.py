"""The stack that the bench measures in: upstream, Redis, and every system that there is, each ready on a free port."""

import os
import resource
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path

from bench import answers, expected, native, nginx, probe, source
from bench.expected import WrongAnswer
from bench.gateway import Node
from bench.measure import Asked, Load
from bench.native import Tools
from bench.peers import NotInstalled, home, litellm, portkey
from bench.placement import Placement
from bench.processes import Running, accepts, free_port, running, which
from bench.source import PLAIN, Upstreams
from bench.workloads import Workload, head
from embedded import redis_server
from embedded.part import Part
from embedded.ports import LOOPBACK
from shared.crypto.api_keys import new_api_key
from shared.crypto.secret import Secret

DIRECT, NGINX, AIOHTTP, GATEWAY = "direct", "nginx", "aiohttp", "gateway"
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
"""What children see of our environment: nothing that could steer the gateway or hold a provider's key."""


@dataclass(frozen=True, slots=True)
class System:
    """One system under test. `pid` is the root of the process tree that is measured; None: nothing is."""

    name: str
    port: int
    pid: int | None = None
    headers: tuple[str, ...] = ("Authorization: Bearer sk-bench",)
    translates: bool = False
    """Whether it answers in its own words."""
    tls: Path | None = None
    """The authority that vouches for it, if it is called over TLS."""
    peer: bool = False
    """Another gateway."""
    patience: int = 1
    """How many times longer than others it is measured: it answers so few calls."""


@dataclass(frozen=True, slots=True)
class Stack:
    folder: Path
    place: Placement
    environment: Mapping[str, str]
    tools: Tools
    upstream_port: int
    redis_url: Secret
    keys: Mapping[str, Secret]
    systems: Mapping[str, System]
    """By name: the yardsticks first, the gateway last."""
    left_out: tuple[str, ...]
    """What is not there, and why."""
    _expected: dict[tuple[str, str], bytes] = field(default_factory=dict)

    @property
    def gateway(self) -> System:
        return self.systems[GATEWAY]

    @property
    def upstreams(self) -> Upstreams:
        return Upstreams(f"http://{LOOPBACK}:{self.upstream_port}")

    @property
    def answers(self) -> Path:
        """What the upstreams say."""
        return self.folder / "answers"

    @property
    def state(self) -> Path:
        """The gateway's state folder."""
        return self.folder / GATEWAY / "state"

    @property
    def load(self) -> Load:
        return self.load_of(self.tools)

    def load_of(self, tools: Tools) -> Load:
        return Load(tools, self.folder, self.environment, self.place.others, self.place.measured)

    def configured(self, name: str, config: str, system: System | None = None) -> System:
        """The gateway (or the `system` that is one), asked with the key of another config."""
        key = f"Authorization: Bearer {self.keys[config].reveal_text()}"
        translates = config in (source.MESSAGES, source.CONTENTS)
        return replace(system or self.gateway, name=name, headers=(key,), translates=translates)

    async def asked(self, system: System, workload: Workload) -> Asked:
        """Raises WrongAnswer if a first call is not answered as it should be."""
        request = head(workload, system.port, system.headers) + workload.body
        wanted = self._expected.get((system.name, workload.name))
        if wanted is None:
            wanted = await _expectation(system, workload, request)
            self._expected[system.name, workload.name] = wanted
        return Asked(system.port, request, wanted, system.tls)


async def _expectation(system: System, workload: Workload, request: bytes) -> bytes:
    tls = None if system.tls is None else ssl.create_default_context(cafile=system.tls)
    try:
        status, body = await probe.ask(system.port, request, tls)
    except (probe.NoAnswer, OSError, TimeoutError) as error:
        raise WrongAnswer(f"{system.name}, {workload.name}: {error}") from None
    if status != HTTPStatus.OK:
        raise WrongAnswer(f"{system.name}, {workload.name}: status {status}, {body[:300]!r}")
    if system.translates:
        return expected.translated(body)
    wanted = expected.passed_on(workload.answer)
    if expected.passed_on(body) != wanted:
        raise WrongAnswer(f"{system.name}, {workload.name}: another answer than the upstream's, {body[:300]!r}")
    return wanted


def inherited() -> dict[str, str]:
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}


@asynccontextmanager
async def standing(folder: Path, place: Placement, *, peers: bool = False) -> AsyncIterator[Stack]:
    """Everything started, ready, and ended again when left; all in `folder`. With `peers`, other gateways too.

    Raises PartFailed or NoRedis.
    """
    environment, keys = inherited(), source.new_keys()
    _allow_many_files()
    tools = await native.tools(folder, environment, place.others)
    left_out = [] if tools.native else [f"{tools.lacking}: the upstream and the load are in Python, and slower"]
    prepared = folder / "answers"
    prepared.mkdir()
    answers.write(prepared)
    async with AsyncExitStack() as parts:

        async def start(part: Part, *, measured: bool) -> Running:
            cores = place.measured if measured else place.others
            return await parts.enter_async_context(running(part, cores, folder))

        port, proxy_port, nginx_port, redis_port = (free_port() for _ in range(4))
        upstream = await start(upstream_part("upstream", tools, port, prepared, environment), measured=False)
        redis_password = new_api_key()
        server = redis_server.binary(environment.get("PATH"))
        redis = await start(redis_server.part(server, folder, redis_port, redis_password), measured=False)
        systems = {DIRECT: System(DIRECT, port)}
        beside = [upstream, redis]
        program = which("nginx", environment) or which("nginx", {"PATH": "/usr/sbin:/usr/local/sbin"})
        if program is None:
            left_out.append("nginx is not on the PATH")
        else:
            beside.append(await start(nginx.part(program, folder, nginx_port, port, environment), measured=True))
            systems[NGINX] = System(NGINX, nginx_port, beside[-1].pid)
        beside.append(await start(_passthrough(proxy_port, port, environment), measured=True))
        systems[AIOHTTP] = System(AIOHTTP, proxy_port, beside[-1].pid)
        for make in (portkey, litellm) if peers else ():
            peer_port = free_port()
            try:
                peer = await make(home(environment), peer_port, f"http://{LOOPBACK}:{port}", place.others, environment)
            except NotInstalled as why:
                left_out.append(f"{make.__name__}: {why}")
                continue
            beside.append(await start(peer.part, measured=True))
            systems[peer.name] = System(
                peer.name,
                peer_port,
                beside[-1].pid,
                peer.headers,
                translates=True,
                peer=True,
                patience=peer.patience,
            )
        for part in beside:
            await part.until_ready()
        redis_url = redis_server.url(redis_port, redis_password)
        node = Node.new(GATEWAY, folder, environment, redis_url, place)
        stack = Stack(folder, place, environment, tools, port, redis_url, keys, systems, tuple(left_out))
        gateway = await parts.enter_async_context(node.started_first(source.source(node.id, stack.upstreams, keys)))
        systems[GATEWAY] = System(GATEWAY, node.port, gateway.pid)
        systems[GATEWAY] = stack.configured(GATEWAY, PLAIN)
        yield stack


def upstream_part(
    name: str, tools: Tools, port: int, prepared: Path, environment: Mapping[str, str], *arguments: str
) -> Part:
    command = (*tools.upstream, str(port), str(prepared), *arguments)
    return Part(name, command, environment, ready=partial(accepts, port))


def _passthrough(port: int, upstream_port: int, environment: Mapping[str, str]) -> Part:
    command = (*native.module("passthrough"), f"--port={port}", f"--upstream=http://{LOOPBACK}:{upstream_port}")
    return Part("passthrough", command, environment, ready=partial(accepts, port))


def _allow_many_files() -> None:
    """A stream is a socket on either side of each system."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
