"""The agent: what keeps a node in step with its control plane, made of settings; and its `/metrics`.

Loaded by the process that is one: a worker needs nothing of it, and begins that much sooner.
"""

import asyncio
import os
import random
import secrets
from contextlib import AsyncExitStack
from functools import partial
from importlib.metadata import version

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.registry import Collector

from gateway.roles.node import end, endpoints_of, first, freeze_collector, identity_of, stop_signal, stores_of
from gateway.settings import Settings
from gateway.supervise import large_blocks_apart
from gateway.sync.agent import Agent
from gateway.sync.control_plane_client import ControlPlaneClient
from gateway.sync.enrol import enrol
from gateway.sync.identity import Identity
from gateway.sync.leader import Alone, Leader, RedisLeader
from gateway.sync.link import Link
from gateway.sync.node_keys import NodeKeys
from gateway.sync.pace import Backoff
from gateway.telemetry.ballast import Ballast
from gateway.telemetry.batcher import Batcher, Room
from gateway.telemetry.metrics_server import MetricsServer
from gateway.telemetry.node_metrics import AgentMetrics, FileMetrics
from gateway.telemetry.outbox import Outbox
from gateway.telemetry.request_metrics import RequestMetrics
from gateway.telemetry.ship import Shipper
from gateway.telemetry.user_key import UserKeys
from gateway.telemetry.user_key_board import Board, RedisBoard
from gateway.telemetry.way_out import WayOut
from shared.clock import Clock, SystemClock
from shared.protocol.enrolment import parse_token

DISTRIBUTION = "gatehouse-llm"


async def agent(settings: Settings, node_keys: NodeKeys) -> None:
    """Keep this node's copies of the configuration in step with the newest verified state, until SIGTERM."""
    large_blocks_apart()  # Workers' are bodies of calls: taking each anew from the system would cost time.
    stop = stop_signal()
    working = asyncio.create_task(_work(settings, node_keys, SystemClock()))
    await first(working, stop)
    await end(working)


async def _work(settings: Settings, node_keys: NodeKeys, clock: Clock) -> None:
    """Enrol if need be, then run the agent and its line to the control plane until cancelled."""
    freeze_collector()
    chance = random.Random()
    async with AsyncExitStack() as stack:
        identity = identity_of(settings) or await _enrol(settings, node_keys, clock, chance)
        agent = Agent(
            stores=stores_of(settings, identity, clock, stack),
            snapshot_path=settings.snapshot,
            pinned=identity.pinned,
            gateway=identity.gateway,
            node_keys=node_keys,
            clock=clock,
        )
        endpoints = endpoints_of(settings, identity)
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


async def tell_files(settings: Settings, parent: int) -> None:
    """Serve what can be read of a node whose agent is elsewhere, until SIGTERM."""
    stop = stop_signal()
    serving = asyncio.create_task(_metrics_server(settings, parent).run())
    await first(serving, stop)
    await end(serving)


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
    batcher = Batcher(settings.state_dir, outbox, ballast, room, clock, requests.watch)
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


def _leader(settings: Settings, identity: Identity, node_keys: NodeKeys) -> Leader:
    if settings.redis_url is None:
        return Alone()
    return RedisLeader(settings.redis_url.get_secret_value(), identity.gateway, node_keys.node)
