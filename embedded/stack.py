"""The local stack, told in the order it starts: stores, simulator, control plane, what is in it, gateway."""

import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson

from embedded import clickhouse_server, owner, postgres, postgres_programs, redis_server
from embedded.api_client import connected
from embedded.furnish import WORKSPACE, Furnisher, Furniture
from embedded.owner import Owner
from embedded.ports import Ports
from embedded.programs import Programs
from embedded.provider_keys import Found
from embedded.state import StateFolder, made_once
from embedded.supervisor import Supervisor
from shared.crypto.secret import Secret
from shared.protocol.node import NodePublic

OWNER_EMAIL = "owner@gatehouse.local"


@dataclass(frozen=True, slots=True)
class Running:
    """What a caller needs to know of a stack that is ready."""

    control_plane_url: str
    gateway_url: str
    simulator_url: str
    owner: Owner
    api_key: Secret
    admin_key: Secret
    workspace: str = WORKSPACE
    """Its slug."""

    def run_json(self) -> bytes:
        fields = {
            "control_plane_url": self.control_plane_url,
            "gateway_url": self.gateway_url,
            "owner": {"email": self.owner.email, "password": self.owner.password.reveal_text()},
            "api_key": self.api_key.reveal_text(),
            "admin_key": self.admin_key.reveal_text(),
            "workspace": self.workspace,
            "simulator_url": self.simulator_url,
        }
        return orjson.dumps(fields, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


class Stack:
    """`environment` is the one `up` was called in; a store named there takes the place of our own."""

    def __init__(
        self,
        *,
        state: StateFolder,
        host: str,
        ports: Ports,
        environment: Mapping[str, str],
        found: Found,
        supervisor: Supervisor,
        report: Callable[[str], None],
    ) -> None:
        self._state = state
        self._host = host
        self._ports = ports
        self._environment = environment
        self._found = found
        self._supervisor = supervisor
        self._report = report
        self._programs = Programs(state, host, ports, environment)

    async def start(self) -> Running:
        """Start every part and wait until calls work.

        Raises PartFailed, PortTaken, NoClickhouse, NoRedis, NoPostgres, NoWayIn, ApiError.
        """
        supervisor, programs = self._supervisor, self._programs
        self._check_ports()
        simulator_key = self._secret("simulator_key", lambda: f"sk-simulator-{secrets.token_urlsafe(24)}")
        # Takes longest, so it is launched first; the control plane does not wait for it either.
        clickhouse_url = self._given("GATEHOUSE_CLICKHOUSE_URL") or self._launch_clickhouse()
        redis_url = self._given("GATEHOUSE_REDIS_URL") or await self._redis()
        postgres_url = self._given("GATEHOUSE_POSTGRES_URL") or await self._postgres()
        supervisor.launch(programs.simulator())
        supervisor.launch(programs.control_plane(postgres_url, clickhouse_url))
        await supervisor.ready("simulator")
        if not self._given("GATEHOUSE_CLICKHOUSE_URL"):
            await supervisor.ready("clickhouse")
        await supervisor.ready("control_plane")

        for note in self._found.notes:
            self._report(note)
        us = Owner(OWNER_EMAIL, self._secret("owner_password", lambda: secrets.token_urlsafe(18)))
        admin_key = await owner.admin_key(
            programs.control_plane_url,
            us,
            first_run_code=self._state.control_plane / "first-run-code",
            file=self._state.secrets / "admin_key",
        )
        async with connected(programs.control_plane_url) as api:
            furnisher = Furnisher(api.sending(owner.bearer(admin_key)), self._state, self._report)
            furniture = await furnisher.furnish(
                programs.simulator_url, simulator_key, self._found.keys, programs.gateway_url
            )
            await self._gateway(furnisher, furniture, redis_url)
        return Running(
            control_plane_url=programs.control_plane_url,
            gateway_url=programs.gateway_url,
            simulator_url=programs.simulator_url,
            owner=us,
            api_key=furniture.api_key,
            admin_key=admin_key,
        )

    def _check_ports(self) -> None:
        given = {
            "clickhouse": "GATEHOUSE_CLICKHOUSE_URL",
            "redis": "GATEHOUSE_REDIS_URL",
            "postgres": "GATEHOUSE_POSTGRES_URL",
        }
        ours = {part for part, setting in given.items() if not self._environment.get(setting)}
        self._ports.check(self._host, {"control_plane", "gateway", "simulator", *ours})

    def _launch_clickhouse(self) -> Secret:
        """Start an engine of our own without waiting for it, and return its address."""
        password = self._secret("clickhouse_password", lambda: secrets.token_hex(24))
        part = clickhouse_server.part(self._state.clickhouse, self._ports.clickhouse, password)
        self._supervisor.launch(part)
        return clickhouse_server.url(self._ports.clickhouse, password)

    async def _redis(self) -> Secret:
        """Start a Redis of our own, and return its address."""
        password = self._secret("redis_password", lambda: secrets.token_hex(24))
        server = redis_server.binary(self._environment.get("PATH"))
        await self._supervisor.start(redis_server.part(server, self._state.redis, self._ports.redis, password))
        return redis_server.url(self._ports.redis, password)

    async def _postgres(self) -> Secret:
        """Start a PostgreSQL of our own, and return its address."""
        superuser = self._secret("postgres_superuser", lambda: secrets.token_hex(24))
        password = self._secret("postgres_password", lambda: secrets.token_hex(24))
        server = postgres_programs.find(self._environment.get("PATH"), self._state.postgres)
        await postgres.initialise(server, superuser)
        await self._supervisor.start(postgres.part(server, self._ports.postgres, superuser))
        await postgres.settle(self._ports.postgres, superuser, password)
        return postgres.url(self._ports.postgres, password)

    async def _gateway(self, furnisher: Furnisher, furniture: Furniture, redis_url: Secret) -> None:
        """Start the gateway, enrolled, and wait until every worker serves all that the control plane says now."""

        async def serves_all() -> bool:
            if not await self._programs.gateway_ready():
                return False
            node = await furnisher.node(furniture.gateway, self._node() or "")
            return node is not None and all(shard["applied"] == shard["head"] for shard in node["shards"])

        node = self._node()
        token = None
        if node is None or await furnisher.node(furniture.gateway, node) is None:
            if node is not None:
                self._report("the control plane does not know this gateway's node; it starts anew")
                shutil.rmtree(self._state.gateway)
            token = await furnisher.enrolment_token(furniture.gateway)
        self._supervisor.launch(self._programs.gateway(redis_url, token))
        await self._supervisor.ready("gateway", serves_all)

    def _node(self) -> str | None:
        """The id of the gateway's node, which makes it at its first start."""
        file = self._state.gateway / "node.public.json"
        return NodePublic.model_validate_json(file.read_bytes()).node if file.exists() else None

    def _given(self, setting: str) -> Secret | None:
        value = self._environment.get(setting)
        return Secret(value) if value else None

    def _secret(self, name: str, make: Callable[[], str]) -> Secret:
        return made_once(self._state.secrets / name, lambda: Secret(make()))
