"""A worker: what carries calls, made of settings. Loaded before the supervisor forks, so that all share its pages."""

import asyncio
import random
import socket
import ssl
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import msgspec
import structlog
from msgspec.structs import asdict, replace

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
from gateway.roles.node import end, endpoints_of, first, freeze_collector, identity_of, stop_signal, stores_of
from gateway.serve.admin import AdminApi
from gateway.serve.certificate import Certificate
from gateway.serve.http import ColdFront, ColdServer
from gateway.serve.lane import Limits as ServeLimits
from gateway.serve.probes import Probes
from gateway.serve.server import Server
from gateway.settings import Settings
from gateway.supervise import BACKLOG
from gateway.sync import reports
from gateway.sync.follower import Follower
from gateway.sync.node_keys import NodeKeys
from gateway.sync.redis_client import prefix
from gateway.sync.reports import Report, Teller
from gateway.sync.state import VerifiedState
from gateway.telemetry import segments, slots
from gateway.telemetry.pseudonyms import Pseudonyms
from gateway.telemetry.recorder import Recorder
from gateway.telemetry.slots import SlotTable
from gateway.telemetry.spool import RETRY_S, Spool
from gateway.telemetry.user_key_file import UserKeyFile
from gateway.upstream.client import Client, Limits
from gateway.upstream.messages import Deadlines
from gateway.upstream.resolve import SystemResolver
from gateway.view.compile import Compiler, NotServable
from gateway.view.holder import ViewHolder
from shared.clock import Clock, SystemClock
from shared.models.record import FIELDS
from shared.settings import LogLevel

SLOTS_SPARE = 64
"""Beyond the requests a worker may run: for those that are refused while it runs so many."""
EVERYWHERE = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
ENROLLED_POLL_S = 0.2
"""How often a worker of a node that is being enrolled looks whether it is."""

_Apply = Callable[[VerifiedState], Coroutine[Any, Any, None]]

log = structlog.get_logger("gateway")


async def worker(
    settings: Settings, node_keys: NodeKeys, upstream_tls: ssl.SSLContext, sock: socket.socket, name: str
) -> None:
    """Carry calls from `sock` until SIGTERM, then let those that run come to their end."""
    stop = stop_signal()
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
    teller = Teller(settings.state_dir)
    beside = [asyncio.create_task(_flush(recorder, teller))]
    if cache_line is not None:
        beside.append(asyncio.create_task(cache_line.run()))
    following = asyncio.create_task(_follow(settings, node_keys, clock, _applier(teller, name, views), followed))
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
    if identity_of(settings) is not None:
        await first(following, followed.first)
    certificate = certificate_of(settings)
    tls = certificate.context if certificate is not None else None
    # It listens once more, and would by itself make the queue that the supervisor asked for one of a hundred.
    listener = await loop.create_server(server, sock=sock, backlog=BACKLOG, ssl=tls)
    if certificate is not None:
        beside.append(asyncio.create_task(certificate.follow()))
    await first(following, stop)

    listener.close()
    await server.close(settings.drain_s)
    await end(following)
    await client.close()
    if control_plane is not None:
        await control_plane.close()
    for task in beside:
        await end(task)
    recorder.close()


class _Followed(msgspec.Struct):
    """What a worker's probes say of its follower, which is there as soon as it is known whose node this is."""

    follower: Follower | None = None
    gateway: str | None = None
    """Whose node it is."""
    control_plane: str | None = None
    """Where it is; None for a node that lives on a file."""
    first: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    """There is something to serve, or each store was looked at once."""

    def status(self) -> dict[str, Any]:
        return {"code": "not_enrolled"} if self.follower is None else asdict(self.follower.status)


async def _follow(settings: Settings, node_keys: NodeKeys, clock: Clock, apply: _Apply, followed: _Followed) -> None:
    """Serve what the stores hold, and follow it until cancelled."""
    # The agent is another process, and what it learns is in a file: there is no event to wait for.
    while (identity := identity_of(settings)) is None:  # noqa: ASYNC110
        await asyncio.sleep(ENROLLED_POLL_S)
    followed.gateway = identity.gateway
    followed.control_plane = next(iter(endpoints_of(settings, identity)), None)
    async with AsyncExitStack() as stack:
        followed.follower = Follower(
            stores=stores_of(settings, identity, clock, stack),
            pinned=identity.pinned,
            gateway=identity.gateway,
            node_keys=node_keys,
            clock=clock,
            apply=apply,
        )
        await followed.follower.run(followed.first)


def certificate_of(settings: Settings) -> Certificate | None:
    """What callers are shown. Raises ValueError."""
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return None
    return Certificate(settings.tls_cert_file, settings.tls_key_file)


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


def _applier(teller: Teller, worker: str, views: ViewHolder) -> _Apply:
    compiler = Compiler(adapters(), built_in_rows())
    told = Report(worker=worker, lease=None, refusal=None, applied=[], refused=[])

    async def apply(state: VerifiedState) -> None:
        nonlocal told
        try:
            view = await asyncio.to_thread(compiler.compile, state)
        except NotServable as error:
            log.error("view_not_servable", detail=str(error))  # noqa: TRY400 - the fault is in the state, not here
            told = replace(told, refusal="not_servable")
        else:
            is_first = views.current is None
            views.swap(view)
            if is_first:
                # Later ones are the collector's own business: to look for garbage now would hold every call up. A view
                # makes no cycles, so one that nobody has any more goes by itself.
                freeze_collector()
            for refusal in compiler.refusals:
                log.warning("resource_refused", **asdict(refusal))
            told = reports.serving(worker, state.lease, compiler.refusals)
        await asyncio.to_thread(teller.tell, told)

    return apply


def _waits(settings: Settings) -> Waits:
    def deadlines(first_byte_s: float) -> Deadlines:
        return Deadlines(settings.connect_s, first_byte_s, settings.between_bytes_s, settings.total_s)

    return Waits(plain=deadlines(settings.plain_answer_s), stream=deadlines(settings.first_byte_s))


def _recorder(settings: Settings, worker: str, clock: Clock, user_key: UserKeyFile) -> Recorder:
    count = settings.running_requests_max + SLOTS_SPARE
    return Recorder(
        SlotTable(slots.path_of(settings.state_dir, worker), count),
        Spool(settings.state_dir / segments.FOLDER, worker, FIELDS, clock),
        clock,
        Pseudonyms(user_key).pseudonym,
        asyncio.get_running_loop().call_soon,
        _teller(settings.log_level),
    )


async def _flush(recorder: Recorder, teller: Teller) -> None:
    """Bring to the disk what it did not take at first, until cancelled."""
    while True:
        await asyncio.sleep(RETRY_S)
        recorder.flush()
        if teller.waits:
            await asyncio.to_thread(teller.retry)


def _teller(log_level: LogLevel) -> Callable[[Row], None] | None:
    """Records are logged where somebody reads along; there is no access log on the hot path."""
    if log_level != "debug":
        return None
    return lambda row: log.debug("request_recorded", **dict(zip(FIELDS, row, strict=True)))
