"""Calls that bear an idempotency key, over a real Redis: made once, billed once, and answered the same each time."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import orjson
import pytest
import pytest_asyncio
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.cache.answers import Answers
from gateway.cache.claims import CLAIM_MS, RENEW_S, Claims
from gateway.cache.redis_line import RedisLine
from gateway.pipeline.cached import Cached
from gateway.pipeline.idempotent import CHARS_MAX, HEADER, Idempotent
from gateway.providers.base import Door, Passage
from gateway.upstream.errors import ConnectFailed, Cut
from shared.clock import FakeClock
from tests.fakes.cache import BODY_BYTES_MAX, cache_keys, running_line
from tests.fakes.upstream import FakeResponse, Hang, Step, answers, streams
from tests.fakes.world import World
from tests.fixtures.redis import RedisServer
from tests.gateway.pipeline.test_pipeline import DONE, EVENT, FALLBACK, FINISH, OK, ROLE, STREAMED, USAGE, Run

MAIN: dict[str, Any] = {"virtual_key": "main"}
STREAM = ROLE + EVENT + FINISH + USAGE + DONE
ERROR = b'{"error": {"message": "No"}}'
STATUS, REPLAYED, ORIGINAL = (
    "x-gatehouse-idempotency-status",
    "x-gatehouse-idempotent-replayed",
    "x-gatehouse-original-request-id",
)
HANG_S = 20.0
"""Only a guard against hanging."""


class Renewals:
    """The pauses between renewals: they take as long as the test wants."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Event] = []

    async def __call__(self, seconds: float) -> None:
        assert seconds == RENEW_S
        self._waiting.append(event := asyncio.Event())
        await event.wait()

    async def turn(self) -> None:
        """Let so much time go by that each claim is renewed once."""
        await asyncio.sleep(0)
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            event.set()
        await asyncio.sleep(0)


class Worker:
    """A worker's part of it, in a world that several share."""

    def __init__(self, line: RedisLine | None, world: World | None = None, keep_s: int = 60) -> None:
        self.line = line
        self.clock = FakeClock()
        self.renewals = Renewals()
        self.answers = Answers(line, cache_keys(), "retry", BODY_BYTES_MAX)
        self.claims = Claims(line, self.answers, keep_s, self.renewals)
        self.idempotent = Idempotent(self.claims, self.clock)
        self.world = world or World()
        self._calls = 0

    def call(self, *script: Step, key: str = "key-1", headers: Mapping[str, str] | None = None, **fields: Any) -> Run:
        self._calls += 1
        given = {**({HEADER: key} if key else {}), **(headers or {})}
        fields = {"config": MAIN, "world": self.world, **fields}
        return Run(
            *script, headers=given, idempotent=self.idempotent, id_=f"lg_{id(self):016x}{self._calls:016x}", **fields
        )

    async def run(self, *script: Step, **fields: Any) -> Run:
        done = await self.call(*script, **fields)()
        await self.claims.settled()
        return done

    async def later(self) -> None:
        """So much time goes by that claims nobody renews have ended."""
        assert self.line is not None
        await self.line.ask(
            b"EVAL",
            b"for _, k in ipairs(redis.call('KEYS', '*')) do "
            b"if string.sub(redis.call('GET', k), 1, 1) == 'C' then redis.call('DEL', k) end end return 1",
            b"0",
        )

    async def ttl_ms(self) -> int:
        assert self.line is not None
        script = b"return redis.call('PTTL', redis.call('KEYS', '*')[1])"
        return int(await self.line.ask(b"EVAL", script, b"0") or 0)

    async def count(self) -> int:
        assert self.line is not None
        return int(await self.line.ask(b"DBSIZE") or 0)


@pytest_asyncio.fixture
async def worker(redis_server: RedisServer) -> AsyncIterator[Worker]:
    async with running_line(redis_server.url) as line:
        yield Worker(line)


def ok(body: bytes = OK) -> FakeResponse:
    return answers(200, body)


@asynccontextmanager
async def running(call: Run, hang: Hang) -> AsyncIterator["asyncio.Task[Run]"]:
    """A call that hangs where its script says."""
    task = asyncio.create_task(call())
    async with asyncio.timeout(HANG_S):
        await hang.reached.wait()
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_retry_gets_the_same_bytes_and_costs_nothing(worker: Worker) -> None:
    first = await worker.run(ok())
    assert first.answer.headers[STATUS] == "GUARDED"
    assert REPLAYED not in first.answer.headers
    again = await worker.run()
    assert (again.answer.status, again.answer.body) == (200, OK)
    assert again.answer.headers[STATUS] == "REPLAYED"
    assert again.answer.headers[REPLAYED] == "true"
    assert again.answer.headers[ORIGINAL] == first.exchange.id
    assert again.answer.headers["x-portkey-request-id"] == again.exchange.id
    for name in ("content-type", "x-portkey-provider", "x-portkey-last-used-option-index"):
        assert again.answer.headers[name] == first.answer.headers[name]
    assert again.requests == []
    record = again.record
    assert (record.cache, record.usage, record.cost_picousd, record.attempt_count) == ("replayed", "none", 0, 0)
    assert (record.status, record.ending, record.error) == (200, "complete", None)


async def test_a_stream_is_given_again_as_a_stream(worker: Worker) -> None:
    first = await worker.run(streams(ROLE + EVENT, FINISH, USAGE + DONE), raw=STREAMED)
    again = await worker.run(raw=STREAMED)
    assert first.answer.body == again.answer.body == STREAM
    assert again.answer.headers["content-type"] == first.answer.headers["content-type"]
    assert (again.record.stream, again.record.cache, again.record.cost_picousd) == (True, "replayed", 0)


async def test_what_passes_through_as_json_is_guarded_too(worker: Worker) -> None:
    passage = Passage(Door.IMAGES, "POST", "/v1/images/generations")
    fields: Any = {"door": Door.IMAGES, "passage": passage, "raw": b'{"model": "sim-chat", "prompt": "A cat"}'}
    first = await worker.run(ok(b'{"data": []}'), **fields)
    assert first.answer.headers[STATUS] == "GUARDED"
    again = await worker.run(**fields)
    assert (again.answer.body, again.answer.headers[REPLAYED]) == (b'{"data": []}', "true")
    elsewhere = await worker.run(**{**fields, "passage": Passage(Door.IMAGES, "POST", "/v1/images/edits")})
    assert elsewhere.answer.status == 422


async def test_what_passes_through_otherwise_is_not(worker: Worker) -> None:
    passage = Passage(Door.FILES, "GET", "/v1/files")
    for _ in range(2):
        done = await worker.run(ok(b"{}"), door=Door.FILES, passage=passage, raw=b"")
        assert (done.answer.status, STATUS in done.answer.headers) == (200, False)
    speech = Passage(Door.AUDIO, "POST", "/v1/audio/speech")
    for _ in range(2):
        sound = answers(200, b"\x00\x01", content_type="audio/mpeg")
        done = await worker.run(sound, door=Door.AUDIO, passage=speech, raw=b'{"input": "Hi"}')
        assert (done.answer.body, done.answer.headers[STATUS]) == (b"\x00\x01", "DISABLED")


async def test_while_the_first_runs_its_repetition_is_told_to_wait(worker: Worker) -> None:
    hang = Hang()
    call = worker.call(hang, ok())
    async with running(call, hang) as task:
        early = await worker.run()
        assert (early.answer.status, early.error["code"]) == (409, "idempotency_key_in_use")
        assert early.answer.headers["retry-after"] == "1"
        assert call.exchange.id in early.error["message"]
        assert "x-should-retry" not in early.answer.headers
        assert (early.record.ending, early.record.cost_picousd) == ("refused", 0)
        hang.released.set()
        await task
    assert (await worker.run()).answer.headers[REPLAYED] == "true"


async def test_another_body_or_path_under_the_same_key_is_refused(worker: Worker) -> None:
    first = await worker.run(ok())
    for other in ({"raw": b'{"model": "sim-chat", "messages": [1]}'}, {"door": Door.COMPLETIONS}):
        done = await worker.run(**other)
        assert (done.answer.status, done.error["code"]) == (422, "idempotency_key_reused")
        assert STATUS not in done.answer.headers, "a refusal is no unguarded call"
        assert done.error["param"] == "idempotency-key"
        assert first.exchange.id in done.error["message"]
        assert done.answer.headers["x-should-retry"] == "false"


async def test_calls_without_a_key_or_with_another_are_apart(worker: Worker) -> None:
    await worker.run(ok())
    for key in ("", "key-2"):
        assert (await worker.run(ok(), key=key)).requests
    assert STATUS not in (await worker.run(ok(), key="")).answer.headers


async def test_each_api_key_has_words_of_its_own(worker: Worker) -> None:
    await worker.run(ok())
    worker.world.drop("ws:w1", "api_key", "k1")
    worker.world.api_key("k2", worker.world.key)
    done = await worker.run(ok())
    assert (done.requests != [], done.answer.headers[STATUS]) == (True, "GUARDED")


@pytest.mark.parametrize(
    "failing",
    [
        lambda: answers(500, ERROR),
        lambda: answers(503, ERROR),
        lambda: answers(429, ERROR),
        lambda: answers(400, ERROR),
        lambda: ConnectFailed("scripted"),
        lambda: answers(200, b"{broken"),
    ],
    ids=["500", "503", "429", "400", "no connection", "no answer"],
)
async def test_what_failed_is_tried_again(worker: Worker, failing: Any) -> None:
    first = await worker.run(failing())
    assert first.answer.status >= 400
    again = await worker.run(ok())
    assert (again.answer.status, again.answer.headers[STATUS], len(again.requests)) == (200, "GUARDED", 1)


@pytest.mark.parametrize(
    "pieces",
    [(ROLE + EVENT, Cut("scripted")), (ROLE + EVENT,), (ROLE + EVENT, b'data: {"error": {"message": "No"}}\n\n')],
)
async def test_a_stream_that_broke_is_tried_again(worker: Worker, pieces: Any) -> None:
    assert (await worker.run(streams(*pieces), raw=STREAMED)).record.ending == "broken"
    assert await worker.count() == 0
    assert (await worker.run(streams(STREAM), raw=STREAMED)).answer.body == STREAM


async def test_a_call_that_is_refused_claims_nothing(worker: Worker) -> None:
    assert (await worker.run(config={"virtual_key": "unknown"})).answer.status == 400
    assert await worker.count() == 0


@pytest.mark.parametrize("raw", [None, STREAMED])
async def test_a_caller_who_leaves_before_the_answer_frees_the_key(worker: Worker, raw: bytes | None) -> None:
    fields: Any = {} if raw is None else {"raw": raw}
    hang = Hang()
    script: Step = hang if raw is None else streams(ROLE + EVENT, hang)
    call = worker.call(script, **fields)
    async with running(call, hang):
        pass
    call.settled()
    await worker.claims.settled()
    assert await worker.count() == 0
    answer = ok() if raw is None else streams(STREAM)
    assert (await worker.run(answer, **fields)).answer.headers[STATUS] == "GUARDED"


async def test_a_caller_who_leaves_a_whole_answer_unread_finds_it_later(worker: Worker) -> None:
    call = worker.call(ok(), stall="head")
    async with running(call, call.answer.hang):
        pass
    await worker.claims.settled()
    again = await worker.run()
    assert (again.answer.body, again.answer.headers[REPLAYED]) == (OK, "true")


async def test_a_key_claimed_by_a_worker_that_was_killed_is_free_when_its_time_is_over(
    worker: Worker, redis_server: RedisServer
) -> None:
    hang = Hang()
    async with running_line(redis_server.url) as line:
        killed = Worker(line, worker.world)
        async with running(killed.call(hang), hang):
            assert (await worker.run()).answer.status == 409
            assert 0 < await worker.ttl_ms() <= CLAIM_MS
            await worker.later()
            assert (await worker.run(ok())).answer.status == 200
            # It was not dead after all, and its claim is another's now: it neither renews nor frees nor replaces it.
            await killed.renewals.turn()
        await killed.claims.settled()
    assert (await worker.run()).answer.body == OK


async def test_a_claim_is_renewed_as_long_as_its_call_runs(worker: Worker) -> None:
    hang = Hang()
    assert worker.line is not None
    async with running(worker.call(hang, ok()), hang) as task:
        for _ in range(3):
            await worker.line.ask(b"EVAL", b"redis.call('PEXPIRE', redis.call('KEYS', '*')[1], 5000) return 1", b"0")
            await worker.renewals.turn()
            await worker.claims.settled()
            assert await worker.ttl_ms() > 5_000
        hang.released.set()
        await task
    await worker.claims.settled()
    await worker.renewals.turn()
    assert (await worker.run()).answer.headers[REPLAYED] == "true", "and no longer"


async def test_it_is_kept_for_as_long_as_the_setting_says(worker: Worker) -> None:
    await worker.run(ok())
    assert 55_000 < await worker.ttl_ms() <= 60_000


async def test_an_answer_that_is_too_large_passes_and_the_key_is_free_again(worker: Worker) -> None:
    large = orjson.dumps({"text": "x" * BODY_BYTES_MAX})
    for _ in range(2):
        done = await worker.run(ok(large))
        assert (done.answer.body, done.answer.headers[STATUS]) == (large, "DISABLED")
    events = EVENT * (BODY_BYTES_MAX // len(EVENT) + 1)
    for _ in range(2):
        done = await worker.run(streams(events, FINISH + DONE), raw=STREAMED)
        assert done.answer.body == events + FINISH + DONE
        assert done.requests


async def test_what_a_fallback_answered_is_given_again_with_its_place(worker: Worker) -> None:
    first = await worker.run(answers(500, ERROR), ok(), config=FALLBACK)
    again = await worker.run(config=FALLBACK)
    for done in (first, again):
        assert done.answer.headers["x-portkey-last-used-option-index"] == "config.targets[1]"
        assert done.answer.headers["x-portkey-provider"] == "acme"
    assert (again.record.attempt_count, again.record.fallback_count, again.record.cost_picousd) == (0, 0, 0)


async def test_beside_a_cache_a_hit_is_kept_under_the_key_too(worker: Worker) -> None:
    cached = Cached(Answers(worker.line, cache_keys(), "cache", BODY_BYTES_MAX), worker.clock)
    for raw, script in ((b'{"model": "sim-chat", "messages": []}', ok()), (STREAMED, streams(STREAM))):
        fields: Any = {"config": {**MAIN, "cache": "simple"}, "cached": cached, "raw": raw}
        name = "s" if raw is STREAMED else "p"
        first = await worker.run(script, key=f"{name}1", **fields)
        hit = await worker.run(key=f"{name}2", **fields)
        assert (hit.record.cache, hit.answer.headers[STATUS]) == ("hit", "GUARDED")
        again = await worker.run(key=f"{name}2", **fields)
        assert again.record.cache == "replayed"
        assert first.answer.body == hit.answer.body == again.answer.body


@pytest.mark.parametrize("key", ["", "x" * (CHARS_MAX + 1), "ü", "a\tb"])
async def test_what_is_no_key_is_refused(worker: Worker, key: str) -> None:
    done = await worker.call(headers={HEADER: key})()
    assert (done.answer.status, done.error["code"]) == (400, "header_invalid")
    assert done.error["param"] == "idempotency-key"


async def test_what_is_in_redis_says_nothing(worker: Worker, redis_server: RedisServer) -> None:
    raw = b'{"model": "sim-chat", "messages": [{"role": "user", "content": "marker-asked"}]}'
    await worker.run(ok(b'{"text": "marker-answered"}'), raw=raw, key="marker-key")
    assert worker.line is not None
    await worker.line.reply(worker.line.begin(b"SAVE"), HANG_S)
    dump = redis_server.dump.read_bytes()
    assert b"gh:{gw}:retry:" in dump
    assert b"GHE1" in dump
    for word in (b"marker", b"sim-chat", b"w1", worker.world.key.encode()):
        assert word not in dump


# Redis is not well: never an error


async def test_without_redis_calls_go_through_and_say_so() -> None:
    alone = Worker(None)
    for _ in range(2):
        done = await alone.run(ok())
        assert (done.answer.status, done.answer.headers[STATUS]) == (200, "DISABLED")


@pytest.mark.parametrize("how", ["freeze", "kill"])
async def test_a_redis_that_is_away_stops_no_call(worker: Worker, redis_server: RedisServer, how: str) -> None:
    getattr(redis_server, how)()
    for _ in range(3):
        done = await worker.run(ok())
        assert (done.answer.status, done.answer.headers[STATUS]) == (200, "DISABLED")
    if how == "freeze":
        redis_server.thaw()


async def test_a_redis_that_goes_away_under_a_call_does_not_harm_it(worker: Worker, redis_server: RedisServer) -> None:
    hang = Hang()
    async with running(worker.call(hang, ok()), hang) as task:
        redis_server.kill()
        hang.released.set()
        assert (await task).answer.status == 200


async def test_one_that_is_read_only_guards_nothing(worker: Worker) -> None:
    assert worker.line is not None
    await worker.line.ask(b"REPLICAOF", b"127.0.0.1", b"1")
    for _ in range(2):
        done = await worker.run(ok())
        assert (done.answer.status, done.answer.headers[STATUS]) == (200, "DISABLED")


async def test_what_was_damaged_or_belongs_to_another_body_is_not_given(worker: Worker) -> None:
    assert worker.line is not None
    await worker.run(ok())
    # The digest of the body is exchanged for another one: what is sealed opens only beside its own.
    script = (
        b"local k = redis.call('KEYS', '*')[1] local v = redis.call('GET', k) "
        b"return redis.call('SET', k, 'K' .. string.rep('0', 64) .. string.sub(v, 66))"
    )
    await worker.line.ask(b"EVAL", script, b"0")
    done = await worker.run(ok())
    assert (done.answer.status, done.answer.headers[STATUS]) == (200, "DISABLED")


async def test_a_call_whose_id_was_made_another_s_header_is_as_one_that_was_damaged(worker: Worker) -> None:
    """What names the call stands beside what is sealed, for whoever writes to Redis to change."""
    assert worker.line is not None
    first = await worker.run(ok())
    script = (
        b"local k = redis.call('KEYS', '*')[1] local v = redis.call('GET', k) "
        b"return redis.call('SET', k, (string.gsub(v, ARGV[1], 'lg_\\r\\nset-cookie:a', 1)))"
    )
    await worker.line.ask(b"EVAL", script, b"0", first.exchange.id.encode())
    done = await worker.run(ok())
    assert (done.answer.status, done.answer.headers[STATUS]) == (200, "DISABLED")


# Whatever happens, in whatever order

BODIES = (b'{"model": "sim-chat", "messages": []}', b'{"model": "sim-chat", "messages": [1]}')
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "answer", "fail", "leave", "kill", "wait"]),
        st.integers(0, 1),
        st.integers(0, 1),
        st.integers(0, 1),
    ),
    max_size=14,
)


class Story:
    """Calls of two workers under two words with two bodies, and what a caller may expect of each."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._workers: dict[int, Worker] = {}
        self._stacks: dict[int, AsyncExitStack] = {}
        self._running: dict[str, tuple[int, int, Hang, asyncio.Task[Run], Run]] = {}
        """By key: its worker, its body, and the call."""
        self._dead: set[str] = set()
        self._kept: dict[str, tuple[int, bytes]] = {}
        self._answered = 0

    async def begin(self, place: int, key: str, body: int) -> None:
        self._answered += 1
        hang = Hang()
        call = self._workers[place].call(hang, ok(b'{"said": %d}' % self._answered), key=key, raw=BODIES[body])
        task = asyncio.create_task(call())
        waiting = asyncio.create_task(hang.reached.wait())
        async with asyncio.timeout(HANG_S):
            await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not (key in self._kept or key in self._running or key in self._dead):
            assert not task.done(), "whoever is first goes"
            self._running[key] = (place, body, hang, task, call)
            return
        assert task.done(), "made once"
        done = await task
        assert done.requests == []
        if key in self._kept and self._kept[key][0] == body:
            assert (done.answer.status, done.answer.body) == (200, self._kept[key][1])
            assert (done.record.cost_picousd, done.record.cache) == (0, "replayed")
        elif key in self._kept:
            assert done.answer.status == 422
        else:
            assert done.answer.status in (409, 422)

    async def end(self, key: str, how: str) -> None:
        if key not in self._running:
            return
        place, body, hang, task, call = self._running.pop(key)
        if how == "leave":
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        else:
            if how == "fail":
                call.client._script[:] = [answers(500, ERROR)]
            hang.released.set()
            done = await task
            if how == "answer":
                self._kept[key] = (body, done.answer.body)
        await self._workers[place].claims.settled()

    async def start(self, place: int) -> None:
        self._stacks[place] = stack = AsyncExitStack()
        line = await stack.enter_async_context(running_line(self._url))
        self._workers[place] = Worker(line)
        # One API key, and so one caller, for both.
        self._workers[place].world = self._workers[min(self._workers)].world

    async def kill(self, place: int) -> None:
        """Nothing it does afterwards reaches Redis."""
        await self._stacks[place].aclose()
        for key, (where, _, _, task, _) in list(self._running.items()):
            if where == place:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                del self._running[key]
                self._dead.add(key)

    async def wait(self) -> None:
        """Claims end that nobody renews."""
        await self._workers[0].later()
        self._dead.clear()
        for worker in self._workers.values():
            await worker.renewals.turn()
            await worker.claims.settled()

    async def tell(self, steps: list[tuple[str, int, int, int]]) -> None:
        for place in (0, 1):
            await self.start(place)
        line = self._workers[0].line
        assert line is not None
        await line.ask(b"FLUSHALL")
        for what, place, word, body in steps:
            key = f"key-{word}"
            if what == "begin":
                await self.begin(place, key, body)
            elif what == "kill":
                await self.kill(place)
                await self.start(place)
            elif what == "wait":
                await self.wait()
            else:
                await self.end(key, what)
        for key in list(self._running):
            await self.end(key, "leave")
        for stack in self._stacks.values():
            await stack.aclose()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_whatever_happens_one_call_under_a_key_is_answered_and_its_repetitions_are_the_same(
    redis_server: RedisServer, steps: list[tuple[str, int, int, int]]
) -> None:
    uvloop.run(Story(redis_server.url).tell(steps))
