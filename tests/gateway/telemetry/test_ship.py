"""Shipping: each batch counts once, whatever the control plane answers, and a backlog keeps nobody waiting."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.sync.control_plane_client import CallFailed, ControlPlaneClient
from gateway.sync.pace import CAP_S
from gateway.telemetry.ballast import Ballast
from gateway.telemetry.outbox import Made, Outbox, Stream
from gateway.telemetry.ship import (
    ASIDE_MAX,
    ASIDE_S,
    BEHIND_MAX,
    REFUSALS_MAX,
    SLOW_S,
    TURNS,
    Shipper,
    choose,
)
from shared.clock import FakeClock
from shared.protocol import batch, request
from shared.protocol.batch import PATH
from tests.fakes.control_plane import FakeControlPlane, Reply
from tests.fakes.ledger import FakeLedger, acknowledgement
from tests.fixtures.disk import no_writes
from tests.fixtures.house import new_node_keys
from tests.fixtures.spool import new_streams

NAMES = new_streams()


class Dock:
    """A shipper on an outbox, a control plane behind a ledger, and a clock turned by hand."""

    def __init__(self, folder: Path, seed: int = 1) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.control_plane = FakeControlPlane()
        self.ledger = FakeLedger()
        self.chance = Random(seed)
        self.put_so_far = 0
        self.outbox, self.shipper = self._started()

    def _started(self) -> tuple[Outbox, Shipper]:
        """As the agent's process does."""
        outbox = Outbox(self.folder, Ballast(self.folder, 1024), self.clock, lambda: next(NAMES), keep=True)
        return outbox, Shipper(outbox, self.control_plane, asyncio.Event(), self.clock, self.chance)

    def restart(self) -> None:
        self.outbox.close()
        self.outbox, self.shipper = self._started()

    def put(self, count: int = 1) -> None:
        for _ in range(count):
            payload = batch.payload(("number",), [b"[%d]" % self.put_so_far])
            self.outbox.add(Made(payload, 1, (), 1, 2), {}, ())
            self.put_so_far += 1

    async def turn(self, *replies: Reply | Callable[[bytes], Reply]) -> float | None:
        self.control_plane.replies = list(replies) or [self.ledger]
        return await self.shipper.turn()

    async def all(self) -> None:
        """Turns until nothing waits, the clock going on by what is to be waited."""
        while True:
            wait_s = await self.turn()
            if wait_s is None and not self.outbox.streams():
                return
            self.clock.advance(ASIDE_S if wait_s is None else wait_s)

    def arrived(self) -> list[int]:
        """Numbers of the batches that count, in their order."""
        told = [orjson.loads(batch._decompressed(payload)) for payload in self.ledger.counted.values()]
        return [row[0] for each in told for row in each["rows"]]


@pytest.fixture
def dock(tmp_path: Path) -> Iterator[Dock]:
    made = Dock(tmp_path)
    yield made
    made.outbox.close()


# In which order.


async def test_batches_go_one_by_one_in_their_order_and_each_is_forgotten_when_it_is_acknowledged(dock: Dock) -> None:
    """GHS/1 17.3, 17.5."""
    dock.put(3)
    for left in (2, 1, 0):
        assert await dock.turn() == 0.0
        assert dock.outbox.waiting().records == left
    assert await dock.turn() is None
    assert dock.arrived() == [0, 1, 2]
    assert [seq for _, seq in dock.ledger.order] == [1, 2, 3]


async def test_what_is_not_acknowledged_is_sent_again_byte_for_byte(dock: Dock) -> None:
    """GHS/1 17.4, 17.5: also by the next process."""
    dock.put(2)
    assert await dock.turn(CallFailed("unreachable", "the answer was lost"))
    dock.restart()
    assert await dock.turn(CallFailed("unavailable", "ClickHouse is away"))
    await dock.turn()
    (_, first), (_, second), (_, third) = dock.control_plane.asked
    assert first == second == third
    await dock.all()
    assert dock.arrived() == [0, 1]


@pytest.mark.parametrize("waiting", [BEHIND_MAX + 1, BEHIND_MAX + 2])
async def test_after_an_outage_new_batches_are_sent_beside_the_backlog_one_in_five(dock: Dock, waiting: int) -> None:
    """GHS/1 17.3: as soon as an acknowledgement comes and more than eight wait behind it."""
    dock.put(waiting)
    await dock.turn()
    dock.put(20)
    await dock.all()
    streams = [stream for stream, _ in dock.ledger.order]
    if waiting == BEHIND_MAX + 1:
        assert len(set(streams)) == 1
        return
    backlog, live = streams[0], streams[TURNS]
    assert backlog != live
    assert streams[1 : 2 * TURNS + 1] == [backlog] * 4 + [live] + [backlog] * 4 + [live]
    assert set(streams[2 * TURNS + 1 :]) == {backlog, live}
    assert sorted(dock.arrived()) == list(range(waiting + 20))


async def test_there_is_one_backlog_at_a_time_however_far_the_sending_lags(dock: Dock) -> None:
    dock.put(BEHIND_MAX + 2)
    for _ in range(30):
        dock.put(3)
        await dock.turn()
        assert len(dock.outbox.streams()) <= 2
    await dock.all()
    assert sorted(dock.arrived()) == list(range(dock.put_so_far))


async def test_after_a_restart_what_waits_is_the_backlog_and_what_comes_is_live(dock: Dock) -> None:
    """GHS/1 17.3."""
    dock.put(10)
    dock.restart()
    dock.put(2)
    await dock.all()
    assert dock.arrived() == [0, 1, 2, 3, 10, 4, 5, 6, 7, 11, 8, 9]


@given(st.integers(0, 4), st.booleans(), st.integers(0, 40))
def test_choosing_is_fair_to_the_oldest_backlog_and_to_the_live_stream(backlogs: int, live: bool, turn: int) -> None:
    streams = [Stream(base, base, base, live=False) for base in range(backlogs)]
    streams += [Stream(99, 99, 99, live=True)] if live else []
    chosen = Counter(choose(streams, turn + n) for n in range(TURNS))
    if live and backlogs:
        assert chosen == {streams[0]: TURNS - 1, streams[-1]: 1}
    else:
        assert chosen == {(streams or [None])[0]: TURNS}


# What it may be answered.


async def test_a_stream_with_a_gap_or_a_conflict_goes_on_under_another_name(dock: Dock) -> None:
    """GHS/1 17.6."""
    for code in ("batch_gap", "batch_conflict"):
        dock.put(3)
        await dock.turn()
        before = dock.ledger.order[-1][0]
        with capture_logs() as logs:
            assert await dock.turn(CallFailed(code, "…"))
        assert "stream_broken" in [log["event"] for log in logs]
        await dock.all()
        (name,) = {stream for stream, _ in dock.ledger.order[-2:]}
        assert name != before
    assert sorted(dock.arrived()) == list(range(6))
    assert dock.outbox.dropped() == {}


async def test_a_control_plane_that_lost_its_ledger_gets_all_that_is_still_here(dock: Dock) -> None:
    """GHS/1 17.6."""
    dock.put(4)
    await dock.turn()
    await dock.turn()
    dock.ledger.streams.clear()
    await dock.all()
    assert sorted(dock.arrived()) == [0, 1, 2, 3]


WRONG_REPLIES: list[bytes] = [
    b"",
    b"<html>",
    b"{}",
    b"[]",
    b"null",
    b'{"stream": "0000000000000000", "acknowledged": 1}',
    b'{"stream": "%s", "acknowledged": 0}',
    b'{"stream": "%s", "acknowledged": -1}',
    b'{"stream": "%s", "acknowledged": "1"}',
    b'{"stream": "%s", "acknowledged": true}',
    b"\xff" * 100,
]


@pytest.mark.parametrize("wrong", WRONG_REPLIES)
async def test_an_answer_that_is_no_acknowledgement_of_the_batch_changes_nothing_but_the_time(
    dock: Dock, wrong: bytes
) -> None:
    """GHS/1 12.5, 17.5."""
    dock.put(2)
    before = [dock.outbox.take(stream) for stream in dock.outbox.streams()]
    name = before[0].head.stream if before[0] else ""
    wrong = wrong.replace(b"%s", name.encode())
    wait_s = await dock.turn(wrong)
    assert wait_s is not None
    assert 0 < wait_s <= CAP_S
    assert dock.control_plane.left == [wrong], "another endpoint is asked next (GHS/1 12.6)"
    assert [dock.outbox.take(stream) for stream in dock.outbox.streams()] == before
    await dock.all()
    assert dock.arrived() == [0, 1]


async def test_more_acknowledged_than_was_sent_forgets_the_batch_that_was(dock: Dock) -> None:
    dock.put(3)
    await dock.turn(lambda body: acknowledgement(batch.split(body)[0].stream, 2**40))
    assert dock.outbox.waiting().records == 2


async def test_failures_are_waited_for_longer_and_longer_and_half_a_minute_at_most(dock: Dock) -> None:
    """GHS/1 12.6."""
    dock.put()
    waits: list[float] = []
    for _ in range(60):
        waits.append(await dock.turn(CallFailed("unreachable", "")) or 0.0)
        dock.clock.advance(waits[-1])
    assert all(wait_s <= min(CAP_S, max(0.5 * 2**n, 0.25)) for n, wait_s in enumerate(waits))
    assert max(waits) > CAP_S / 2
    await dock.turn()
    dock.put()
    assert (await dock.turn(CallFailed("unreachable", "")) or 0.0) <= 0.5


async def test_whoever_asks_to_wait_is_followed_up_to_a_bound(dock: Dock) -> None:
    """GHS/1 17.12."""
    dock.put()
    assert await dock.turn(CallFailed("unavailable", "", retry_after_s=70)) == 70
    assert await dock.turn(CallFailed("http_429", "", retry_after_s=1e9)) == SLOW_S


@pytest.mark.parametrize("code", ["node_revoked", "node_unknown", "gateway_unknown"])
async def test_a_node_that_is_not_welcome_keeps_its_records_and_asks_seldom(dock: Dock, code: str) -> None:
    """GHS/1 17.12."""
    dock.put(2)
    wait_s = await dock.turn(CallFailed(code, ""))
    assert wait_s is not None
    assert SLOW_S / 2 <= wait_s <= SLOW_S
    await dock.all()
    assert dock.arrived() == [0, 1]


@pytest.mark.parametrize("code", ["invalid", "http_413"])
async def test_a_batch_that_is_refused_for_itself_lets_the_others_pass_and_is_kept(dock: Dock, code: str) -> None:
    """GHS/1 17.10: also by a proxy on the way that takes no body so large."""

    def picky(body: bytes) -> Reply:
        bad = b"[0]" in batch._decompressed(batch.split(body)[1])
        return CallFailed(code, "no batch") if bad else dock.ledger(body)

    dock.put(3)
    for _ in range(REFUSALS_MAX):
        assert await dock.turn(picky)
    assert [await dock.turn(picky), await dock.turn(picky), await dock.turn(picky)] == [0.0, 0.0, None]
    assert dock.arrived() == [1, 2]
    dock.put()
    assert await dock.turn(picky) == 0.0
    assert dock.outbox.waiting().records == 1
    dock.clock.advance(ASIDE_S)
    await dock.turn(picky)
    assert await dock.turn(picky) is None
    dock.clock.advance(ASIDE_S)
    assert await dock.turn() == 0.0
    assert dock.arrived() == [1, 2, 3, 0]


@pytest.mark.parametrize("code", ["http_500", "too_large"])
async def test_a_backlog_whose_first_batch_always_fails_does_not_keep_the_newest_waiting(dock: Dock, code: str) -> None:
    """GHS/1 17.13, 17.10: and where it is refused for itself, it is set aside although others arrive meanwhile."""

    def picky(body: bytes) -> Reply:
        bad = b"[1]" in batch._decompressed(batch.split(body)[1])
        return CallFailed(code, "") if bad else dock.ledger(body)

    dock.put(BEHIND_MAX + 2)
    await dock.turn()
    dock.put(3)
    for _ in range(30):
        dock.clock.advance(await dock.turn(picky) or 0.0)
    newest = [BEHIND_MAX + 2 + number for number in range(3)]
    assert set(newest) <= set(dock.arrived())
    assert (2 in dock.arrived()) == (code == "too_large")
    await dock.all()
    assert sorted(dock.arrived()) == list(range(BEHIND_MAX + 5))


async def test_where_everything_is_refused_no_more_than_so_many_are_set_aside(dock: Dock) -> None:
    """GHS/1 17.10."""
    dock.put(ASIDE_MAX + 5)
    for _ in range(REFUSALS_MAX * (ASIDE_MAX + 5)):
        await dock.turn(CallFailed("too_large", ""))
    assert len(dock.outbox.streams()) == ASIDE_MAX + 1
    await dock.all()
    assert sorted(dock.arrived()) == list(range(ASIDE_MAX + 5))


async def test_what_the_disk_would_not_forget_is_not_sent_again(dock: Dock) -> None:
    dock.put(3)
    with no_writes(), capture_logs():
        for _ in range(3):
            assert await dock.turn() == 0.0
        assert await dock.turn() is None
    assert dock.arrived() == [0, 1, 2]
    assert len(dock.ledger.order) == 3


REPLIES = st.sampled_from(["good"] * 4 + ["lost", "lost_answer", "junk", "batch_gap", "invalid", "forget", "restart"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.integers(0, 4), REPLIES), max_size=40), seed=st.integers(0, 99))
def test_whatever_comes_between_each_batch_counts_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str]], seed: int
) -> None:
    """GHS/1 17.4, 17.5, 17.6."""

    async def act() -> None:
        dock = Dock(tmp_path_factory.mktemp("dock"), seed)
        with capture_logs():
            for count, what in steps:
                dock.put(count)
                await step(dock, what)
            await dock.all()
        assert sorted(dock.arrived()) == list(range(dock.put_so_far))
        assert dock.outbox.dropped() == {}
        dock.outbox.close()

    asyncio.run(act())


async def step(dock: Dock, what: str) -> None:
    def lost_answer(body: bytes) -> Reply:
        dock.ledger(body)
        return CallFailed("unreachable", "after it counted")

    if what == "restart":
        dock.restart()
    elif what == "forget":
        dock.ledger.streams.clear()
    else:
        replies = {
            "good": dock.ledger,
            "lost": CallFailed("unreachable", ""),
            "lost_answer": lost_answer,
            "junk": b"<html>",
        }
        await dock.turn(replies.get(what, CallFailed(what, "")))
    dock.clock.advance(1.0)


# The loop, and the last moments.


async def test_the_loop_sends_as_soon_as_there_is_something(dock: Dock) -> None:
    dock.control_plane.replies = [dock.ledger] * 3
    made = asyncio.Event()
    shipper = Shipper(dock.outbox, dock.control_plane, made, dock.clock, dock.chance)
    running = asyncio.create_task(shipper.run())
    for count in (1, 2):
        dock.put(count)
        made.set()
        while dock.outbox.waiting().records:  # noqa: ASYNC110 - what is awaited is in another thread
            await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.wait({running})
    assert (shipper.shipped.batches, shipper.shipped.records) == (3, 3)


async def test_the_last_moments_send_what_is_there_and_end_at_the_first_failure(dock: Dock) -> None:
    dock.put(4)
    dock.control_plane.replies = [dock.ledger, dock.ledger, CallFailed("unreachable", ""), dock.ledger]
    await dock.shipper.drain()
    assert dock.arrived() == [0, 1]
    assert dict(dock.shipper.shipped.failures) == {"unreachable": 1}


# A control plane that is another program.

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def _html(_: web.Request) -> web.Response:
    return web.Response(text="<html>hello</html>", content_type="text/html")


async def _elsewhere(request_: web.Request) -> web.Response:
    return web.Response(status=307, headers={"location": "/elsewhere"})


async def _huge(request_: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request_)
    with suppress(ConnectionError):
        for _ in range(1_000):
            await response.write(b" " * 64 * 1024)
    return response


async def _proxy(_: web.Request) -> web.Response:
    return web.Response(status=413, text="<html>413 Request Entity Too Large</html>", content_type="text/html")


async def _busy(_: web.Request) -> web.Response:
    return web.Response(status=503, headers={"retry-after": "42"}, text="busy")


async def _cut(request_: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-length": "1000"})
    await response.prepare(request_)
    await response.write(b"{")
    assert request_.transport is not None
    request_.transport.close()
    return response


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Handler], Awaitable[str]]]:
    servers: list[TestServer] = []

    async def start(handler: Handler) -> str:
        application = web.Application(client_max_size=request.BODY_BYTES_MAX)
        application.router.add_post(PATH, handler)
        server = TestServer(application)
        await server.start_server()
        servers.append(server)
        return str(server.make_url("")).rstrip("/")

    yield start
    for server in servers:
        await server.close()


@pytest.mark.parametrize("rival", [_html, _elsewhere, _huge, _proxy, _busy, _cut])
async def test_a_rival_in_the_control_planes_place_gets_bytes_and_changes_nothing(
    dock: Dock, serve: Callable[[Handler], Awaitable[str]], rival: Handler
) -> None:
    """GHS/1 12.5."""
    dock.put(2)
    before = [dock.outbox.take(stream) for stream in dock.outbox.streams()]
    client = ControlPlaneClient([await serve(rival)], new_node_keys(), dock.clock)
    shipper = Shipper(dock.outbox, client, asyncio.Event(), dock.clock, dock.chance)
    wait_s = await shipper.turn()
    await client.close()
    assert wait_s
    assert wait_s == 42 if rival is _busy else wait_s < 1
    assert [dock.outbox.take(stream) for stream in dock.outbox.streams()] == before


async def test_a_batch_is_signed_bytes(dock: Dock, serve: Callable[[Handler], Awaitable[str]]) -> None:
    """GHS/1 12.1, 17.1."""
    keys = new_node_keys()

    async def take(got: web.Request) -> web.Response:
        body = await got.read()
        assert got.content_type == "application/octet-stream"
        assert request.read_stamp(got.headers).is_by(keys.public.sign, "POST", PATH, body)
        told = dock.ledger(body)
        assert isinstance(told, bytes)
        return web.Response(body=told, content_type="application/json")

    dock.put()
    client = ControlPlaneClient([await serve(take)], keys, dock.clock)
    shipper = Shipper(dock.outbox, client, asyncio.Event(), dock.clock, dock.chance)
    assert await shipper.turn() == 0.0
    await client.close()
    assert dock.arrived() == [0]
