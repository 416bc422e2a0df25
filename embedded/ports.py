"""Which port each part has, whether it is free, and who has it if it is not."""

import errno
import socket
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"
CLICKHOUSE = 18123
CONTROL_PLANE = 8080
CONTROL_PLANE_METRICS = 8081
GATEWAY = 8787
GATEWAY_METRICS = 8788
POSTGRES = 15432
REDIS = 16379
SIMULATOR = 18787
OFFSET_MAX = 65_535 - SIMULATOR
STEP = 10
"""Between two stacks on one machine."""


class PortTaken(Exception):
    """The text names the port, who has it or why else it cannot be had, and the way out."""


@dataclass(frozen=True, slots=True)
class Ports:
    offset: int

    @property
    def clickhouse(self) -> int:
        return CLICKHOUSE + self.offset

    @property
    def control_plane(self) -> int:
        return CONTROL_PLANE + self.offset

    @property
    def control_plane_metrics(self) -> int:
        return CONTROL_PLANE_METRICS + self.offset

    @property
    def gateway(self) -> int:
        return GATEWAY + self.offset

    @property
    def gateway_metrics(self) -> int:
        return GATEWAY_METRICS + self.offset

    @property
    def postgres(self) -> int:
        return POSTGRES + self.offset

    @property
    def redis(self) -> int:
        return REDIS + self.offset

    @property
    def simulator(self) -> int:
        return SIMULATOR + self.offset

    @classmethod
    def free(cls, host: str) -> "Ports":
        """The lowest offset above 0 at which every port is free just now. Raises PortTaken."""
        for offset in range(STEP, OFFSET_MAX, STEP):
            ports = cls(offset)
            if ports._all_free(host):
                return ports
        raise PortTaken("no port offset was found at which every port is free")

    def listed(self, host: str) -> Iterator[tuple[str, str, int]]:
        """Part, address, port. Only the two planes may be reached from outside."""
        yield "control_plane", host, self.control_plane
        yield "control_plane_metrics", LOOPBACK, self.control_plane_metrics
        yield "gateway", host, self.gateway
        yield "gateway_metrics", LOOPBACK, self.gateway_metrics
        yield "clickhouse", LOOPBACK, self.clickhouse
        yield "postgres", LOOPBACK, self.postgres
        yield "redis", LOOPBACK, self.redis
        yield "simulator", LOOPBACK, self.simulator

    def _all_free(self, host: str) -> bool:
        """Raises PortTaken where no other port of that address would do either."""
        for part, where, port in self.listed(host):
            if (refusal := _refusal(where, port)) is not None:
                if refusal.errno != errno.EADDRINUSE:
                    raise _not_had(part, where, port, refusal)
                return False
        return True

    def check(self, host: str, parts: Collection[str]) -> None:
        """Raises PortTaken for the first of these parts' ports that cannot be had."""
        for part, where, port in self.listed(host):
            if part in parts and (refusal := _refusal(where, port)) is not None:
                if refusal.errno != errno.EADDRINUSE:
                    raise _not_had(part, where, port, refusal)
                raise PortTaken(
                    f"port {port} ({part}) is taken{_by_whom(port)}; free it, or move all with --port-offset N"
                )


def _not_had(part: str, host: str, port: int, refusal: OSError) -> PortTaken:
    return PortTaken(f"port {port} ({part}) of {host} cannot be had: {refusal.strerror}")


def _refusal(host: str, port: int) -> OSError | None:
    """What the kernel says against listening there; None: nothing."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
        return None


def _by_whom(port: int) -> str:
    """` by process 12 (nginx)`, or nothing where it cannot be seen. Not the command line, which may hold keys."""
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if any(str(handle.readlink()) in sockets for handle in (process / "fd").iterdir()):
                return f" by process {process.name} ({(process / 'comm').read_text().strip()})"
    return ""


def _listening(port: int) -> Iterator[str]:
    """The inodes of the sockets that listen on `port`, from the kernel's tables."""
    for table in ("tcp", "tcp6"):
        with suppress(FileNotFoundError):
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                row = line.split()
                if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port:
                    yield row[9]
