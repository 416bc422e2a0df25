"""The corpus of abuse at both lanes: a hot door, a path that passes through and a cold one meet each case alike."""

import asyncio
import random

import pytest
from structlog.testing import capture_logs

from chaos import abuse, lanes
from chaos.abuse import CASES, CODED, GOOD, SILENCE, TOO_LARGE, TOO_SLOW, Case
from gateway.upstream.messages import UpstreamRequest, UpstreamResponse
from tests.fakes.front import CHAT, Door, opened
from tests.fakes.upstream import answers
from tests.fakes.world import World
from tests.fixtures.wire import Broken, Reply, Wire, request

WORLD = World()
HANG_S = 60.0
PATHS = {"hot": CHAT, "passing": "/v1/moderations", "cold": "/v2/chat/completions"}
FRAMING = {"http_malformed": 400, "header_invalid": 400, "content_type_invalid": 400, "body_too_large": 413}
"""Refusals that say where a request ends, or that this is in doubt, or how its body would have to be read."""
INPUTS = 600


class Provider:
    """Its client: answers whatever it is asked, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    async def send(self, asked: UpstreamRequest) -> UpstreamResponse:
        self.calls += 1
        return answers(200, b"{}")

    async def close(self) -> None: ...


def sent(data: bytes, path: str) -> bytes:
    return data.replace(abuse.PATH, path.encode()).replace(abuse.KEY, WORLD.key.encode())


def met(reply: Reply) -> int:
    """The framing's verdict; what a path then makes of a request it was given is its own affair."""
    code = "" if reply.status == 200 else str(reply.json()["error"]["code"])
    return FRAMING.get(code, GOOD)


async def verdict(door: Door, case: Case, path: str, *, behind_good: bool) -> tuple[int, bool, bool]:
    """How it is met, whether its connection is kept, and whether a provider heard of it."""
    provider: Provider = door.client
    async with asyncio.timeout(HANG_S), await Wire.open(door.port) as wire:
        if behind_good:
            await wire.send(sent(abuse.SIZED, CHAT))
            assert (await wire.reply()).status == 200
        before = provider.calls
        await wire.send(sent(case.data, path))
        if case.status in (SILENCE, TOO_SLOW):
            wire._writer.write_eof()
            assert await wire.ended()
            return SILENCE, False, provider.calls > before
        status = met(await wire.reply())
        heard = provider.calls > before
        try:
            await wire.send(request("GET", "/livez", {}))
            kept = (await wire.reply()).status == 200
        except Broken:
            kept = False
        return status, kept, heard


@pytest.mark.parametrize("behind_good", [False, True], ids=["alone", "behind a good request"])
async def test_every_abuse_is_met_alike_on_every_path(behind_good: bool) -> None:
    with capture_logs() as logged:
        async with opened(client=Provider(), world=WORLD) as door:
            for name, case in CASES.items():
                found = {lane: await verdict(door, case, path, behind_good=behind_good) for lane, path in PATHS.items()}
                assert len({(status, kept) for status, kept, _ in found.values()}) == 1, (name, found)
                status, kept, heard = found["hot"]
                assert status == (SILENCE if case.status == TOO_SLOW else case.status), name
                assert not heard or status == GOOD, name
                # Where a known length ends is in no doubt.
                assert not kept or status in (GOOD, TOO_LARGE) or name in CODED, name
                assert not found["cold"][2]
            assert door.server.running == 0
            assert not door.server._lanes
    assert [entry for entry in logged if entry["log_level"] in ("error", "critical")] == []


async def test_a_good_request_before_or_behind_an_abuse_is_read_as_in_the_other_lane() -> None:
    """Whoever then goes silent is told the same, in the same order."""
    both, good = lanes.Lanes(), abuse.SIZED
    for name, case in CASES.items():
        for data in (case.data, good + case.data, case.data + good):
            for cuts in ((), (len(data) // 2,)) if data is case.data else ((),):
                found = await lanes.compare(both, data, cuts)
                assert len(set(found.values())) == 1, (name, found)
                if data is case.data:
                    alone = found["hot"]
                    told = [answer.status for answer in alone.answers] or list(alone.at_last) or [SILENCE]
                    assert told[0] == case.status, name


async def test_mutations_of_the_corpus_are_taken_alike_and_leave_nothing_behind() -> None:
    found = await lanes.fuzz(INPUTS, random.Random(11))
    assert lanes.lines(found)[-1] == f"{INPUTS} inputs, 0 verdicts differ, 0 hangs, 0 crashes, memory and tasks flat"
    assert found.statuses[200] > INPUTS // 10
    assert found.statuses[400] > INPUTS // 10
