"""The local stack, told in the order it starts: Redis, the simulator, the gateway, its first configuration."""

import asyncio
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import orjson

from embedded import local_file, redis_server
from embedded.child import die_with_parent
from embedded.keeper import PartFailed
from embedded.part import Part, get
from embedded.ports import LOOPBACK, Ports
from embedded.provider_keys import Found
from embedded.state import StateFolder, made_once, write_private
from embedded.supervisor import Supervisor
from shared.clock import Clock
from shared.crypto.api_keys import new_api_key
from shared.crypto.secret import Secret

INHERITED = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
    "NO_PROXY",
)
"""What parts get of the environment `up` was called in, the gateway its settings (GATEHOUSE_…) too."""
COMMAND_S_MAX = 60.0
LEASE_HOURS = "8760"
"""A year: nothing renews the lease of a snapshot that was made from a file."""
READY_PROBES = 8


@dataclass(frozen=True, slots=True)
class Running:
    """What a caller needs to know of a stack that is ready."""

    gateway_url: str
    simulator_url: str
    api_key: Secret
    workspace: str = local_file.WORKSPACE

    def run_json(self) -> bytes:
        fields = {
            "gateway_url": self.gateway_url,
            "simulator_url": self.simulator_url,
            "api_key": self.api_key.reveal_text(),
            "workspace": self.workspace,
        }
        return orjson.dumps(fields, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


class Stack:
    """`environment` is the one `up` was called in; the stack reads settings from it and gives parts little of it."""

    def __init__(
        self,
        *,
        state: StateFolder,
        host: str,
        ports: Ports,
        environment: Mapping[str, str],
        found: Found,
        supervisor: Supervisor,
        clock: Clock,
        report: Callable[[str], None],
    ) -> None:
        self._state = state
        self._host = host
        self._ports = ports
        self._environment = environment
        self._found = found
        self._supervisor = supervisor
        self._clock = clock
        self._report = report
        self._sequence = 1
        """The snapshot the gateway has to serve before it counts as ready: an older one names older addresses."""

    async def start(self) -> Running:
        """Start every part and wait until calls work. Raises PartFailed, PortTaken or NoRedis."""
        given = self._environment.get("GATEHOUSE_REDIS_URL")
        self._ports.check(self._host, {"gateway", "simulator"} if given else {"gateway", "simulator", "redis"})
        state, key_file = self._state, self._state.secrets / "simulator_key"
        simulator_key = made_once(key_file, lambda: Secret(f"sk-simulator-{secrets.token_urlsafe(24)}"))
        api_key = made_once(state.secrets / "api_key", new_api_key)

        redis_url = Secret(given) if given else await self._redis()
        await self._supervisor.start(self._simulator())

        fingerprint = await self._control_plane("fingerprint", *self._signing_key())
        began = self._clock.monotonic_s()
        self._supervisor.launch(self._gateway(redis_url, fingerprint))
        for note in self._found.notes:
            self._report(note)
        simulator_url = f"http://{LOOPBACK}:{self._ports.simulator}"
        text = local_file.text(
            simulator_url=simulator_url,
            simulator_key=simulator_key,
            api_key=api_key,
            provider_keys=self._found.keys,
        )
        write_private(state.local_toml, text.encode())
        await self._snapshot()
        await self._supervisor.ready("gateway", began)
        return Running(f"http://{_in_url(_reached_at(self._host))}:{self._ports.gateway}", simulator_url, api_key)

    async def _redis(self) -> Secret:
        """Start a Redis of our own, and return its address."""
        password = made_once(self._state.secrets / "redis_password", lambda: Secret(secrets.token_hex(24)))
        server = redis_server.binary(self._environment.get("PATH"))
        await self._supervisor.start(redis_server.part(server, self._state.redis, self._ports.redis, password))
        return redis_server.url(self._ports.redis, password)

    def _simulator(self) -> Part:
        port = self._ports.simulator

        async def ready() -> bool:
            return (await get(LOOPBACK, port, "/livez"))[0] == 200

        command = ("embedded.simulator", "--port", str(port), "--key-file", str(self._state.secrets / "simulator_key"))
        return Part("simulator", _python(*command), self._child_environment(), ready)

    def _gateway(self, redis_url: Secret, fingerprint: str) -> Part:
        given = self._environment.get("GATEHOUSE_UPSTREAM_ALLOW_CIDRS", "")
        environment = {
            **self._child_environment(),
            "GATEHOUSE_DRAIN_S": "5",
            **{name: value for name, value in self._environment.items() if name.startswith("GATEHOUSE_")},
            "GATEHOUSE_STATE_DIR": str(self._state.gateway),
            "GATEHOUSE_REDIS_URL": redis_url.reveal_text(),
            "GATEHOUSE_GATEWAY": local_file.GATEWAY,
            "GATEHOUSE_SNAPSHOT": str(self._state.snapshot),
            "GATEHOUSE_SIGNING_FINGERPRINT": fingerprint,
            "GATEHOUSE_HOST": self._host,
            "GATEHOUSE_PORT": str(self._ports.gateway),
            "GATEHOUSE_UPSTREAM_ALLOW_CIDRS": ",".join(filter(None, (given, "127.0.0.0/8", "::1/128"))),
        }
        return Part("gateway", _python("gateway", "--role", "all"), environment, self._gateway_ready, stop_s_max=30.0)

    async def _gateway_listens(self) -> bool:
        status, _ = await get(_reached_at(self._host), self._ports.gateway, "/livez")
        return status == 200

    async def _gateway_ready(self) -> bool:
        """Whether every worker serves the snapshot made at this start.

        The kernel spreads connections over the workers, so a few are asked at once: one alone would speak for one.
        """
        probe = partial(get, _reached_at(self._host), self._ports.gateway, "/readyz")
        answers = await asyncio.gather(*(probe() for _ in range(READY_PROBES)))
        return all(status == 200 and orjson.loads(body)["sequence"] >= self._sequence for status, body in answers)

    async def _snapshot(self) -> None:
        """Make the gateway's configuration. It is sealed to the node's keys, which the node makes before it listens."""
        state = self._state
        await self._supervisor.until("gateway", self._gateway_listens)
        said = await self._control_plane(
            "snapshot",
            str(state.local_toml),
            *("--node", str(state.gateway / "node.public.json")),
            *self._signing_key(),
            *("--state", str(state.control_plane / "state")),
            *("--output", str(state.snapshot)),
            *("--lease-hours", LEASE_HOURS),
        )
        self._sequence = int(said.split()[1])

    def _signing_key(self) -> tuple[str, str]:
        return "--signing-key", str(self._state.control_plane / "signing.key")

    async def _control_plane(self, *arguments: str) -> str:
        """Run one of the control plane's commands and return what it printed. Raises PartFailed with its complaint."""
        process = await asyncio.create_subprocess_exec(
            *_python("control_plane", *arguments),
            env=self._child_environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=die_with_parent(),
        )
        try:
            async with asyncio.timeout(COMMAND_S_MAX):
                said, complaint = await process.communicate()
        except TimeoutError:
            raise PartFailed(f"control_plane {arguments[0]}: not done within {COMMAND_S_MAX:g} s") from None
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            raise PartFailed(f"control_plane {arguments[0]}: {complaint.decode(errors='replace').strip()}")
        return said.decode().strip()

    def _child_environment(self) -> dict[str, str]:
        given = self._environment
        return {name: given[name] for name in INHERITED if name in given} | {"PYTHONUNBUFFERED": "1"}


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return sys.executable, "-m", module, *arguments


def _reached_at(host: str) -> str:
    """Where this machine reaches what listens on `host`."""
    return {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104 - compared, not listened on


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
