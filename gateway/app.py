"""The composition root of the gateway: settings become parts, parts become roles. Nothing else makes a client."""

import asyncio
import gc
import logging
import random
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from typing import Any

import structlog
import uvloop

from gateway.ids import RequestIds
from gateway.pipeline.attempt import Attempts, Waits
from gateway.pipeline.outcome import Outcome
from gateway.pipeline.pipeline import Pipeline
from gateway.providers.registry import adapters, built_in_rows
from gateway.serve.http import Front, HttpServer
from gateway.serve.probes import Probes
from gateway.settings import Settings
from gateway.supervise import Child, Supervisor, listen
from gateway.sync.agent import Agent
from gateway.sync.disk_store import DiskStore
from gateway.sync.follower import Follower
from gateway.sync.node_keys import NodeKeys, NodeKeysError, load_or_make
from gateway.sync.redis_store import RedisStore
from gateway.sync.state import VerifiedState
from gateway.sync.store import Store
from gateway.upstream.client import Client, Limits
from gateway.upstream.messages import Deadlines
from gateway.upstream.resolve import SystemResolver
from gateway.upstream.tls import client_context
from gateway.view.compile import Compiler, NotServable
from gateway.view.holder import ViewHolder
from shared.clock import SystemClock

COLLECTOR_THRESHOLDS = (50_000, 50, 50)
SUPERVISOR_GRACE_S = 5.0
"""What the supervisor allows a worker beyond its own draining."""

log = structlog.get_logger("gateway")


class Role(StrEnum):
    ALL = "all"
    PROXY = "proxy"
    AGENT = "agent"


def run(settings: Settings, role: Role) -> int:
    """Run one node until it is asked to stop. Returns the exit code, having said in one line why it cannot start."""
    _set_up_logs(settings.log_level)
    try:
        node_keys = load_or_make(settings.state_dir)
        sockets = [] if role is Role.AGENT else listen(settings.host, settings.port, settings.workers)
        client_context(settings.upstream_ca_file)  # Workers make their own; what is wrong with it is said here.
    except (NodeKeysError, OSError, ValueError) as error:
        print(f"the gateway cannot start: {error}", file=sys.stderr)
        return 1
    children = [
        Child(f"worker-{index}", partial(_in_loop, partial(_worker, settings, node_keys, sock)), sock)
        for index, sock in enumerate(sockets)
    ]
    if role is not Role.PROXY:
        children.append(Child("agent", partial(_in_loop, partial(_agent, settings, node_keys))))
    Supervisor(children, settings.drain_s + SUPERVISOR_GRACE_S).run()
    return 0


def _in_loop(role: Callable[[], Coroutine[Any, Any, None]]) -> None:
    uvloop.run(role())


async def _worker(settings: Settings, node_keys: NodeKeys, sock: socket.socket) -> None:
    """Carry calls from `sock` until SIGTERM, then let those that run come to their end."""
    stop = _stop_signal()
    loop = asyncio.get_running_loop()
    clock = SystemClock()
    views = ViewHolder()
    client = Client(
        Limits(),
        allow_cidrs=settings.upstream_allow_cidrs,
        tls=client_context(settings.upstream_ca_file),
        resolver=SystemResolver(clock),
        clock=clock,
    )
    attempts = Attempts(client, _waits(settings), settings.answer_bytes_max)
    pipeline = Pipeline(views, attempts, clock, _settler(settings.log_level))
    stores = _stores(settings, clock)
    follower = Follower(
        stores=stores,
        pinned=settings.signing_fingerprint,
        gateway=settings.gateway,
        node_keys=node_keys,
        clock=clock,
        apply=_applier(Compiler(adapters(), built_in_rows()), views),
    )
    front = Front(
        pipeline,
        Probes(views, lambda: asdict(follower.status)),
        clock,
        RequestIds(clock, random.Random().getrandbits),
        body_bytes_max=settings.body_bytes_max,
        body_wait_s=settings.body_wait_s,
        running_requests_max=settings.running_requests_max,
    )
    await follower.load_first()
    http = HttpServer(front, loop)
    server = await loop.create_server(http, sock=sock)
    following = asyncio.create_task(follower.run())
    await stop.wait()

    server.close()
    http.pre_shutdown()
    await http.shutdown(settings.drain_s)
    following.cancel()
    await client.close()
    for store in stores:
        await store.close()


async def _agent(settings: Settings, node_keys: NodeKeys) -> None:
    """Keep this node's copies of the configuration in step with the newest verified state, until SIGTERM."""
    stop = _stop_signal()
    clock = SystemClock()
    stores = _stores(settings, clock)
    agent = Agent(
        stores=stores,
        snapshot_path=settings.snapshot,
        pinned=settings.signing_fingerprint,
        gateway=settings.gateway,
        node_keys=node_keys,
        clock=clock,
    )
    running = asyncio.create_task(agent.run())
    await stop.wait()
    running.cancel()
    for store in stores:
        await store.close()


def _applier(compiler: Compiler, views: ViewHolder) -> Callable[[VerifiedState], Coroutine[Any, Any, None]]:
    async def apply(state: VerifiedState) -> None:
        try:
            view = await asyncio.to_thread(compiler.compile, state)
        except NotServable as error:
            log.error("view_not_servable", detail=str(error))  # noqa: TRY400 - the fault is in the state, not here
            return
        views.swap(view)
        _freeze_collector()
        for refusal in compiler.refusals:
            log.warning("resource_refused", **asdict(refusal))

    return apply


def _freeze_collector() -> None:
    """What a view holds lives until the next one: looking through it again and again finds nothing to collect."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


def _stores(settings: Settings, clock: SystemClock) -> list[Store]:
    stores: list[Store] = [DiskStore(settings.state_dir / "configuration.sqlite3", clock)]
    if settings.redis_url is not None:
        stores.append(RedisStore(settings.redis_url.get_secret_value(), settings.gateway))
    return stores


def _waits(settings: Settings) -> Waits:
    def deadlines(first_byte_s: float) -> Deadlines:
        return Deadlines(settings.connect_s, first_byte_s, settings.between_bytes_s, settings.total_s)

    return Waits(plain=deadlines(settings.plain_answer_s), stream=deadlines(settings.first_byte_s))


def _settler(log_level: str) -> Callable[[Outcome], None]:
    """Outcomes are told where somebody reads along; there is no access log on the hot path."""
    if log_level.lower() != "debug":
        return lambda _: None
    return lambda outcome: log.debug("request_settled", **asdict(outcome))


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _set_up_logs(level: str) -> None:
    """One JSON object a line on standard error, for us and for the libraries alike."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    logging.basicConfig(level=max(number, logging.WARNING), format="%(message)s")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
