"""The control plane dies, alone or with what else there is, and calls go on; what is edited later comes later."""

import pytest

from chaos.callers import calling
from chaos.stack import Stack, chat
from tests.fixtures.wire import call

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/v1/chat/completions"


@pytest.fixture
def api_key(planes: Stack) -> str:
    return planes.workspaces[0].api_key


async def status_of_a_call(stack: Stack, **headers: str) -> int:
    (node,) = stack.nodes
    own = {"authorization": f"Bearer {stack.workspaces[0].api_key}", **headers}
    return (await call(node.port, PATH, chat(), own)).status


async def edit(stack: Stack, slug: str, status: int) -> None:
    """A new config whose calls end with this status."""
    body = {"virtual_key": "simulator", "override_params": {"model": f"sim-error-{status}"}}
    await stack.api.post(f"{stack.workspaces[0].path}/configs", {"slug": slug, "name": slug, "body": body})


async def test_calls_go_on_while_the_control_plane_is_away(planes: Stack, api_key: str) -> None:
    async with calling(planes.nodes, api_key, callers=8, model="sim-chat") as load:
        await planes.control_plane.kill()
        await load.reach(400)
        await planes.control_plane.start()
        await edit(planes, "made-after-its-return", 444)
        await planes.at_rest()
        await load.reach(100)
    assert load.failed == []
    assert await status_of_a_call(planes, **{"x-portkey-config": "made-after-its-return"}) == 444


async def test_calls_go_on_while_the_database_is_away(planes: Stack, api_key: str) -> None:
    async with calling(planes.nodes, api_key, callers=8, model="sim-chat") as load:
        await planes.postgres.kill()
        await load.reach(400)
        await planes.postgres.start()
        await planes.control_plane.ready()
        await edit(planes, "made-after-the-database", 445)
        await planes.at_rest()
    assert load.failed == []
    assert await status_of_a_call(planes, **{"x-portkey-config": "made-after-the-database"}) == 445


async def test_a_gateway_that_restarts_while_the_control_plane_is_away_serves(planes: Stack) -> None:
    (node,) = planes.nodes
    await planes.control_plane.kill()
    await node.program.restart()
    assert await status_of_a_call(planes) == 200
    assert await status_of_a_call(planes, **{"x-portkey-config": "made-after-its-return"}) == 444
    await planes.control_plane.start()


async def test_a_gateway_that_restarts_with_redis_and_the_control_plane_away_serves(planes: Stack) -> None:
    (node,) = planes.nodes
    await planes.redis.kill()
    await planes.control_plane.kill()
    await node.program.restart()
    assert await status_of_a_call(planes) == 200
    assert await status_of_a_call(planes, **{"x-portkey-config": "made-after-its-return"}) == 444
    await planes.control_plane.start()
    await edit(planes, "made-without-redis", 446)
    await planes.at_rest()
    assert await status_of_a_call(planes, **{"x-portkey-config": "made-without-redis"}) == 446
    await planes.redis.start()


async def test_a_control_plane_that_stands_still_holds_up_nobody(planes: Stack, api_key: str) -> None:
    async with calling(planes.nodes, api_key, callers=8, model="sim-chat") as load:
        planes.control_plane.freeze()
        await load.reach(400)
        planes.control_plane.thaw()
        await edit(planes, "made-after-the-thaw", 447)
        await planes.at_rest()
    assert load.failed == []


async def test_a_gateway_that_restarts_needs_its_token_no_more(planes: Stack) -> None:
    """It is used up: a node that asked with it again would be refused, and everybody would see it."""
    (node,) = planes.nodes
    node.token = None
    await node.program.restart()
    await edit(planes, "made-after-the-restart", 448)
    await planes.at_rest()
    tokens = await planes.api.get(f"/api/v1/gateways/{node.gateway}/enrolment-tokens")
    assert [row["state"] for row in tokens["data"]] == ["used"]
    assert await status_of_a_call(planes, **{"x-portkey-config": "made-after-the-restart"}) == 448
