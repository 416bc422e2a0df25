"""Credentials that are exchanged: once for many calls, ahead of time, and never in the way of who need not wait."""

import asyncio
from dataclasses import dataclass

import pytest

from gateway.errors import Code, GatewayError
from gateway.pipeline.grants import RENEW_MS, RETRY_MS, SPENT_MS, Grants
from gateway.providers.base import Grant, GrantRefused, Translated
from gateway.providers.openai.provider import OpenAI
from gateway.upstream.errors import ConnectFailed
from gateway.upstream.messages import Deadlines, Origin
from gateway.view.route import Target
from shared.clock import FakeClock
from shared.crypto.secret import Secret
from tests.fakes.upstream import FakeClient, Hang, answers
from tests.gateway.dialects.chats import PLACE

HOUR_MS = 3_600_000
TARGET = Target("config", PLACE, OpenAI(), None, virtual_key="main")
ORIGIN = Origin("https", "sts.test", 443)


@dataclass(frozen=True)
class FakeExchange:
    name: str = "one"

    @property
    def mask(self) -> Secret:
        return Secret("****")

    def request(self, now_ms: int) -> Translated:
        return Translated("/token", b"", self.name.encode(), origin=ORIGIN)

    def grant(self, status: int, body: bytes, now_ms: int) -> Grant:
        if status != 200:
            raise GrantRefused(f"the answer was {status}")
        return Grant(Secret(body), now_ms + HOUR_MS)


class Desk:
    def __init__(self, *script: object) -> None:
        self.clock = FakeClock()
        self.client = FakeClient(*script)  # type: ignore[arg-type]
        self.grants = Grants(self.client, self.clock)

    async def key(self, name: str = "one", deadlines: Deadlines = Deadlines()) -> bytes:  # noqa: B008
        key = await self.grants.key(FakeExchange(name), TARGET, deadlines)
        assert isinstance(key, Secret)
        return key.reveal()


async def turns() -> None:
    """So many of the event loop's that what runs beside has come to its end, or to a place where it waits."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_many_calls_share_one_exchange_and_each_credential_has_its_own() -> None:
    hang = Hang()
    desk = Desk(hang, answers(200, b"a"), answers(200, b"b"))
    waiting = [asyncio.create_task(desk.key()) for _ in range(5)]
    await hang.reached.wait()
    hang.released.set()
    assert await asyncio.gather(*waiting) == [b"a"] * 5
    assert await desk.key() == b"a"
    assert await desk.key("two") == b"b"
    assert [(request.origin, request.head.target, request.body) for request in desk.client.requests] == [
        (ORIGIN, "/token", b"one"),
        (ORIGIN, "/token", b"two"),
    ]


async def test_one_that_ends_soon_is_renewed_beside_the_calls() -> None:
    hang = Hang()
    desk = Desk(answers(200, b"a"), hang, answers(200, b"b"))
    assert await desk.key() == b"a"
    desk.clock.advance((HOUR_MS - RENEW_MS) / 1_000 + 1)
    assert await desk.key() == b"a", "nobody waits for the renewal"
    await hang.reached.wait()
    assert await desk.key() == b"a"
    assert len(desk.client.requests) == 2
    hang.released.set()
    await turns()
    assert await desk.key() == b"b"


async def test_a_renewal_that_fails_is_tried_again_later_and_disturbs_nobody() -> None:
    desk = Desk(answers(200, b"a"), ConnectFailed("scripted"), answers(500, b""), answers(200, b"b"))
    assert await desk.key() == b"a"
    desk.clock.advance((HOUR_MS - RENEW_MS) / 1_000 + 1)
    for asked in (2, 3):
        assert await desk.key() == b"a"
        await turns()
        assert await desk.key() == b"a"
        assert len(desk.client.requests) == asked, "not at every call"
        desk.clock.advance(RETRY_MS / 1_000 + 1)
    desk.clock.advance((RENEW_MS - SPENT_MS) / 1_000)
    assert await desk.key() == b"b", "one that is spent is not used any more"


async def test_what_is_refused_is_said_with_the_virtual_key_s_name() -> None:
    desk = Desk(answers(403, b""), answers(200, b"a"))
    with pytest.raises(GatewayError) as refused:
        await desk.key()
    assert refused.value.code is Code.CREDENTIAL_UNAVAILABLE
    assert refused.value.message == "the credential of @main cannot be used: the answer was 403"
    assert await desk.key() == b"a", "the next call asks anew"


async def test_whoever_cannot_wait_any_longer_goes_and_the_grant_is_there_for_the_next() -> None:
    hang = Hang()
    desk = Desk(hang, answers(200, b"a"))
    with pytest.raises(GatewayError) as refused:
        await desk.key(deadlines=Deadlines(total_s=0))
    assert refused.value.code is Code.UPSTREAM_TIMEOUT
    await hang.reached.wait()
    hang.released.set()
    assert await desk.key() == b"a"
    assert len(desk.client.requests) == 1


YEAR_MS = 365 * 24 * HOUR_MS


@pytest.mark.parametrize("jump_ms", [-YEAR_MS, -2 * HOUR_MS, YEAR_MS])
async def test_a_grant_ends_in_its_time_whatever_the_wall_clock_is_set_to(jump_ms: int) -> None:
    desk = Desk(answers(200, b"a"), answers(200, b"b"), answers(200, b"c"))
    assert await desk.key() == b"a"
    desk.clock._wall_ms += jump_ms
    if jump_ms > 0:
        assert await desk.key() == b"b", "for all that is known, time has passed while the machine slept"
    desk.clock.advance(HOUR_MS / 1_000)
    assert await desk.key() == (b"b" if jump_ms < 0 else b"c")


async def test_a_renewal_that_failed_is_tried_again_also_after_the_wall_clock_was_set_back() -> None:
    desk = Desk(answers(200, b"a"), ConnectFailed("scripted"), answers(200, b"b"))
    await desk.key()
    desk.clock.advance((HOUR_MS - RENEW_MS) / 1_000 + 1)
    await desk.key()
    await turns()
    desk.clock._wall_ms -= YEAR_MS
    desk.clock.advance(RETRY_MS / 1_000 + 1)
    assert await desk.key() == b"a"
    await turns()
    assert await desk.key() == b"b"
