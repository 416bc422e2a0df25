"""The strategy `optimize`, through the whole corridor: the cheapest by price, the fastest by what was seen."""

import json
from typing import Any

from gateway.pipeline.speed import FAILED_S, KEPT_MAX, SHARE, Speeds
from gateway.upstream.errors import Cut
from tests.fakes.front import opened
from tests.fakes.upstream import answers, streams
from tests.fakes.world import AMOUNTS, World

OK = b'{"id": "1", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}'
CALL: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}
PLACE = "x-portkey-last-used-option-index"


def optimizing(objective: str, *targets: dict[str, Any]) -> World:
    world = World()
    world.config("best", {"strategy": {"mode": "optimize", "objective": objective}, "targets": list(targets)})
    return world


SIM = {"virtual_key": "main", "override_params": {"model": "sim-chat"}}
ACME = {"virtual_key": "second", "override_params": {"model": "acme-chat"}}
HEADERS = {"x-portkey-config": "best"}


async def test_the_cheapest_target_follows_the_prices_that_hold() -> None:
    world = optimizing("cost", ACME, SIM)
    async with opened(answers(200, OK), world=world) as door:
        assert (await door.post(CALL, HEADERS)).headers[PLACE] == "config.targets[1]"
    world.price("pr2", provider="acme", model="acme-chat", amounts=dict.fromkeys(AMOUNTS, "0.01"))
    async with opened(answers(200, OK), world=world) as door:
        assert (await door.post(CALL, HEADERS)).headers[PLACE] == "config.targets[0]"
        assert json.loads(door.client.requests[0].body)["model"] == "acme-chat"
        assert door.records.last.decision == [("config", "cheapest", 0)]


async def test_a_target_that_fails_is_not_the_fastest() -> None:
    world = optimizing("latency", SIM, ACME)
    # Each is tried once; the first fails at once, and the other one answers.
    async with opened(Cut("scripted"), *(answers(200, OK) for _ in range(12)), world=world) as door:
        places = [(await door.post(CALL, HEADERS)).headers.get(PLACE) for _ in range(12)]
    assert places[:2] == ["config.targets[0]", "config.targets[1]"]
    assert places.count("config.targets[1]") >= 9


async def test_streams_and_whole_answers_are_measured_apart() -> None:
    events = (b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', b"data: [DONE]\n\n")
    world = optimizing("latency", SIM, ACME)
    async with opened(answers(200, OK), answers(200, OK), streams(*events), streams(*events), world=world) as door:
        plain = [(await door.post(CALL, HEADERS)).headers[PLACE] for _ in range(2)]
        streamed = [(await door.post({**CALL, "stream": True}, HEADERS)).headers[PLACE] for _ in range(2)]
    assert plain == streamed == ["config.targets[0]", "config.targets[1]"]


def test_a_speed_is_an_average_that_follows() -> None:
    speeds, key = Speeds(), ("vk", "m", False)
    assert speeds.seconds(key) is None
    speeds.took(key, 1.0)
    assert speeds.seconds(key) == 1.0
    speeds.took(key, 2.0)
    assert speeds.seconds(key) == 1.0 + SHARE
    for _ in range(50):
        speeds.took(key, FAILED_S)
    assert abs(speeds.seconds(key) - FAILED_S) < 0.01


def test_speeds_are_not_kept_without_end() -> None:
    speeds = Speeds()
    for number in range(KEPT_MAX + 5):
        speeds.took((str(number), "m", False), 1.0)
    assert speeds.seconds(("0", "m", False)) is None
    assert len(speeds._seconds) == KEPT_MAX
