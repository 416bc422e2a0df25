"""Both planes and what they stand on, as processes on free ports: PostgreSQL, ClickHouse, Redis, provider simulator,
control plane, and any number of gateways with any number of nodes. Gone when it is left.
"""

import json
import os
import random
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import asyncpg
from aiohttp import ClientSession, CookieJar

from chaos import kernel
from chaos.program import Program
from embedded import clickhouse_server, postgres, postgres_programs, redis_server
from embedded.api_client import ApiClient, Row, connected
from embedded.part import Part, get
from embedded.ports import LOOPBACK
from shared.crypto.secret import Secret

INHERITED = ("PATH", "LANG", "LC_ALL", "TMPDIR")
"""What programs see of our environment: nothing that could steer them or hold a provider's key."""
FIRST_RUN_CODE = "first-run-code"
OWNER = "owner@example.com"
SIMULATOR = "simulator"
REST_S_MAX = 120.0
_PORTS = range(20_000, 32_000)
"""Below those the kernel gives to outgoing connections, so that none of them takes one between choice and use."""

Settings = Mapping[str, object]
"""By their names in a plane's settings.py; None: not given."""


@dataclass(frozen=True, slots=True)
class Workspace:
    id: str
    path: str
    """In the control plane's API."""
    api_key: str
    """Its default config, `default`, goes to the simulator."""


@dataclass(slots=True)
class Node:
    """One node of a gateway. Its Redis is the stack's."""

    name: str
    gateway: str
    port: int
    folder: Path
    program: Program
    workers_wanted: int
    token: str | None
    """For its first start."""

    @property
    def id(self) -> str:
        return str(json.loads((self.folder / "node.public.json").read_bytes())["node"])

    def children(self) -> dict[str, int]:
        """The living children's process ids by name, as their supervisor logged their starts."""
        living = kernel.children(self.program.pid)
        started = (line for line in self.logs("child_started") if line["pid"] in living)
        return {line["child"]: line["pid"] for line in started}

    def workers(self) -> dict[str, int]:
        return {name: pid for name, pid in self.children().items() if name.startswith("worker-")}

    def logs(self, event: str) -> list[Row]:
        lines = self.program.log.read_text(errors="replace").splitlines() if self.program.log.exists() else []
        parsed = (json.loads(line) for line in lines if line.startswith("{"))
        return [line for line in parsed if line.get("event") == event]

    def reports(self) -> dict[str, Row]:
        """What each worker last said of the state it serves, by its name."""
        found = {}
        for path in (self.folder / "workers").glob("*.json"):
            found[path.stem] = json.loads(path.read_bytes())
        return found

    def serves(self, shard: str, revision: int) -> bool:
        """Whether every worker serves the shard at this revision or a later one."""
        applied = [
            max((at["revision"] for at in report["applied"] if at["shard"] == shard), default=0)
            for report in self.reports().values()
        ]
        return len(applied) >= self.workers_wanted and min(applied) >= revision


@dataclass(frozen=True, slots=True)
class Session:
    """A person's, as a browser sends it."""

    cookie: str
    csrf_token: str


@dataclass(slots=True)
class Stack:
    folder: Path
    ports: "Ports"
    postgres_url: Secret
    superuser_url: Secret
    clickhouse_password: Secret
    redis_password: Secret
    simulator_key: Secret
    programs: dict[str, Program] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    workspaces: list[Workspace] = field(default_factory=list)
    api: ApiClient = field(init=False, repr=False)
    """Sends an admin key that may do everything."""
    admin_key: str = field(default="", repr=False)
    password: str = field(default_factory=secrets.token_urlsafe, repr=False)
    """The owner's."""
    organisation: str = ""
    workers: int = 2
    gateway_settings: Settings = field(default_factory=dict)
    gateway_module: str = "gateway"

    @property
    def control_plane_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.control_plane}"

    @property
    def simulator_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.simulator}"

    @property
    def control_plane(self) -> Program:
        return self.programs["control_plane"]

    @property
    def clickhouse(self) -> Program:
        return self.programs["clickhouse"]

    @property
    def clickhouse_url(self) -> Secret:
        """The control plane's."""
        return clickhouse_server.url(self.ports.clickhouse, self.clickhouse_password)

    @property
    def redis(self) -> Program:
        return self.programs["redis"]

    @property
    def postgres(self) -> Program:
        return self.programs["postgres"]

    async def gateway(self, name: str, workspaces: list[str] | None = None) -> str:
        """Register one. Its id."""
        made = await self.api.post("/api/v1/gateways", {"name": name, "workspaces": workspaces})
        return str(made["id"])

    async def node(
        self, gateway: str, *, module: str | None = None, token: str | None = None, **settings: object
    ) -> Node:
        """A new node of the gateway, launched with a token of its own or a given one; it may not be ready yet.

        `module`: what runs in place of `gateway`.
        """
        if token is None:
            token = (await self.api.post(f"/api/v1/gateways/{gateway}/enrolment-tokens"))["token"]
        name = f"node-{len(self.nodes)}"
        (port,) = free_ports(1)
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        given = {**self.gateway_settings, **settings}
        part = partial(self._gateway_part, len(self.nodes), module or self.gateway_module, given)
        program = Program(part, self.folder / f"{name}.log")
        self.nodes.append(Node(name, gateway, port, folder, program, self.workers, token))
        self.programs[name] = program
        program.launch()
        return self.nodes[-1]

    async def workspace(self, slug: str) -> Workspace:
        """One with everything a call needs."""
        made = await self.api.post("/api/v1/workspaces", {"slug": slug, "name": slug})
        path = f"/api/v1/workspaces/{made['id']}"
        credential = {"api_key": self.simulator_key.reveal_text()}
        key = {"slug": SIMULATOR, "name": "Simulator", "provider": SIMULATOR, "credential": credential}
        await self.api.post(f"{path}/virtual-keys", key)
        await self.api.post(
            f"{path}/configs", {"slug": "default", "name": "Default", "body": {"virtual_key": SIMULATOR}}
        )
        api_key = await self.api.post(f"{path}/api-keys", {"name": "Caller", "default_config": "default"})
        self.workspaces.append(Workspace(made["id"], path, api_key["key"]))
        return self.workspaces[-1]

    async def log_in(self) -> Session:
        """A new session of the owner."""
        jar = CookieJar(unsafe=True)
        async with ClientSession(self.control_plane_url, cookie_jar=jar) as browser:
            async with browser.post("/api/v1/login", json={"email": OWNER, "password": self.password}) as response:
                csrf_token = (await response.json())["csrf_token"]
            cookies = "; ".join(f"{cookie.key}={cookie.value}" for cookie in jar)
        return Session(cookies, csrf_token)

    async def sql(self, statement: str, *values: object) -> list[asyncpg.Record]:
        """Rows, as the control plane's role sees them where its scope is the whole instance."""
        connection = await asyncpg.connect(self.postgres_url.reveal_text())
        try:
            await connection.execute("select set_config('gatehouse.scope', 'instance', false)")
            rows: list[asyncpg.Record] = await connection.fetch(statement, *values)
            return rows
        finally:
            await connection.close()

    async def node_view(self, node: Node) -> Row:
        """The node as the gateways API shows it."""
        return await self.api.get(f"/api/v1/gateways/{node.gateway}/nodes/{node.id}")

    async def serves_all(self, node: Node) -> bool:
        """Whether every worker of the node serves all that the control plane says now."""
        heads = await self.sql(
            "select shard, revision from shard_head left join workspace on shard = 'ws:' || workspace.id"
            " left join gateway on gateway.id = $1 where shard not like 'ws:%' and shard_head.organisation in"
            " ('instance', $2) or shard_head.organisation = $2 and workspace.id is not null"
            " and (gateway.workspaces is null or workspace.id = any(gateway.workspaces))",
            node.gateway,
            self.organisation,
        )
        return all(node.serves(head["shard"], head["revision"]) for head in heads)

    async def at_rest(self) -> None:
        """Until every node serves all. Raises ProgramFailed if one never does."""
        for node in self.nodes:
            await node.program.until(partial(self.serves_all, node), REST_S_MAX)

    def _gateway_part(self, number: int, module: str, settings: Settings) -> Part:
        node = self.nodes[number]
        given = {
            "state_dir": node.folder,
            "redis_url": redis_server.url(self.ports.redis, self.redis_password).reveal_text(),
            "control_plane_url": self.control_plane_url,
            "port": node.port,
            "workers": self.workers,
            "upstream_allow_cidrs": "127.0.0.0/8",
            "drain_s": 2,
            "metrics_port": 0,
            "enrolment_token": node.token,
            **settings,
        }
        return _python(module, node.port, "/readyz", given, "--role", "all")


@dataclass(frozen=True, slots=True)
class Ports:
    postgres: int
    clickhouse: int
    redis: int
    simulator: int
    control_plane: int


@asynccontextmanager
async def standing(
    folder: Path,
    *,
    gateways: int = 1,
    nodes: int = 1,
    workspaces: int = 1,
    workers: int = 2,
    gateway_settings: Settings | None = None,
    gateway_module: str = "gateway",
    control_plane_settings: Settings | None = None,
    control_plane_port: int | None = None,
    taken: bool = True,
) -> AsyncIterator[Stack]:
    """Everything ready to take calls; `nodes` of each gateway. Raises ProgramFailed.

    Not `taken`: the control plane still waits for its owner, and has nothing in it.
    """
    ports = Ports(*free_ports(5))
    if control_plane_port is not None:
        ports = replace(ports, control_plane=control_plane_port)
    superuser, password = _secret(), _secret()
    stack = Stack(
        folder,
        ports,
        postgres_url=postgres.url(ports.postgres, password),
        superuser_url=Secret(
            f"postgresql://{postgres.SUPERUSER}:{superuser.reveal_text()}@{LOOPBACK}:{ports.postgres}/{postgres.NAME}"
        ),
        clickhouse_password=_secret(),
        redis_password=_secret(),
        simulator_key=Secret(f"sk-simulator-{secrets.token_hex(16)}"),
        workers=workers,
        gateway_settings=gateway_settings or {},
        gateway_module=gateway_module,
    )
    async with AsyncExitStack() as ending:
        ending.push_async_callback(_stop_all, stack)
        await _start_ground(stack, superuser, password, control_plane_settings or {})
        stack.api = await ending.enter_async_context(connected(stack.control_plane_url))
        if taken:
            await _take_possession(stack)
        for number in range(workspaces if taken else 0):
            await stack.workspace(f"workspace-{number}")
        for number in range(gateways if taken else 0):
            gateway = await stack.gateway(f"gateway-{number}")
            for _ in range(nodes):
                await stack.node(gateway)
        for node in stack.nodes:
            await node.program.ready()
        await stack.at_rest()
        yield stack


async def _start_ground(stack: Stack, superuser: Secret, password: Secret, settings: Settings) -> None:
    """PostgreSQL, ClickHouse, Redis, simulator and control plane."""
    folder, ports = stack.folder, stack.ports
    server = postgres_programs.find(os.environ.get("PATH"), folder / "postgres")
    await postgres.initialise(server, superuser, fsync=False)
    make_postgres = partial(postgres.part, server, ports.postgres, superuser, fsync=False)
    clickhouse_folder, redis_folder, key_file = folder / "clickhouse", folder / "redis", folder / "simulator.key"
    for made in (clickhouse_folder, redis_folder):
        made.mkdir(mode=0o700)
    key_file.write_bytes(stack.simulator_key.reveal())
    binary = redis_server.binary(os.environ.get("PATH"))
    make_redis = partial(redis_server.part, binary, redis_folder, ports.redis, stack.redis_password)
    control_plane = {
        "postgres_url": stack.postgres_url.reveal_text(),
        "clickhouse_url": stack.clickhouse_url.reveal_text(),
        "state_dir": folder / "control_plane",
        "port": ports.control_plane,
        "metrics_port": 0,
        "drain_s": 2,
        **settings,
    }
    makers = {
        "postgres": make_postgres,
        "clickhouse": partial(clickhouse_server.part, clickhouse_folder, ports.clickhouse, stack.clickhouse_password),
        "redis": make_redis,
        "simulator": partial(
            _python,
            "embedded.simulator",
            ports.simulator,
            "/livez",
            {},
            f"--port={ports.simulator}",
            f"--key-file={key_file}",
        ),
        "control_plane": partial(
            _python, "control_plane", ports.control_plane, "/readyz", control_plane, "--role", "all"
        ),
    }
    stack.programs.update({name: Program(make, folder / f"{name}.log") for name, make in makers.items()})
    stack.clickhouse.launch()
    await stack.postgres.start()
    await postgres.settle(ports.postgres, superuser, password)
    for name in ("redis", "simulator", "control_plane"):
        stack.programs[name].launch()
    for name in ("clickhouse", "redis", "simulator", "control_plane"):
        await stack.programs[name].ready()


async def _take_possession(stack: Stack) -> None:
    """Make the owner with the printed code, then an admin key for everything else, and the simulator's provider row."""
    code = (stack.folder / "control_plane" / FIRST_RUN_CODE).read_text()
    owner = {
        "email": OWNER,
        "password": stack.password,
        "name": "Owner",
        "organisation": "Chaos",
    }
    async with connected(stack.control_plane_url) as browser:
        session = await browser.post("/api/v1/first-run", {**owner, "code": code})
        signed_in = browser.sending({"x-gatehouse-csrf": session["csrf_token"]})
        described = (await browser.get("/api/openapi.json"))["components"]["schemas"]["AdminKeyCreate"]
        scopes = described["properties"]["scopes"]["items"]["enum"]
        stack.admin_key = (await signed_in.post("/api/v1/admin-keys", {"name": "Chaos", "scopes": scopes}))["key"]
    stack.organisation = session["organisation"]["id"]
    stack.api = stack.api.sending({"authorization": f"Bearer {stack.admin_key}"})
    row = {"id": SIMULATOR, "name": "Simulator", "base_url": f"{stack.simulator_url}/v1"}
    await stack.api.post("/api/v1/providers", row)


async def _stop_all(stack: Stack) -> None:
    """Those first that need the others."""
    for program in reversed(stack.programs.values()):
        await program.stop()


def free_ports(count: int) -> list[int]:
    """Different ports nobody listens on now."""
    return list(islice(filter(_is_free, random.sample(_PORTS, len(_PORTS))), count))


def environment(settings: Settings) -> dict[str, str]:
    """What a plane's process gets."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    given = {name: str(value) for name, value in settings.items() if value is not None}
    return inherited | {f"GATEHOUSE_{name.upper()}": value for name, value in given.items()}


def chat(**fields: Any) -> Row:
    return {"model": "sim-chat", "messages": [{"role": "user", "content": "Hello"}], **fields}


def _python(module: str, port: int, ready_path: str, settings: Settings, *arguments: str) -> Part:
    command = (sys.executable, "-m", module, *arguments)
    return Part(module, command, environment(settings), partial(_is_ok, port, ready_path))


async def _is_ok(port: int, path: str) -> bool:
    status, _ = await get(LOOPBACK, port, path)
    return status == 200


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _secret() -> Secret:
    return Secret(secrets.token_hex(16))
