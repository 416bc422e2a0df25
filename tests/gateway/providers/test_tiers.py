"""A call that its provider says was carried in a tier of its own price has no cost by a list that knows of none."""

from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from gateway.dialects.passed import PASSED
from gateway.dialects.registry import DIALECTS
from gateway.providers.anthropic.usage import counted as of_message
from gateway.providers.base import Call, Door, Passage, Usage
from gateway.providers.bedrock.answer import counted as of_converse
from gateway.providers.estimate import let_texts_go, settled
from gateway.providers.gemini.usage import counted as of_content
from gateway.providers.openai.provider import OpenAI
from gateway.providers.openai.usage import usage_read
from tests.gateway.dialects.chats import PLACE

USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
PLAIN, TIERED = Usage(9, 2), Usage(9, 2, unpriced=True, tiered=True)
tiers = pytest.mark.parametrize(
    ("tier", "usage"),
    [
        (None, PLAIN),
        ("default", PLAIN),
        ("auto", PLAIN),
        ("on_demand", PLAIN),
        ("standard", PLAIN),
        ("", PLAIN),
        ("a word of the host's own", PLAIN),
        (7, PLAIN),
        ({"x": [1]}, PLAIN),
        ("flex", TIERED),
        ("priority", TIERED),
        ("FLEX", TIERED),
        ("scale", TIERED),
        ("fast", TIERED),
    ],
)


def call(door: Door = Door.CHAT, *, passage: Passage | None = None) -> Call:
    body = {"model": "m", "messages": [], "input": "x", "max_tokens": 9}
    return Call(door, orjson.dumps(body), body, stream=False, passage=passage)


@tiers
def test_a_whole_answer_says_its_tier(tier: Any, usage: Usage) -> None:
    assert usage_read(orjson.dumps({"service_tier": tier, "usage": USAGE}), Door.CHAT) == usage
    assert usage_read(orjson.dumps({"usage": USAGE, "service_tier": tier, "choices": []}), Door.CHAT) == usage
    assert usage_read(orjson.dumps({"usage": USAGE}), Door.CHAT) == PLAIN


@tiers
def test_a_stream_says_it_with_its_usage(tier: Any, usage: Usage) -> None:
    stream = OpenAI().stream(call())
    for chunk in (
        {"choices": [{"delta": {"content": "Hi"}, "finish_reason": None}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": USAGE},
    ):
        stream.feed(b"data: %b\n\n" % orjson.dumps({**chunk, "service_tier": tier}))
    stream.feed(b"data: [DONE]\n\n")
    assert stream.usage == usage


@tiers
def test_a_response_says_it_and_so_does_what_passes_through(tier: Any, usage: Usage) -> None:
    response = {"usage": {"input_tokens": 9, "output_tokens": 2}, "service_tier": tier, "output": []}
    watch = DIALECTS[Door.RESPONSES]._dialect.watch()  # type: ignore[attr-defined]
    watch.see_whole(response)
    assert watch.usage == usage
    watch.see({"type": "response.completed", "response": response})
    assert watch.usage == usage
    asked = call(Door.PROXY, passage=Passage(Door.PROXY, "POST", "/v1/x"))
    assert PASSED.between(OpenAI(), PLACE).answer(asked, orjson.dumps(response))[1] == usage


def test_unreadable_counts_are_unpriced_whatever_somebody_pays() -> None:
    usage = {**USAGE, "prompt_tokens_details": {"cached_tokens": "many"}}
    told = usage_read(orjson.dumps({"service_tier": "flex", "usage": usage}), Door.CHAT)
    assert told == Usage(9, 2, unpriced=True)


@pytest.mark.parametrize(
    ("beside", "usage"),
    [
        ({}, PLAIN),
        ({"service_tier": "standard", "speed": "standard"}, PLAIN),
        ({"service_tier": "priority"}, TIERED),
        ({"service_tier": "batch"}, TIERED),
        ({"speed": "fast"}, TIERED),
    ],
)
def test_a_message_says_it_in_its_usage_and_keeps_it_to_its_end(beside: dict[str, Any], usage: Usage) -> None:
    start = of_message(None, {"input_tokens": 9, "output_tokens": 1, **beside}, is_end=False)
    for end in (
        of_message(start, {"output_tokens": 2}, is_end=True),
        of_message(start, {"output_tokens": 2, **beside}, is_end=True),
    ):
        assert end == usage
    hour = of_message(start, {"output_tokens": 2, "cache_creation": {"ephemeral_1h_input_tokens": 1}}, is_end=True)
    assert hour == Usage(9, 2, unpriced=True)


@pytest.mark.parametrize(
    ("beside", "usage"),
    [
        ({}, PLAIN),
        ({"serviceTier": "standard"}, PLAIN),
        ({"serviceTier": "flex"}, TIERED),
        ({"serviceTier": "PRIORITY"}, TIERED),
        ({"trafficType": "ON_DEMAND"}, PLAIN),
        ({"trafficType": 7}, PLAIN),
        ({"trafficType": "ON_DEMAND_PRIORITY"}, TIERED),
        ({"trafficType": "PROVISIONED_THROUGHPUT"}, TIERED),
    ],
)
def test_google_says_it_in_two_ways(beside: dict[str, Any], usage: Usage) -> None:
    assert of_content({"promptTokenCount": 9, "candidatesTokenCount": 2, **beside}) == usage


@pytest.mark.parametrize(
    ("tier", "usage"), [(None, PLAIN), ({"type": "default"}, PLAIN), ({"type": "flex"}, TIERED), ("flex", PLAIN)]
)
def test_converse_says_it_beside_its_usage(tier: Any, usage: Usage) -> None:
    assert of_converse({"usage": {"inputTokens": 9, "outputTokens": 2}, "serviceTier": tier}) == usage


@tiers
def test_of_what_was_never_said_the_tier_asked_for_is_all_that_is_known(tier: Any, usage: Usage) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x" * 36}], "service_tier": tier}
    asked = Call(Door.CHAT, orjson.dumps(body), body, stream=True)
    estimate = replace(usage, estimated=True)
    assert settled(None, asked, 8) == estimate
    let_texts_go(asked)
    assert settled(Usage(), asked, 8) == estimate
    assert settled(PLAIN, asked, 8) is PLAIN, "the provider's own word on its usage tells the tier too"


def test_a_stream_that_was_cut_in_a_tier_asked_for_has_no_cost_by_the_catalogue() -> None:
    body = {"model": "m", "messages": [], "service_tier": "priority"}
    stream = OpenAI().stream(Call(Door.CHAT, orjson.dumps(body), body, stream=True))
    stream.feed(b'data: {"choices":[{"delta":{"content":"Hi there"},"finish_reason":null}]}\n\n')
    assert stream.usage == Usage(0, 2, estimated=True, unpriced=True, tiered=True)
