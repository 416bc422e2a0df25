"""A whole gateway of the bench's own: a folder that is made once, and the gateway that is started from it."""

import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from bench import accounting, probe
from bench.placement import Placement
from bench.processes import Running, free_port, run_to_end, running
from embedded.part import Part
from embedded.ports import LOOPBACK
from shared.crypto.secret import Secret


@dataclass(frozen=True, slots=True)
class Node:
    """One gateway, `name`, whose state is in `folder`. It listens on `port`, each time it is started."""

    name: str
    folder: Path
    port: int
    environment: Mapping[str, str]
    """What any process of the bench is given."""
    redis_url: Secret
    place: Placement
    settings: Mapping[str, str]
    """Beyond those that join the parts."""
    tls: Path | None = None
    """The authority that vouches for it, where its callers speak TLS."""

    @classmethod
    def new(
        cls,
        name: str,
        folder: Path,
        environment: Mapping[str, str],
        redis_url: Secret,
        place: Placement,
        settings: Mapping[str, str] | None = None,
        tls: Path | None = None,
    ) -> "Node":
        own = folder / name
        own.mkdir()
        return cls(name, own, free_port(), environment, redis_url, place, settings or {}, tls)

    @property
    def id(self) -> str:
        return f"gw_{self.name}"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @asynccontextmanager
    async def started_first(self, source: str) -> AsyncIterator[Running]:
        """Makes its keys and, sealed to them, its configuration from `source`; then it is ready. Raises PartFailed."""
        async with running(await self._part(), self.place.measured, self.folder) as gateway:

            async def has_keys() -> bool:
                return self._public_keys.exists()

            await gateway.until(has_keys)
            await self._make_snapshot(source)
            await gateway.until_ready()
            yield gateway

    @asynccontextmanager
    async def started_again(self) -> AsyncIterator[Running]:
        """As it was left; not ready yet."""
        async with running(await self._part(), self.place.measured, self.folder) as gateway:
            yield gateway

    @property
    def _public_keys(self) -> Path:
        return self.state / "node.public.json"

    @property
    def _snapshot(self) -> Path:
        return self.folder / "snapshot.json"

    async def _part(self) -> Part:
        fingerprint = (await self._control_plane("fingerprint")).decode().strip()
        joined = {
            "GATEHOUSE_STATE_DIR": str(self.state),
            "GATEHOUSE_REDIS_URL": self.redis_url.reveal_text(),
            "GATEHOUSE_GATEWAY": self.id,
            "GATEHOUSE_SNAPSHOT": str(self._snapshot),
            "GATEHOUSE_SIGNING_FINGERPRINT": fingerprint,
            "GATEHOUSE_PORT": str(self.port),
            "GATEHOUSE_METRICS_PORT": "0",
            "GATEHOUSE_WORKERS": "1",
            "GATEHOUSE_UPSTREAM_ALLOW_CIDRS": "127.0.0.0/8",
        }
        command = (sys.executable, "-m", "gateway", "--role", "all")
        return Part(self.name, command, {**self.environment, **joined, **self.settings}, self._ready)

    async def _ready(self) -> bool:
        request = f"GET /readyz HTTP/1.1\r\nhost: {LOOPBACK}\r\n\r\n".encode()
        tls = None if self.tls is None else ssl.create_default_context(cafile=self.tls)
        try:
            status, _ = await probe.ask(self.port, request, tls)
        except (probe.NoAnswer, OSError, TimeoutError):
            return False
        return status == HTTPStatus.OK

    async def _make_snapshot(self, source: str) -> None:
        file = self.folder / "source.toml"
        file.write_text(source)
        await self._control_plane(
            "snapshot",
            str(file),
            f"--node={self._public_keys}",
            f"--state={self.folder / 'builder.state'}",
            f"--output={self._snapshot}",
        )

    async def _control_plane(self, verb: str, *arguments: str) -> bytes:
        """The control plane's side: signs and seals what the gateway is to serve."""
        key = f"--signing-key={self.folder / 'signing.key'}"
        command = (sys.executable, "-m", "control_plane", verb, key, *arguments)
        return await run_to_end(command, self.environment, self.place.others)


def roles(root: int, state: Path) -> dict[int, str]:
    """What each process of a gateway is. A worker has mapped a file of `state` that it marks requests in."""
    return {
        pid: "supervisor" if pid == root else "worker" if accounting.maps(pid, str(state / "slots")) else "agent"
        for pid in accounting.members(root)
    }
