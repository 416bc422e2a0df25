"""What every role of a node does alike: whose node it is, its copies of the configuration, its end."""

import asyncio
import gc
import signal
from contextlib import AsyncExitStack
from pathlib import Path

from gateway.settings import Settings
from gateway.sync import identity as identities
from gateway.sync.disk_store import DiskStore
from gateway.sync.identity import Identity
from gateway.sync.redis_store import RedisStore
from gateway.sync.store import Store
from shared.clock import Clock

COLLECTOR_THRESHOLDS = (50_000, 50, 50)


def identity_of(settings: Settings) -> Identity | None:
    """Whose node this is, if that is known. Raises IdentityError."""
    if settings.signing_fingerprint is not None:
        return Identity(settings.gateway, organisation="", pinned=settings.signing_fingerprint, endpoints=())
    return identities.load(settings.state_dir)


def endpoints_of(settings: Settings, identity: Identity) -> list[str]:
    """Where to find the control plane; none for a node that lives on a file."""
    if settings.signing_fingerprint is not None:
        return []
    first = [] if settings.control_plane_url is None else [settings.control_plane_url]
    return list(dict.fromkeys([*first, *identity.endpoints]))


def disk_copy(settings: Settings) -> Path:
    """Where the node's own copy of its configuration is, once it has one."""
    return settings.state_dir / "configuration.sqlite3"


def stores_of(settings: Settings, identity: Identity, clock: Clock, stack: AsyncExitStack) -> list[Store]:
    """Closed with the stack."""
    stores: list[Store] = [DiskStore(disk_copy(settings), clock)]
    if settings.redis_url is not None:
        stores.append(RedisStore(settings.redis_url.get_secret_value(), identity.gateway))
    for store in stores:
        stack.push_async_callback(store.close)
    return stores


def freeze_collector() -> None:
    """What there is now is looked through no more: it lives long, what the first view holds until the next one."""
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


async def first(task: "asyncio.Task[None]", event: asyncio.Event) -> None:
    """Wait for the event. Raises what ended the task, should that come before."""
    waiting = asyncio.ensure_future(event.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    waiting.cancel()


async def end(task: "asyncio.Task[None]") -> None:
    """Cancel it, and wait until it has closed what it opened."""
    task.cancel()
    await asyncio.wait({task})


def stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
