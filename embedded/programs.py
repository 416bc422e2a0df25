"""The parts that are programs of this repository: how simulator, control plane and gateway start and are seen."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from embedded.part import Part, get
from embedded.ports import LOOPBACK, Ports
from embedded.state import StateFolder
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
"""What parts get of the environment `up` was called in; both planes get their settings (GATEHOUSE_…) too."""
NOT_PASSED_ON = frozenset(
    {"GATEHOUSE_POSTGRES_URL", "GATEHOUSE_REDIS_URL", "GATEHOUSE_CLICKHOUSE_URL", "GATEHOUSE_ENROLMENT_TOKEN"}
    # Parts of this stack look for each other on loopback, by number and without TLS.
    | {"GATEHOUSE_TLS_CERT_FILE", "GATEHOUSE_TLS_KEY_FILE"}
)
"""What holds a secret and is for one plane alone, and what would keep the parts from each other."""
READY_PROBES = 8


@dataclass(frozen=True, slots=True)
class Programs:
    """`environment` is the one `up` was called in; `host` is where both planes listen."""

    state: StateFolder
    host: str
    ports: Ports
    environment: Mapping[str, str]

    @property
    def simulator_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.simulator}"

    @property
    def control_plane_url(self) -> str:
        return f"http://{_in_url(self._reached_at)}:{self.ports.control_plane}"

    @property
    def gateway_url(self) -> str:
        return f"http://{_in_url(self._reached_at)}:{self.ports.gateway}"

    def simulator(self) -> Part:
        command = ("--port", str(self.ports.simulator), "--key-file", str(self.state.secrets / "simulator_key"))
        ready = partial(_is_ok, LOOPBACK, self.ports.simulator, "/livez")
        return Part("simulator", _python("embedded.simulator", *command), self._inherited(), ready)

    def control_plane(self, postgres_url: Secret, clickhouse_url: Secret) -> Part:
        environment = {
            **self._inherited(),
            "GATEHOUSE_PUBLIC_URL": self.control_plane_url,
            **self._settings(),
            "GATEHOUSE_POSTGRES_URL": postgres_url.reveal_text(),
            "GATEHOUSE_CLICKHOUSE_URL": clickhouse_url.reveal_text(),
            "GATEHOUSE_STATE_DIR": str(self.state.control_plane),
            "GATEHOUSE_KMS": "local:kms.json",
            "GATEHOUSE_HOST": self.host,
            "GATEHOUSE_PORT": str(self.ports.control_plane),
            "GATEHOUSE_METRICS_PORT": str(self.ports.control_plane_metrics),
        }
        command = _python("control_plane", "--role", "all")
        ready = partial(_is_ok, self._reached_at, self.ports.control_plane, "/readyz")
        return Part("control_plane", command, environment, ready, stop_s_max=30.0)

    def gateway(self, redis_url: Secret, enrolment_token: Secret | None) -> Part:
        """`enrolment_token`: only at a node's first start."""
        given = self.environment.get("GATEHOUSE_UPSTREAM_ALLOW_CIDRS", "")
        token = {} if enrolment_token is None else {"GATEHOUSE_ENROLMENT_TOKEN": enrolment_token.reveal_text()}
        environment = {
            **self._inherited(),
            **self._settings(),
            **token,
            "GATEHOUSE_CONTROL_PLANE_URL": self.control_plane_url,
            "GATEHOUSE_STATE_DIR": str(self.state.gateway),
            "GATEHOUSE_REDIS_URL": redis_url.reveal_text(),
            "GATEHOUSE_HOST": self.host,
            "GATEHOUSE_PORT": str(self.ports.gateway),
            "GATEHOUSE_METRICS_PORT": str(self.ports.gateway_metrics),
            "GATEHOUSE_UPSTREAM_ALLOW_CIDRS": ",".join(filter(None, (given, "127.0.0.0/8", "::1/128"))),
        }
        command = _python("gateway", "--role", "all")
        return Part("gateway", command, environment, self.gateway_ready, stop_s_max=30.0)

    async def gateway_ready(self) -> bool:
        """Whether every worker has a configuration to serve.

        The kernel spreads connections over the workers, so a few are asked at once: one alone would speak for one.
        """
        probe = partial(_is_ok, self._reached_at, self.ports.gateway, "/readyz")
        return all(await asyncio.gather(*(probe() for _ in range(READY_PROBES))))

    @property
    def _reached_at(self) -> str:
        """Where this machine reaches what listens on `host`."""
        return {"0.0.0.0": LOOPBACK, "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared, not listened on

    def _inherited(self) -> dict[str, str]:
        given = self.environment
        return {name: given[name] for name in INHERITED if name in given} | {"PYTHONUNBUFFERED": "1"}

    def _settings(self) -> dict[str, str]:
        """A stop should not take long here, unless somebody wants it to."""
        given = self.environment.items()
        settings = {name: value for name, value in given if name.startswith("GATEHOUSE_") and name not in NOT_PASSED_ON}
        return {"GATEHOUSE_DRAIN_S": "5", **settings}


async def _is_ok(host: str, port: int, path: str) -> bool:
    status, _ = await get(host, port, path)
    return status == 200


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return sys.executable, "-m", module, *arguments


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
