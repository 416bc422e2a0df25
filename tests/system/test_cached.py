"""The cache in a whole node: what one worker was answered, every worker gives again, sealed in Redis meanwhile."""

import json
from uuid import uuid4

from redis.asyncio import Redis

from tests.fixtures.stack import Stack

CHAT = "/v1/chat/completions"
STATUS = "x-portkey-cache-status"


def asked(stack: Stack, text: str) -> tuple[dict[str, str], dict[str, object]]:
    config = json.dumps({"cache": {"mode": "simple"}, "virtual_key": "simulator"})
    headers = {"authorization": f"Bearer {stack.keys['caller']}", "x-portkey-config": config}
    return headers, {"model": "sim-chat", "messages": [{"role": "user", "content": text}]}


async def test_what_one_worker_was_answered_every_worker_gives_again(stack: Stack) -> None:
    text = f"canary {uuid4()}"
    headers, body = asked(stack, text)

    async def is_up() -> bool:
        async with stack.one_connection_per_worker() as lines:
            probes = [await line.post(CHAT, asked(stack, str(uuid4()))[1], headers) for line in lines.values()]
        return all(probe.headers[STATUS] != "DISABLED" for probe in probes)

    await stack.wait_until(is_up)
    async with stack.one_connection_per_worker() as lines:
        first, second = lines.values()
        answers = [await line.post(CHAT, body, headers) for line in (first, second, first)]
        streams = [await line.post(CHAT, {**body, "stream": True}, headers) for line in (first, second)]
    assert [answer.headers[STATUS] for answer in answers] == ["MISS", "HIT", "HIT"]
    assert len({answer.body for answer in answers}) == 1
    assert [answer.headers[STATUS] for answer in streams] == ["MISS", "HIT"]
    assert streams[0].body == streams[1].body
    async with Redis.from_url(f"redis://:{stack.redis_password}@127.0.0.1:{stack.redis_port}/0") as redis:
        kept = [await redis.get(key) async for key in redis.scan_iter(match="*cache*")]
    assert kept
    assert not any(text.encode() in value for value in kept if value)
