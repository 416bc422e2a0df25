"""Who watches: one of the nodes that share a Redis; each of them, where Redis cannot say."""

from gateway.sync.leader import Alone, RedisLeader
from tests.fixtures.redis import RedisServer

GATEWAY = "gw_leader"


def leader(redis: RedisServer, node: str, gateway: str = GATEWAY) -> RedisLeader:
    return RedisLeader(redis.url, gateway, node, timeout_s=0.5)


async def test_one_leads_and_goes_on_leading(redis_server: RedisServer) -> None:
    """GHS/1 15.4."""
    one, two = leader(redis_server, "nd_1"), leader(redis_server, "nd_2")
    assert await one.leads()
    assert not await two.leads()
    assert await one.leads()
    await one.resign()
    assert await two.leads()
    await two.resign()


async def test_a_follower_that_leaves_takes_nothing_along(redis_server: RedisServer) -> None:
    one, two = leader(redis_server, "nd_1"), leader(redis_server, "nd_2")
    assert await one.leads()
    await two.resign()
    three = leader(redis_server, "nd_3")
    assert not await three.leads()
    await three.resign()
    assert not await two.leads()
    await one.resign()
    await two.resign()


async def test_gateways_lead_apart(redis_server: RedisServer) -> None:
    one, other = leader(redis_server, "nd_1"), leader(redis_server, "nd_2", "gw_other")
    assert await one.leads()
    assert await other.leads()
    await one.resign()
    await other.resign()


async def test_without_redis_every_node_watches_for_itself(redis_server: RedisServer) -> None:
    """GHS/1 15.4."""
    one, two = leader(redis_server, "nd_1"), leader(redis_server, "nd_2")
    assert await one.leads()
    redis_server.kill()
    assert await one.leads()
    assert await two.leads()
    await one.resign()
    await two.resign()
    alone = Alone()
    assert await alone.leads()
    await alone.resign()
