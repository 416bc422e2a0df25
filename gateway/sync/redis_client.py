"""How this node reaches the Redis that nodes of one gateway share, and how their keys there begin."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

TIMEOUT_S = 2.0
"""For each answer: a Redis that hangs is away."""


def client(url: str, timeout_s: float) -> Redis:
    """Connects when first used, and again after every failure. `url` as `redis://`, `rediss://` or `unix://`.

    `timeout_s`: for a connection to be made or closed. How long a command may take is for whoever gives it to say.
    """
    return Redis.from_url(
        url,
        protocol=2,
        # With one it writes within `asyncio.wait_for`, which before Python 3.12 may answer a cancellation by a result:
        # whoever was asked to end then went on.
        socket_timeout=None,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 1),
    )


def prefix(gateway: str) -> str:
    """One hash tag for all keys of a gateway, as a cluster wants it."""
    return f"gh:{{{gateway}}}:"
