"""The composition root of the gateway: settings become a node's processes, each of which makes its parts (`roles/`)."""

import os
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from enum import StrEnum
from functools import partial
from typing import Any

import structlog
import uvloop

from gateway.roles.node import disk_copy, endpoints_of, freeze_collector, identity_of
from gateway.roles.worker import certificate_of, worker
from gateway.settings import Settings
from gateway.supervise import Child, Supervisor, hold, listen, one_heap
from gateway.sync import reports
from gateway.sync.identity import IdentityError
from gateway.sync.node_keys import NodeKeys, NodeKeysError, load_or_make
from gateway.telemetry.recover import Recovery
from gateway.upstream.tls import client_context
from shared import logs, process_limits

SUPERVISOR_GRACE_S = 5.0
"""What the supervisor allows a worker beyond its own draining."""
HOLD = "gateway.lock"
"""In the state folder: had by all processes of a node that runs workers."""
FILES_EACH = 2
"""Of a running request: its caller's connection, and its provider's."""
WORKERS_FIRST_S = 0.5
"""How long workers that have something to serve have the processor for themselves before the agent begins."""

log = structlog.get_logger("gateway")


class Role(StrEnum):
    ALL = "all"
    PROXY = "proxy"
    AGENT = "agent"


def run(settings: Settings, role: Role) -> int:
    """Run one node until it is asked to stop. Returns the exit code, having said in one line why it cannot start."""
    logs.set_up(settings.log_level, sys.stderr)
    process_limits.forbid_core_dumps()
    one_heap()
    if role is not Role.AGENT:
        _allow_connections(settings)
    try:
        node_keys = _node_keys(settings)
        _require_identity(settings)
        recovery = Recovery(settings.state_dir)
        if role is not Role.AGENT:
            _hold(settings)
            reports.clear(settings.state_dir)
            recovery.everybody()
        sockets = [] if role is Role.AGENT else _listen(settings)
        upstream_tls = client_context(settings.upstream_ca_file)
        certificate_of(settings)
    except (NodeKeysError, IdentityError, OSError, ValueError) as error:
        print(f"the gateway cannot start: {error}", file=sys.stderr)
        return 1
    children = [
        Child(
            f"worker-{index}",
            partial(_in_loop, partial(worker, settings, node_keys, upstream_tls, sock, f"worker-{index}")),
            sock,
        )
        for index, sock in enumerate(sockets)
    ]
    if role is not Role.PROXY:
        agent = Child("agent", partial(_in_loop, partial(_agent, settings, node_keys)))
        agent.ends_last_s = settings.ship_drain_s + SUPERVISOR_GRACE_S
        agent.gives_way = True  # What it does can wait, a call cannot.
        if role is Role.ALL and disk_copy(settings).exists():
            agent.due_s = time.monotonic() + WORKERS_FIRST_S
        children.append(agent)
    elif settings.metrics_port:
        children.append(Child("metrics", partial(_in_loop, partial(_tell_files, settings, os.getpid()))))
    freeze_collector()  # Else each child, collecting, would write to the pages that it shares with all others.
    Supervisor(children, settings.drain_s + SUPERVISOR_GRACE_S, recovery).run()
    return 0


def _allow_connections(settings: Settings) -> None:
    """As many as there may be; a system that does not let a worker have what its calls may need is told of."""
    wanted = FILES_EACH * settings.running_requests_max
    limit = process_limits.allow_open_files()
    if limit < wanted:
        log.warning(
            "open_files_few",
            limit=limit,
            wanted=wanted,
            detail="raise the hard limit of open files (ulimit -n), or lower GATEHOUSE_RUNNING_REQUESTS_MAX",
        )


def _in_loop(role: Callable[[], Coroutine[Any, Any, None]]) -> None:
    uvloop.run(role())


def _agent(settings: Settings, node_keys: NodeKeys) -> Coroutine[Any, Any, None]:
    from gateway.roles.agent import agent  # noqa: PLC0415 - before the fork it would keep the workers waiting

    return agent(settings, node_keys)


def _tell_files(settings: Settings, parent: int) -> Coroutine[Any, Any, None]:
    from gateway.roles.agent import tell_files  # noqa: PLC0415 - as above

    return tell_files(settings, parent)


def _node_keys(settings: Settings) -> NodeKeys:
    """Raises NodeKeysError, ValueError."""
    try:
        return load_or_make(settings.state_dir)
    except OSError as error:
        raise ValueError(f"GATEHOUSE_STATE_DIR, {settings.state_dir}, cannot be used: {error.strerror}") from error


def _hold(settings: Settings) -> None:
    """Wait until no process of another start is left: of its workers' calls records would be made twice, or removed.

    So long as an orderly stop may take. Raises ValueError.
    """
    path = settings.state_dir / HOLD
    try:
        if hold(path, 0.0):
            return
    except OSError as error:  # A disk that takes nothing keeps no node from serving what it has.
        log.warning("state_folder_not_held", path=str(path), detail=error.strerror)
        return
    wait_s = settings.drain_s + settings.ship_drain_s + 2 * SUPERVISOR_GRACE_S
    log.warning("state_folder_held", path=str(settings.state_dir), wait_s=wait_s)
    if not hold(path, wait_s):
        raise ValueError(
            f"{settings.state_dir} is another gateway's, of which processes still run after {wait_s:g} s;"
            " end them, or set GATEHOUSE_STATE_DIR to another folder"
        )


def _listen(settings: Settings) -> list[socket.socket]:
    """A socket for each worker. Raises ValueError."""
    try:
        return listen(settings.host, settings.port, settings.workers)
    except OSError as error:
        where = f"port {settings.port} of {settings.host}"
        raise ValueError(
            f"{where} cannot be had: {error.strerror}; free it, or set GATEHOUSE_HOST or GATEHOUSE_PORT to another"
        ) from error


def _require_identity(settings: Settings) -> None:
    """Raises ValueError for a node that neither is enrolled nor can be, IdentityError."""
    identity = identity_of(settings)
    if identity is not None:
        if settings.snapshot is None and not endpoints_of(settings, identity):
            raise ValueError("the enrolment did not say where the control plane is: set GATEHOUSE_CONTROL_PLANE_URL")
        return
    from shared.protocol.enrolment import parse_token  # noqa: PLC0415 - most starts are of nodes that are enrolled

    if settings.control_plane_url is None or not settings.enrolment_token:
        raise ValueError(
            "this node is not enrolled: set GATEHOUSE_CONTROL_PLANE_URL and GATEHOUSE_ENROLMENT_TOKEN"
            " (or, without a control plane, GATEHOUSE_SNAPSHOT and GATEHOUSE_SIGNING_FINGERPRINT)"
        )
    parse_token(settings.enrolment_token.get_secret_value())
