"""The embedded Redis: which server is taken, and that it lets nobody in without the password."""

from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from embedded import redis_server
from embedded.part import answers_redis
from embedded.state import StateFolder
from embedded.supervisor import Supervisor
from shared.crypto.secret import Secret

PASSWORD = Secret("marker-password-9f")


def fake_server(folder: Path, version: str) -> str:
    server = folder / "redis-server"
    server.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=0'\n")
    server.chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(("version", "taken"), [("6.0.16", False), ("6.2.0", True), ("10.1.2", True), ("?", False)])
def test_server_on_the_path_is_taken_if_it_is_new_enough(tmp_path: Path, version: str, taken: bool) -> None:
    found = redis_server.binary(fake_server(tmp_path, version))
    assert (found == tmp_path / "redis-server") == taken
    assert redis_server.version_of(str(found)) >= redis_server.OLDEST


def test_wheel_has_a_server() -> None:
    assert redis_server.version_of(str(redis_server.binary(""))) >= redis_server.OLDEST


async def test_server_asks_for_the_password_and_keeps_its_data(
    supervisor: Supervisor, state: StateFolder, free_port: int
) -> None:
    part = redis_server.part(redis_server.binary(""), state.redis, free_port, PASSWORD)
    await supervisor.start(part)
    assert not await answers_redis(free_port, Secret("other"))
    assert not any(PASSWORD.reveal_text() in word for word in part.command)
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in state.redis.glob("redis.conf"))
    async with Redis(port=free_port) as stranger:
        with pytest.raises(AuthenticationError):
            await stranger.ping()
    url = redis_server.url(free_port, PASSWORD).reveal_text()
    async with Redis.from_url(url) as client:
        await client.set("kept", "yes")
    await supervisor.answer({"do": "hold", "part": "redis"})
    assert not await answers_redis(free_port, PASSWORD)
    await supervisor.answer({"do": "release", "part": "redis"})
    async with Redis.from_url(url) as client:
        assert await client.get("kept") == b"yes"
