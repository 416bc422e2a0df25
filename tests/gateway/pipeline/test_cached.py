"""The cache in the corridor, over a real Redis: each row of reference/portkey.md 2.7, and what it must never do."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio
import structlog

from gateway.cache.answers import Answers
from gateway.cache.entry import Entry
from gateway.cache.redis_line import RedisLine
from gateway.pipeline.cached import Cached
from gateway.pipeline.resolve import resolve
from gateway.providers.base import Door, Passage
from gateway.upstream.errors import ConnectFailed, Cut
from gateway.view.route import Target
from shared.clock import FakeClock
from tests.fakes.cache import BODY_BYTES_MAX, cache_keys, running_line, until_up
from tests.fakes.upstream import FakeResponse, Hang, Step, answers, streams
from tests.fakes.world import AMOUNTS, World
from tests.fixtures.redis import RedisServer
from tests.gateway.dialects.chats import Answer
from tests.gateway.pipeline.test_pipeline import DONE, EVENT, FALLBACK, FINISH, OK, RAW, ROLE, STREAMED, USAGE, Run

SIMPLE: dict[str, Any] = {"cache": "simple", "virtual_key": "main"}
STREAM = ROLE + EVENT + FINISH + USAGE + DONE
ERROR = b'{"error": {"message": "No"}}'
HANG_S = 20.0
"""Only a guard against hanging."""


class Worker:
    """A cache and a world that several calls share, as in one worker."""

    def __init__(self, line: RedisLine | None) -> None:
        self.line = line
        self.clock = FakeClock()
        self.answers = Answers(line, cache_keys(), "cache", BODY_BYTES_MAX)
        self.cached = Cached(self.answers, self.clock)
        self.world = World()

    def call(self, *script: Step, config: Any = SIMPLE, **fields: Any) -> Run:
        return Run(*script, config=config, world=fields.pop("world", self.world), cached=self.cached, **fields)

    async def run(self, *script: Step, **fields: Any) -> Run:
        done = await self.call(*script, **fields)()
        await self.answers.settled()
        return done


@pytest_asyncio.fixture
async def worker(redis_server: RedisServer) -> AsyncIterator[Worker]:
    async with running_line(redis_server.url) as line:
        yield Worker(line)


def ok() -> FakeResponse:
    return answers(200, OK)


def said(run: Run) -> tuple[str, str]:
    """What the caller is told, and what the record says."""
    return run.answer.headers["x-portkey-cache-status"], run.record.cache


MISS, HIT, REFRESH, DISABLED = (("MISS", "miss"), ("HIT", "hit"), ("REFRESH", "refresh"), ("DISABLED", "disabled"))


async def test_a_redis_that_is_full_is_told_of_once_and_so_is_that_it_takes_answers_again(worker: Worker) -> None:
    assert worker.line is not None
    with structlog.testing.capture_logs() as logs:
        await worker.line.ask(b"CONFIG", b"SET", b"maxmemory", b"1")
        try:
            for _ in range(3):
                assert said(await worker.run(ok())) == MISS
        finally:
            await worker.line.ask(b"CONFIG", b"SET", b"maxmemory", b"0")
        assert said(await worker.run(ok())) == MISS
        assert said(await worker.run()) == HIT
    told = [(line["event"], line.get("redis")) for line in logs]
    assert told == [("cache_not_kept", "OOM"), ("cache_kept_again", None)]


# The rows of 2.7


async def test_disabled_without_cache_in_the_config(worker: Worker) -> None:
    for config in (None, {"virtual_key": "main"}):
        for _ in range(2):
            assert said(await worker.run(ok(), config=config)) == DISABLED


@pytest.mark.parametrize("false", ["false", "False"])
async def test_disabled_where_debug_is_false(worker: Worker, false: str) -> None:
    assert said(await worker.run(ok())) == MISS
    for _ in range(2):
        assert said(await worker.run(ok(), headers={"x-portkey-debug": false})) == DISABLED


@pytest.mark.parametrize("path", ["moderations", "images/generations", "rerank", "anything"])
async def test_disabled_on_a_route_that_is_not_cacheable(worker: Worker, path: str) -> None:
    passage = Passage(Door.PROXY, "POST", path)
    for _ in range(2):
        assert said(await worker.run(ok(), door=Door.PROXY, passage=passage)) == DISABLED


async def test_miss_then_hit_that_costs_nothing_and_asks_nobody(worker: Worker) -> None:
    worker.world.price("pr2", provider="sim", model="sim-chat", amounts=AMOUNTS, valid_from="2025-01-01")
    first = await worker.run(ok())
    assert said(first) == MISS
    assert first.spent == ("provider", 3, 5)
    assert first.record.cost_picousd
    again = await worker.run()
    assert said(again) == HIT
    assert (again.answer.status, again.answer.body, again.answer.length) == (200, OK, len(OK))
    assert again.answer.headers["content-type"] == "application/json"
    assert again.requests == []
    record = again.record
    assert (record.usage, record.input_tokens, record.output_tokens, record.cost_picousd) == ("none", 0, 0, 0)
    assert (record.attempt_count, record.attempts, record.unsettled_count) == (0, [], 0)
    assert (record.provider, record.model, record.virtual_key) == ("sim", "sim-chat", "vk-main")
    assert (record.status, record.provider_status, record.ending, record.error) == (200, None, "complete", None)


async def test_an_answer_that_is_given_up_for_another_target_s_costs_what_that_one_costs(worker: Worker) -> None:
    worker.world.price("pr2", provider="acme", model="sim-chat", amounts=AMOUNTS, valid_from="2025-01-01")
    targets = [SIMPLE, {"virtual_key": "second"}]
    config = {"strategy": {"mode": "fallback", "on_status_codes": [200]}, "targets": targets}
    await worker.run(ok())
    done = await worker.run(ok(), config=config)
    assert said(done) == DISABLED
    assert (done.record.provider, done.record.fallback_count) == ("acme", 1)
    assert done.spent == ("provider", 3, 5)
    assert done.record.cost_picousd


async def test_what_is_explained_is_the_key_under_which_an_answer_is_kept(worker: Worker) -> None:
    done = await worker.run(ok())
    exchange, call = done.exchange, done.exchange.call
    assert call is not None
    resolved = resolve(exchange.headers, call, worker.world.caller())
    assert isinstance(resolved.route, Target)
    key, keys = worker.cached.key_of(resolved.route, call, exchange), worker.answers.keys()
    assert key is not None
    assert keys is not None
    assert worker.line is not None
    assert await worker.line.ask(b"EXISTS", worker.answers.address(keys, key)) == 1
    assert Worker(None).cached.key_of(resolved.route, call, exchange) is None


async def test_semantic_modes_are_refused_by_name_until_they_are_built(worker: Worker) -> None:
    done = await worker.call(config={"cache": {"mode": "semantic"}, "virtual_key": "main"})()
    assert done.answer.status == 400
    assert "`semantic` is not supported" in done.error["message"]


@pytest.mark.parametrize("true", ["true", "True"])
async def test_refresh_replaces_what_was_kept(worker: Worker, true: str) -> None:
    """Its client says `true`, its documents `True`."""
    newer = b'{"newer": 1}'
    assert said(await worker.run(ok())) == MISS
    fresh = await worker.run(answers(200, newer), headers={"x-portkey-cache-force-refresh": true})
    assert (said(fresh), fresh.answer.body) == (REFRESH, newer)
    assert len(fresh.requests) == 1
    again = await worker.run()
    assert (said(again), again.answer.body) == (HIT, newer)


@pytest.mark.parametrize("status", [201, 400, 401, 404, 429, 500, 503])
async def test_only_answers_of_2xx_are_stored(worker: Worker, status: int) -> None:
    first = await worker.run(answers(status, OK if status == 201 else ERROR))
    assert said(first) == MISS
    assert first.answer.status == status
    again = await worker.run(ok()) if status != 201 else await worker.run()
    assert said(again) == (HIT if status == 201 else MISS)
    assert again.answer.status == (201 if status == 201 else 200)


async def test_streams_are_cached_unlike_in_the_original_and_replayed_as_streams(worker: Worker) -> None:
    first = await worker.run(streams(ROLE + EVENT, FINISH, USAGE + DONE), raw=STREAMED)
    assert (said(first), first.answer.body) == (MISS, STREAM)
    again = await worker.run(raw=STREAMED)
    assert (said(again), again.answer.body, again.answer.length) == (HIT, STREAM, None)
    assert again.answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert again.requests == []
    assert (again.record.stream, again.record.usage, again.record.ending) == (True, "none", "complete")
    assert again.record.cost_picousd == 0


async def test_a_plain_answer_is_no_stream_and_a_stream_no_plain_answer(worker: Worker) -> None:
    assert said(await worker.run(ok())) == MISS
    assert said(await worker.run(streams(STREAM), raw=STREAMED)) == MISS


async def test_a_hit_keeps_the_targets_path(worker: Worker) -> None:
    config = {"cache": "simple", **FALLBACK}
    first = await worker.run(answers(500, ERROR), ok(), config=config)
    assert said(first) == MISS
    again = await worker.run(answers(500, ERROR), config=config)
    assert (said(again), again.answer.body) == (HIT, OK)
    assert again.answer.headers["x-portkey-last-used-option-index"] == "config.targets[1]"
    assert again.answer.headers["x-portkey-provider"] == "acme"
    assert (again.record.target, again.record.provider) == ("config.targets[1]", "acme")
    assert (again.record.attempt_count, again.record.fallback_count) == (1, 1)
    assert (again.record.usage, again.record.cost_picousd) == ("none", 0)


async def test_a_hit_says_that_its_first_try_answered(worker: Worker) -> None:
    config = {**SIMPLE, "retry": {"attempts": 2}}
    first = await worker.run(answers(500, ERROR), ok(), config=config)
    assert first.answer.headers["x-portkey-retry-attempt-count"] == "1"
    assert (await worker.run(config=config)).answer.headers["x-portkey-retry-attempt-count"] == "0"


# What else is the same, and what is not


@pytest.mark.parametrize("door", [Door.CHAT, Door.COMPLETIONS, Door.EMBEDDINGS, Door.MESSAGES, Door.RESPONSES])
@pytest.mark.parametrize("stream", [False, True])
async def test_every_door_that_is_read_is_cached(worker: Worker, door: Door, stream: bool) -> None:
    words = {"messages": [{"role": "user", "content": "Hi"}]} if door in (Door.CHAT, Door.MESSAGES) else {"input": "Hi"}
    raw = orjson.dumps({"model": "sim-chat", "max_tokens": 5, "stream": stream, **words})
    if door is Door.RESPONSES:
        raw = orjson.dumps({"model": "sim-chat", "stream": stream, **words})
    streamed = stream and door is not Door.EMBEDDINGS
    answer = Answer(text="Hi")
    script = streams(answer.stream()) if streamed else answers(200, orjson.dumps(answer.whole()))
    worker.world = World()
    worker.world.put(
        "global",
        "provider",
        id="sim",
        name="S",
        base_url="http://sim.test/v1",
        doors=["chat", "completions", "embeddings"],
    )
    first = await worker.run(script, raw=raw, door=door)
    assert (first.answer.status, said(first)) == (200, MISS)
    again = await worker.run(raw=raw, door=door)
    assert (said(again), again.answer.body) == (HIT, first.answer.body)


@pytest.mark.parametrize("field", ["conversation", "background"])
async def test_what_depends_on_a_providers_memory_is_not_cached(worker: Worker, field: str) -> None:
    raw = orjson.dumps({"model": "sim-chat", "input": "Hi", field: True})
    world = World()
    world.put("global", "provider", id="sim", name="S", base_url="http://sim.test/v1", doors=["chat", "responses"])
    for _ in range(2):
        assert said(await worker.run(ok(), raw=raw, door=Door.RESPONSES, world=world)) == DISABLED


async def test_the_order_of_fields_does_not_count_and_what_is_sent_is_what_was_keyed(worker: Worker) -> None:
    first = await worker.run(ok(), raw=b'{"seed": 1, "seed": 2, "model": "sim-chat", "messages": []}')
    assert orjson.loads(first.requests[0].body) == {"seed": 2, "model": "sim-chat", "messages": []}
    assert first.requests[0].body.count(b"seed") == 1
    assert said(await worker.run(raw=b'{"messages": [], "model": "sim-chat",  "seed": 2}')) == HIT


async def test_a_namespace_keeps_apart_and_puts_together(worker: Worker) -> None:
    one, two = ({"x-portkey-cache-namespace": name} for name in ("one", "two"))
    assert said(await worker.run(ok(), headers=one)) == MISS
    assert said(await worker.run(ok(), headers=two)) == MISS
    assert said(await worker.run(ok())) == MISS
    ada, bob = ({"x-portkey-metadata": orjson.dumps({"_user": name}).decode()} for name in ("ada", "bob"))
    assert said(await worker.run(headers={**one, **ada})) == HIT, "a namespace takes the place of metadata"
    assert said(await worker.run(ok(), headers=ada)) == MISS, "else metadata keep apart"
    assert said(await worker.run(ok(), headers=bob)) == MISS
    assert said(await worker.run(headers=ada)) == HIT


async def test_metadata_that_cannot_be_read_still_keep_apart(worker: Worker) -> None:
    for text in ("{", '{"a": 1}', '{"a": 2}'):
        assert said(await worker.run(ok(), headers={"x-portkey-metadata": text})) == MISS
        assert said(await worker.run(headers={"x-portkey-metadata": text})) == HIT


async def test_another_revision_of_the_config_finds_nothing_of_the_one_before(worker: Worker) -> None:
    headers = {"x-portkey-config": "shop"}
    worker.world.config("shop", SIMPLE)
    assert said(await worker.run(ok(), config=None, headers=headers)) == MISS
    assert said(await worker.run(config=None, headers=headers)) == HIT
    shard, kind, id_ = "ws:w1", "config", "pc-shop"
    before = worker.world._resources[shard, kind, id_]
    worker.world._resources[shard, kind, id_] = type(before)(shard, kind, id_, 2, 1, 1, before.sealed)
    assert said(await worker.run(ok(), config=None, headers=headers)) == MISS


async def test_cache_is_inherited_and_of_several_targets_each_has_its_own(worker: Worker) -> None:
    config = {
        "strategy": {"mode": "fallback"},
        "targets": [{"virtual_key": "main", "cache": "simple"}, {"virtual_key": "second"}],
    }
    first = await worker.run(answers(500, ERROR), ok(), config=config)
    assert said(first) == DISABLED, "the one that answered has none"
    alone = await worker.run(ok(), config={"cache": "simple", "targets": [{"virtual_key": "main"}]})
    assert said(alone) == MISS


async def test_what_is_older_than_the_config_allows_is_asked_for_again(worker: Worker) -> None:
    short = {**SIMPLE, "cache": {"mode": "simple", "max_age": 60}}
    assert said(await worker.run(ok())) == MISS
    worker.clock.advance(59)
    assert said(await worker.run(config=short)) == HIT
    worker.clock.advance(1)
    assert said(await worker.run(ok(), config=short)) == MISS
    assert said(await worker.run(config=short)) == HIT


async def test_redis_forgets_it_by_itself_when_its_time_is_over(worker: Worker) -> None:
    assert worker.line is not None
    await worker.run(ok(), config={**SIMPLE, "cache": {"mode": "simple", "max_age": 60}})
    seconds = int(await worker.line.ask(b"EVAL", b"return redis.call('TTL', redis.call('KEYS', '*')[1])", b"0") or 0)
    assert 55 <= seconds <= 60


async def test_what_is_in_redis_is_sealed_and_says_nothing(worker: Worker, redis_server: RedisServer) -> None:
    raw = b'{"model": "sim-chat", "messages": [{"role": "user", "content": "marker-asked"}]}'
    body = orjson.dumps({"text": "marker-answered"})
    await worker.run(answers(200, body), raw=raw, headers={"x-portkey-cache-namespace": "marker-room"})
    assert worker.line is not None
    await worker.line.reply(worker.line.begin(b"SAVE"), HANG_S)
    dump = redis_server.dump.read_bytes()
    assert b"gh:{gw}:cache:" in dump
    assert b"GHE1" in dump
    for word in (b"marker", b"sim-chat", b"w1", worker.world.key.encode()):
        assert word not in dump


async def test_an_error_that_came_as_a_good_answer_is_not_kept(worker: Worker) -> None:
    for _ in range(2):
        done = await worker.run(answers(200, ERROR))
        assert (said(done), done.answer.status) == (MISS, 502)
    beside = orjson.dumps({**orjson.loads(ERROR), "choices": [{"message": {"content": "Hi"}}]})
    for _ in range(2):
        done = await worker.run(answers(200, beside))
        assert (said(done), done.answer.status, done.answer.body) == (MISS, 200, beside)
    quoted = orjson.dumps({"error": None, "choices": [{"message": {"content": 'say "error"'}}]})
    assert said(await worker.run(answers(200, quoted))) == MISS
    assert said(await worker.run()) == HIT


async def test_an_answer_that_is_too_large_passes_and_is_not_kept(worker: Worker) -> None:
    large = orjson.dumps({"text": "x" * BODY_BYTES_MAX})
    for _ in range(2):
        done = await worker.run(answers(200, large))
        assert (said(done), done.answer.body) == (MISS, large)
    events = EVENT * (BODY_BYTES_MAX // len(EVENT) + 1)
    for _ in range(2):
        done = await worker.run(streams(events, FINISH + DONE), raw=STREAMED)
        assert (said(done), done.answer.body) == (MISS, events + FINISH + DONE)


@pytest.mark.parametrize(
    "pieces",
    [
        (ROLE + EVENT, Cut("scripted")),
        (ROLE + EVENT,),
        (ROLE + EVENT, b'data: {"error": {"message": "No"}}\n\n'),
        (ROLE + EVENT, b"data: {broken\n\n"),
    ],
    ids=["cut", "ended without its end", "an error event", "no JSON"],
)
async def test_a_broken_stream_is_never_kept(worker: Worker, pieces: Any) -> None:
    first = await worker.run(streams(*pieces), raw=STREAMED)
    assert (said(first), first.record.ending) == (MISS, "broken")
    assert said(await worker.run(streams(STREAM), raw=STREAMED)) == MISS


async def test_a_stream_whose_caller_left_is_never_kept(worker: Worker) -> None:
    hang = Hang()
    leaving = worker.call(streams(ROLE + EVENT, hang), raw=STREAMED)
    task = asyncio.create_task(leaving())
    await hang.reached.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    leaving.settled()
    assert said(await worker.run(streams(STREAM), raw=STREAMED)) == MISS


async def test_a_call_right_behind_the_first_is_a_hit_also_while_redis_is_written(
    worker: Worker, redis_server: RedisServer
) -> None:
    first = worker.call(ok())
    redis_server.freeze()
    worker.answers.put(keys := cache_keys().current(), "name", _entry(), 60)  # type: ignore[arg-type]
    assert await worker.answers.get(keys, "name") == _entry()  # type: ignore[arg-type]
    redis_server.thaw()
    await first()
    assert said(await worker.call()()) == HIT, "nobody waited for the write"


async def test_another_worker_finds_it_as_soon_as_the_answer_has_ended(
    worker: Worker, redis_server: RedisServer
) -> None:
    async with running_line(redis_server.url) as line:
        other = Worker(line)
        other.world = worker.world
        for number in range(20):
            raw = orjson.dumps({"model": "sim-chat", "messages": [], "seed": number})
            assert said(await worker.call(ok(), raw=raw)()) == MISS
            assert said(await other.call(raw=raw)()) == HIT


async def test_another_workspace_or_gateway_key_finds_nothing(worker: Worker) -> None:
    assert said(await worker.run(ok())) == MISS
    stranger = Worker(worker.line)
    stranger.world = worker.world
    stranger.answers = Answers(worker.line, cache_keys(bytes(32)), "cache", BODY_BYTES_MAX)
    stranger.cached = Cached(stranger.answers, stranger.clock)
    assert said(await stranger.run(ok())) == MISS


# Redis is not well: never an error


async def test_without_redis_it_is_disabled() -> None:
    alone = Worker(None)
    for _ in range(2):
        assert said(await alone.run(ok())) == DISABLED


async def test_frozen_it_is_disabled_at_once_and_comes_back_by_itself(
    worker: Worker, redis_server: RedisServer
) -> None:
    assert worker.line is not None
    assert said(await worker.run(ok())) == MISS
    redis_server.freeze()
    for _ in range(3):
        assert said(await worker.run(ok())) == DISABLED
        assert not worker.line.is_up, "and nobody waits for it any more"
    redis_server.thaw()
    await until_up(worker.line)
    assert said(await worker.run()) == HIT


async def test_killed_it_is_disabled_and_what_was_lost_is_asked_for_again(
    worker: Worker, redis_server: RedisServer
) -> None:
    assert worker.line is not None
    assert said(await worker.run(ok())) == MISS
    redis_server.kill()
    assert said(await worker.run(ok())) == DISABLED
    redis_server.start()
    await until_up(worker.line)
    assert said(await worker.run(ok())) == MISS
    assert said(await worker.run()) == HIT


async def test_wiped_it_is_a_miss(worker: Worker) -> None:
    assert worker.line is not None
    assert said(await worker.run(ok())) == MISS
    await worker.line.ask(b"FLUSHALL")
    assert said(await worker.run(ok())) == MISS
    assert said(await worker.run()) == HIT


async def test_read_only_it_answers_what_it_has_and_keeps_nothing_new(
    worker: Worker, redis_server: RedisServer
) -> None:
    assert worker.line is not None
    assert said(await worker.run(ok())) == MISS
    await worker.line.ask(b"REPLICAOF", b"127.0.0.1", b"1")
    assert said(await worker.run()) == HIT
    other = b'{"model": "sim-chat", "messages": [], "seed": 1}'
    for _ in range(2):
        assert said(await worker.run(ok(), raw=other)) == MISS


async def test_full_it_answers_what_it_has_and_keeps_nothing_new(worker: Worker) -> None:
    assert worker.line is not None
    assert said(await worker.run(ok())) == MISS
    await worker.line.ask(b"CONFIG", b"SET", b"maxmemory", b"1")
    assert said(await worker.run()) == HIT
    for _ in range(2):
        assert said(await worker.run(ok(), raw=b'{"model": "sim-chat", "messages": [], "seed": 1}')) == MISS


async def test_an_entry_that_was_damaged_or_put_elsewhere_is_none(worker: Worker) -> None:
    assert worker.line is not None
    await worker.run(ok())
    script = (
        b"local k = redis.call('KEYS', '*')[1] local v = redis.call('GET', k) "
        b"return redis.call('SET', k, string.sub(v, 1, -2) .. 'x')"
    )
    await worker.line.ask(b"EVAL", script, b"0")
    assert said(await worker.run(ok())) == MISS
    assert said(await worker.run()) == HIT


# Identical calls at once


async def test_identical_calls_at_once_make_one(worker: Worker) -> None:
    hang = Hang()
    leader = worker.call(hang, ok())
    followers = [worker.call() for _ in range(5)]
    going = asyncio.create_task(leader())
    await hang.reached.wait()
    waiting = [asyncio.create_task(follower()) for follower in followers]
    await asyncio.sleep(0)
    hang.released.set()
    await asyncio.wait_for(asyncio.gather(going, *waiting), HANG_S)
    assert said(leader) == MISS
    assert [(said(f), f.answer.body, f.requests) for f in followers] == [(HIT, OK, [])] * 5


async def test_identical_streams_at_once_make_one(worker: Worker) -> None:
    hang = Hang()
    leader = worker.call(streams(ROLE + EVENT, hang, FINISH + USAGE + DONE), raw=STREAMED)
    follower = worker.call(raw=STREAMED)
    going = asyncio.create_task(leader())
    await hang.reached.wait()
    waiting = asyncio.create_task(follower())
    await asyncio.sleep(0)
    hang.released.set()
    await asyncio.wait_for(asyncio.gather(going, waiting), HANG_S)
    assert (said(follower), follower.answer.body) == (HIT, STREAM)


@pytest.mark.parametrize("how", ["fails", "is refused", "leaves"])
async def test_a_leader_that_brings_nothing_takes_nobody_with_it(worker: Worker, how: str) -> None:
    hang = Hang()
    ends: dict[str, Step] = {"fails": ConnectFailed("scripted"), "is refused": answers(429, ERROR), "leaves": ok()}
    leader = worker.call(hang, ends[how])
    first = Hang()
    followers = [worker.call(first, ok()), worker.call(), worker.call()]
    going = asyncio.create_task(leader())
    await hang.reached.wait()
    waiting = []
    for follower in followers:
        waiting.append(asyncio.create_task(follower()))
        await asyncio.sleep(0)
    if how == "leaves":
        going.cancel()
    hang.released.set()
    await asyncio.gather(going, return_exceptions=True)
    await asyncio.wait_for(first.reached.wait(), HANG_S)
    first.released.set()
    await asyncio.wait_for(asyncio.gather(*waiting), HANG_S)
    assert [said(follower) for follower in followers] == [MISS, HIT, HIT]
    assert all(follower.answer.body == OK for follower in followers)


async def test_a_provider_that_keeps_failing_is_not_asked_by_one_after_the_other(worker: Worker) -> None:
    """Whoever has waited for two calls in vain goes alone: the last one does not wait for all the others."""
    hangs = [Hang() for _ in range(6)]
    runs = [worker.call(hang, answers(500, ERROR)) for hang in hangs]
    tasks = []
    for run in runs:
        tasks.append(asyncio.create_task(run()))
        await asyncio.sleep(0)
    for leader in hangs[:2]:
        await asyncio.wait_for(leader.reached.wait(), HANG_S)
        leader.released.set()
    for rest in hangs[2:]:
        await asyncio.wait_for(rest.reached.wait(), HANG_S)
    for rest in hangs[2:]:
        rest.released.set()
    await asyncio.wait_for(asyncio.gather(*tasks), HANG_S)
    assert {run.answer.status for run in runs} == {500}


async def test_a_follower_that_leaves_harms_nobody(worker: Worker) -> None:
    hang = Hang()
    leader, follower = worker.call(hang, ok()), worker.call()
    going = asyncio.create_task(leader())
    await hang.reached.wait()
    waiting = asyncio.create_task(follower())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    hang.released.set()
    await asyncio.wait_for(going, HANG_S)
    assert (said(leader), leader.answer.body) == (MISS, OK)
    assert follower.record.ending == "left"


@pytest.mark.parametrize("raw", [RAW, STREAMED])
async def test_a_follower_waits_no_longer_than_its_own_timeout(worker: Worker, raw: bytes) -> None:
    """The other one gave itself more time, and what it gives itself is not in the key."""
    hang = Hang()
    good = streams(STREAM) if raw is STREAMED else ok()
    leader = worker.call(hang, good, raw=raw)
    follower = worker.call(good, raw=raw, headers={"x-portkey-request-timeout": "20"})
    going = asyncio.create_task(leader())
    await hang.reached.wait()
    await asyncio.wait_for(follower(), HANG_S)
    assert said(follower) == MISS
    hang.released.set()
    await asyncio.wait_for(going, HANG_S)
    assert said(leader) == MISS


async def test_without_a_cache_identical_calls_are_calls_of_their_own(worker: Worker) -> None:
    hangs = [Hang(), Hang()]
    tasks = [asyncio.create_task(worker.call(hang, ok(), config={"virtual_key": "main"})()) for hang in hangs]
    for hang in hangs:
        await asyncio.wait_for(hang.reached.wait(), HANG_S)
    for hang in hangs:
        hang.released.set()
    await asyncio.gather(*tasks)


def _entry() -> Entry:
    return Entry(200, "application/json", False, (), 0, b"{}")
