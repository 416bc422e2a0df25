"""The composition root of the gateway: settings become parts, parts become roles. Nothing else makes a client."""

import asyncio
import gc
import os
import random
import secrets
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import partial
from importlib.metadata import version
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import structlog
import uvloop
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.registry import Collector

from gateway.cache.answers import Answers
from gateway.cache.claims import Claims
from gateway.cache.keys import CacheKeys
from gateway.cache.redis_line import RedisLine
from gateway.ids import request_ids
from gateway.pipeline.attempt import Attempts, Waits
from gateway.pipeline.breaker import Breakers
from gateway.pipeline.cached import Cached
from gateway.pipeline.explain import Explainer
from gateway.pipeline.idempotent import Idempotent
from gateway.pipeline.pipeline import Pipeline
from gateway.pipeline.record import Row
from gateway.providers.registry import adapters, built_in_rows
from gateway.serve.admin import AdminApi
from gateway.serve.certificate import Certificate
from gateway.serve.http import ColdFront, ColdServer
from gateway.serve.lane import Limits as ServeLimits
from gateway.serve.probes import Probes
from gateway.serve.server import Server
from gateway.settings import Settings
from gateway.supervise import BACKLOG, Child, Supervisor, large_blocks_apart, listen, one_heap
from gateway.sync import identity as identities
from gateway.sync import reports
from gateway.sync.agent import Agent
from gateway.sync.control_plane_client import ControlPlaneClient
from gateway.sync.disk_store import DiskStore
from gateway.sync.enrol import enrol
from gateway.sync.follower import Follower
from gateway.sync.identity import Identity, IdentityError
from gateway.sync.leader import Alone, Leader, RedisLeader
from gateway.sync.link import Link
from gateway.sync.node_keys import NodeKeys, NodeKeysError, load_or_make
from gateway.sync.pace import Backoff
from gateway.sync.redis_client import prefix
from gateway.sync.redis_store import RedisStore
from gateway.sync.reports import Report
from gateway.sync.state import VerifiedState
from gateway.sync.store import Store
from gateway.telemetry import segments, slots
from gateway.telemetry.ballast import Ballast
from gateway.telemetry.batcher import Batcher, Room
from gateway.telemetry.metrics_server import MetricsServer
from gateway.telemetry.node_metrics import AgentMetrics, FileMetrics
from gateway.telemetry.outbox import Outbox
from gateway.telemetry.pseudonyms import Pseudonyms
from gateway.telemetry.recorder import Recorder
from gateway.telemetry.recover import Recovery
from gateway.telemetry.request_metrics import RequestMetrics
from gateway.telemetry.ship import Shipper
from gateway.telemetry.slots import SlotTable
from gateway.telemetry.spool import RETRY_S, Spool
from gateway.telemetry.user_key import UserKeys
from gateway.telemetry.user_key_board import Board, RedisBoard
from gateway.telemetry.user_key_file import UserKeyFile
from gateway.telemetry.way_out import WayOut
from gateway.upstream.client import Client, Limits
from gateway.upstream.messages import Deadlines
from gateway.upstream.resolve import SystemResolver
from gateway.upstream.tls import client_context
from gateway.view.compile import Compiler, NotServable
from gateway.view.holder import ViewHolder
from shared import logs
from shared.clock import Clock, SystemClock
from shared.models.record import FIELDS
from shared.protocol.enrolment import parse_token
from shared.settings import LogLevel

COLLECTOR_THRESHOLDS = (50_000, 50, 50)
SUPERVISOR_GRACE_S = 5.0
"""What the supervisor allows a worker beyond its own draining."""
DISTRIBUTION = "gatehouse-llm"
SLOTS_SPARE = 64
"""Beyond the requests a worker may run: for those that are refused while it runs so many."""
EVERYWHERE = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
ENROLLED_POLL_S = 0.2
"""How often a worker of a node that is being enrolled looks whether it is."""

_Apply = Callable[[VerifiedState], Coroutine[Any, Any, None]]

log = structlog.get_logger("gateway")


class Role(StrEnum):
    ALL = "all"
    PROXY = "proxy"
    AGENT = "agent"


def run(settings: Settings, role: Role) -> int:
    """Run one node until it is asked to stop. Returns the exit code, having said in one line why it cannot start."""
    logs.set_up(settings.log_level, sys.stderr)
    one_heap()
    try:
        node_keys = _node_keys(settings)
        _require_identity(settings)
        recovery = Recovery(settings.state_dir)
        if role is not Role.AGENT:
            reports.clear(settings.state_dir)
            recovery.everybody()
        sockets = [] if role is Role.AGENT else _listen(settings)
        upstream_tls = client_context(settings.upstream_ca_file)
        _certificate(settings)
    except (NodeKeysError, IdentityError, OSError, ValueError) as error:
        print(f"the gateway cannot start: {error}", file=sys.stderr)
        return 1
    children = [
        Child(
            f"worker-{index}",
            partial(_in_loop, partial(_worker, settings, node_keys, upstream_tls, sock, f"worker-{index}")),
            sock,
        )
        for index, sock in enumerate(sockets)
    ]
    if role is not Role.PROXY:
        agent = Child("agent", partial(_in_loop, partial(_agent, settings, node_keys)))
        agent.ends_last_s = settings.ship_drain_s + SUPERVISOR_GRACE_S
        agent.gives_way = True  # What it does can wait, a call cannot.
        children.append(agent)
    elif settings.metrics_port:
        children.append(Child("metrics", partial(_in_loop, partial(_tell_files, settings, os.getpid()))))
    _freeze_collector()  # Else each child, collecting, would write to the pages that it shares with all others.
    Supervisor(children, settings.drain_s + SUPERVISOR_GRACE_S, recovery).run()
    return 0


def _in_loop(role: Callable[[], Coroutine[Any, Any, None]]) -> None:
    uvloop.run(role())


async def _worker(
    settings: Settings, node_keys: NodeKeys, upstream_tls: ssl.SSLContext, sock: socket.socket, name: str
) -> None:
    """Carry calls from `sock` until SIGTERM, then let those that run come to their end."""
    stop = _stop_signal()
    loop = asyncio.get_running_loop()
    clock = SystemClock()
    views = ViewHolder()
    client = Client(
        Limits(),
        allow_cidrs=settings.upstream_allow_cidrs,
        tls=upstream_tls,
        resolver=SystemResolver(clock),
        clock=clock,
        egress=settings.egress,
    )
    user_key = UserKeyFile(settings.state_dir, clock)
    recorder = _recorder(settings, name, clock, user_key)
    chance = random.Random()
    followed = _Followed()
    cache_line = None if settings.redis_url is None else RedisLine(settings.redis_url.get_secret_value())
    cache_keys = CacheKeys(user_key, lambda: None if followed.gateway is None else prefix(followed.gateway))
    answers = Answers(cache_line, cache_keys, "cache", settings.cache_answer_bytes_max)
    attempts = Attempts(
        client,
        _waits(settings),
        settings.answer_bytes_max,
        clock,
        breakers=Breakers(),
        cached=Cached(answers, clock),
        chance=chance,
        sleep=asyncio.sleep,
    )
    repeated = Answers(cache_line, cache_keys, "retry", settings.cache_answer_bytes_max)
    idempotent = Idempotent(Claims(cache_line, repeated, settings.idempotency_keep_s, asyncio.sleep), clock)
    pipeline = Pipeline(views, attempts, idempotent, clock, recorder, chance)
    beside = [asyncio.create_task(_flush(recorder))]
    if cache_line is not None:
        beside.append(asyncio.create_task(cache_line.run()))
    following = asyncio.create_task(_follow(settings, node_keys, clock, _applier(settings, name, views), followed))
    new_id = request_ids(clock, chance.getrandbits)
    control_plane = _control_plane_client(settings, upstream_tls, clock) if settings.admin_forward else None
    admin_api = AdminApi(lambda: followed.control_plane, control_plane)
    explainer = Explainer(pipeline.view, attempts, idempotent, clock, random.Random())
    front = ColdFront(pipeline, explainer, Probes(views, followed.status), admin_api, clock, new_id)
    limits = ServeLimits(
        body_bytes_max=settings.body_bytes_max,
        upload_bytes_max=settings.upload_bytes_max,
        body_wait_s=settings.body_wait_s,
        running_requests_max=settings.running_requests_max,
    )
    server = Server(pipeline, ColdServer(front, loop), recorder, clock, new_id, limits)
    if _identity(settings) is not None:
        await _first(following, followed.first)
    certificate = _certificate(settings)
    tls = certificate.context if certificate is not None else None
    # It listens once more, and would by itself make the queue that the supervisor asked for one of a hundred.
    listener = await loop.create_server(server, sock=sock, backlog=BACKLOG, ssl=tls)
    if certificate is not None:
        beside.append(asyncio.create_task(certificate.follow()))
    await _first(following, stop)

    listener.close()
    await server.close(settings.drain_s)
    await _end(following)
    await client.close()
    if control_plane is not None:
        await control_plane.close()
    for task in beside:
        await _end(task)
    recorder.close()


@dataclass(slots=True)
class _Followed:
    """What a worker's probes say of its follower, which is there as soon as it is known whose node this is."""

    follower: Follower | None = None
    gateway: str | None = None
    """Whose node it is."""
    control_plane: str | None = None
    """Where it is; None for a node that lives on a file."""
    first: asyncio.Event = field(default_factory=asyncio.Event)
    """The stores were looked at once."""

    def status(self) -> dict[str, Any]:
        return {"code": "not_enrolled"} if self.follower is None else asdict(self.follower.status)


async def _follow(settings: Settings, node_keys: NodeKeys, clock: Clock, apply: _Apply, followed: _Followed) -> None:
    """Serve what the stores hold, and follow it until cancelled."""
    # The agent is another process, and what it learns is in a file: there is no event to wait for.
    while (identity := _identity(settings)) is None:  # noqa: ASYNC110
        await asyncio.sleep(ENROLLED_POLL_S)
    followed.gateway = identity.gateway
    followed.control_plane = next(iter(_endpoints(settings, identity)), None)
    async with AsyncExitStack() as stack:
        followed.follower = Follower(
            stores=_stores(settings, identity, clock, stack),
            pinned=identity.pinned,
            gateway=identity.gateway,
            node_keys=node_keys,
            clock=clock,
            apply=apply,
        )
        await followed.follower.load_first()
        followed.first.set()
        await followed.follower.run()


async def _agent(settings: Settings, node_keys: NodeKeys) -> None:
    """Keep this node's copies of the configuration in step with the newest verified state, until SIGTERM."""
    large_blocks_apart()  # Workers' are bodies of calls: taking each anew from the system would cost time.
    stop = _stop_signal()
    working = asyncio.create_task(_work(settings, node_keys, SystemClock()))
    await _first(working, stop)
    await _end(working)


async def _work(settings: Settings, node_keys: NodeKeys, clock: Clock) -> None:
    """Enrol if need be, then run the agent and its line to the control plane until cancelled."""
    _freeze_collector()
    chance = random.Random()
    async with AsyncExitStack() as stack:
        identity = _identity(settings) or await _enrol(settings, node_keys, clock, chance)
        agent = Agent(
            stores=_stores(settings, identity, clock, stack),
            snapshot_path=settings.snapshot,
            pinned=identity.pinned,
            gateway=identity.gateway,
            node_keys=node_keys,
            clock=clock,
        )
        endpoints = _endpoints(settings, identity)
        control_plane = ControlPlaneClient(endpoints, node_keys, clock, settings.egress) if endpoints else None
        requests = RequestMetrics()
        records = _way_out(settings, control_plane, requests, clock, chance)
        user_keys = UserKeys(
            settings.state_dir, _board(settings, identity, stack), node_keys, lambda: agent.held, clock
        )
        running = [agent.run(), records.run(settings.ship_drain_s), user_keys.run()]
        link = None
        if control_plane is not None:
            stack.push_async_callback(control_plane.close)
            link = Link(
                control_plane=control_plane,
                agent=agent,
                leader=_leader(settings, identity, node_keys),
                state_dir=settings.state_dir,
                records=records.health,
                build=version(DISTRIBUTION),
                clock=clock,
                chance=chance,
            )
            running.append(link.run())
        if settings.metrics_port:
            known = AgentMetrics(records.health, records.shipped, agent.status, link.beat_age_s if link else None)
            running.append(_metrics_server(settings, os.getppid(), requests, known).run())
        # What they do when they are asked to end needs what the stack holds: a group waits until all of them have.
        async with asyncio.TaskGroup() as group:
            for part in running:
                group.create_task(part)


async def _tell_files(settings: Settings, parent: int) -> None:
    """Serve what can be read of a node whose agent is elsewhere, until SIGTERM."""
    stop = _stop_signal()
    serving = asyncio.create_task(_metrics_server(settings, parent).run())
    await _first(serving, stop)
    await _end(serving)


def _metrics_server(settings: Settings, parent: int, *more: Collector) -> MetricsServer:
    """`parent` of the node's processes."""
    registry = CollectorRegistry()
    for collector in (FileMetrics(settings.state_dir, parent), *more):
        registry.register(collector)
    ProcessCollector(registry=registry)
    return MetricsServer(registry, settings.metrics_host, settings.metrics_port)


def _board(settings: Settings, identity: Identity, stack: AsyncExitStack) -> Board | None:
    """Closed with the stack."""
    if settings.redis_url is None:
        return None
    board = RedisBoard(settings.redis_url.get_secret_value(), identity.gateway)
    stack.push_async_callback(board.close)
    return board


def _way_out(
    settings: Settings,
    control_plane: ControlPlaneClient | None,
    requests: RequestMetrics,
    clock: Clock,
    chance: random.Random,
) -> WayOut:
    ballast = Ballast(settings.state_dir)
    outbox = Outbox(settings.state_dir, ballast, clock, partial(secrets.token_hex, 8), keep=control_plane is not None)
    room = Room(settings.spool_bytes_max, settings.spool_disk_share_max)
    batcher = Batcher(settings.state_dir, outbox, ballast, room, clock, requests.counter)
    shipper = None if control_plane is None else Shipper(outbox, control_plane, batcher.made, clock, chance)
    return WayOut(outbox, batcher, shipper)


async def _enrol(settings: Settings, node_keys: NodeKeys, clock: Clock, chance: random.Random) -> Identity:
    assert settings.control_plane_url is not None
    assert settings.enrolment_token is not None
    control_plane = ControlPlaneClient([settings.control_plane_url], node_keys, clock, settings.egress)
    try:
        return await enrol(
            control_plane,
            parse_token(settings.enrolment_token.get_secret_value()),
            node_keys=node_keys,
            state_dir=settings.state_dir,
            build=version(DISTRIBUTION),
            backoff=Backoff(chance),
        )
    finally:
        await control_plane.close()


def _node_keys(settings: Settings) -> NodeKeys:
    """Raises NodeKeysError, ValueError."""
    try:
        return load_or_make(settings.state_dir)
    except OSError as error:
        raise ValueError(f"GATEHOUSE_STATE_DIR, {settings.state_dir}, cannot be used: {error.strerror}") from error


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
    if _identity(settings) is not None:
        return
    if settings.control_plane_url is None or not settings.enrolment_token:
        raise ValueError(
            "this node is not enrolled: set GATEHOUSE_CONTROL_PLANE_URL and GATEHOUSE_ENROLMENT_TOKEN"
            " (or, without a control plane, GATEHOUSE_SNAPSHOT and GATEHOUSE_SIGNING_FINGERPRINT)"
        )
    parse_token(settings.enrolment_token.get_secret_value())


def _identity(settings: Settings) -> Identity | None:
    """Whose node this is, if that is known. Raises IdentityError."""
    if settings.signing_fingerprint is not None:
        return Identity(settings.gateway, organisation="", pinned=settings.signing_fingerprint, endpoints=())
    return identities.load(settings.state_dir)


def _endpoints(settings: Settings, identity: Identity) -> list[str]:
    """Where to find the control plane; none for a node that lives on a file."""
    if settings.signing_fingerprint is not None:
        return []
    first = [] if settings.control_plane_url is None else [settings.control_plane_url]
    return list(dict.fromkeys([*first, *identity.endpoints]))


def _control_plane_client(settings: Settings, tls: ssl.SSLContext, clock: Clock) -> Client:
    """What forwards the admin API. Where it goes is the operator's own word, so that may be any address."""
    return Client(
        Limits(),
        allow_cidrs=EVERYWHERE,
        tls=tls,
        resolver=SystemResolver(clock),
        clock=clock,
        egress=settings.egress,
    )


def _leader(settings: Settings, identity: Identity, node_keys: NodeKeys) -> Leader:
    if settings.redis_url is None:
        return Alone()
    return RedisLeader(settings.redis_url.get_secret_value(), identity.gateway, node_keys.node)


async def _first(task: "asyncio.Task[None]", event: asyncio.Event) -> None:
    """Wait for the event. Raises what ended the task, should that come before."""
    waiting = asyncio.ensure_future(event.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    waiting.cancel()


async def _end(task: "asyncio.Task[None]") -> None:
    """Cancel it, and wait until it has closed what it opened."""
    task.cancel()
    await asyncio.wait({task})


def _applier(settings: Settings, worker: str, views: ViewHolder) -> _Apply:
    compiler = Compiler(adapters(), built_in_rows())
    told = Report(worker=worker, lease=None, refusal=None, applied=[], refused=[])

    async def apply(state: VerifiedState) -> None:
        nonlocal told
        try:
            view = await asyncio.to_thread(compiler.compile, state)
        except NotServable as error:
            log.error("view_not_servable", detail=str(error))  # noqa: TRY400 - the fault is in the state, not here
            told = told.model_copy(update={"refusal": "not_servable"})
        else:
            views.swap(view)
            _freeze_collector()
            for refusal in compiler.refusals:
                log.warning("resource_refused", **asdict(refusal))
            told = reports.serving(worker, state.lease, map(asdict, compiler.refusals))
        await asyncio.to_thread(reports.write, settings.state_dir, told)

    return apply


def _freeze_collector() -> None:
    """What a view holds lives until the next one: looking through it again and again finds nothing to collect."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


def _stores(settings: Settings, identity: Identity, clock: Clock, stack: AsyncExitStack) -> list[Store]:
    """Closed with the stack."""
    stores: list[Store] = [DiskStore(settings.state_dir / "configuration.sqlite3", clock)]
    if settings.redis_url is not None:
        stores.append(RedisStore(settings.redis_url.get_secret_value(), identity.gateway))
    for store in stores:
        stack.push_async_callback(store.close)
    return stores


def _waits(settings: Settings) -> Waits:
    def deadlines(first_byte_s: float) -> Deadlines:
        return Deadlines(settings.connect_s, first_byte_s, settings.between_bytes_s, settings.total_s)

    return Waits(plain=deadlines(settings.plain_answer_s), stream=deadlines(settings.first_byte_s))


def _certificate(settings: Settings) -> Certificate | None:
    """What callers are shown. Raises ValueError."""
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return None
    return Certificate(settings.tls_cert_file, settings.tls_key_file)


def _recorder(settings: Settings, worker: str, clock: Clock, user_key: UserKeyFile) -> Recorder:
    count = settings.running_requests_max + SLOTS_SPARE
    return Recorder(
        SlotTable(slots.path_of(settings.state_dir, worker), count),
        Spool(settings.state_dir / segments.FOLDER, worker, FIELDS, clock),
        clock,
        Pseudonyms(user_key).pseudonym,
        _teller(settings.log_level),
    )


async def _flush(recorder: Recorder) -> None:
    """Bring to the disk what it did not take at first, until cancelled."""
    while True:
        await asyncio.sleep(RETRY_S)
        recorder.flush()


def _teller(log_level: LogLevel) -> Callable[[Row], None] | None:
    """Records are logged where somebody reads along; there is no access log on the hot path."""
    if log_level != "debug":
        return None
    return lambda row: log.debug("request_recorded", **dict(zip(FIELDS, row, strict=True)))


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
