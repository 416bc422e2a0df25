"""Whatever a host's chat holds, a door that makes something else of it makes that, or says that there is none."""

from contextlib import suppress
from typing import Any

import orjson
import pytest

from gateway.dialects.registry import DIALECTS
from gateway.providers.base import BrokenAnswer, Call, Door, Provider
from gateway.providers.openai.provider import OpenAI
from tests.gateway.dialects.chats import JSON, PLACE, USAGE
from tests.gateway.odd import TOO_DEEP, everywhere

ASKED: dict[Door, dict[str, Any]] = {
    Door.MESSAGES: {"max_tokens": 5, "messages": [{"role": "user", "content": "Hello"}]},
    Door.RESPONSES: {"input": "Hello"},
}
TOKEN = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105]}
SAID = {
    "role": "assistant",
    "content": "Hi",
    "refusal": "No.",
    "reasoning": "Hm.",
    "content_blocks": [
        {"type": "redacted_thinking", "data": "x"},
        {"type": "thinking", "thinking": "t", "signature": "s"},
    ],
    "tool_calls": [
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}},
        {"index": 1, "id": "b", "type": "custom", "custom": {"name": "g", "input": "x"}},
    ],
}
CHOICE = {
    "index": 0,
    "message": SAID,
    "delta": SAID,
    "logprobs": {"content": [{**TOKEN, "top_logprobs": [TOKEN]}]},
    "finish_reason": "stop",
}
ANSWER = {"id": "x", "created": 5, "model": "m", "service_tier": "default", "choices": [CHOICE], "usage": USAGE}
ERROR = {"error": {"message": "No", "type": "t", "param": None, "code": "c"}}
ODD = {odd: odd.encode() for odd in ("null", "true", "5", "1e999", '"x"', "[]", "[5]", "[null]", "{}", '{"a":1}')}
everything_odd = pytest.mark.parametrize("odd", [*ODD.values(), *TOO_DEEP.values()], ids=[*ODD, *TOO_DEEP])
every_door = pytest.mark.parametrize("door", ASKED)


def spoken(door: Door, *, stream: bool) -> tuple[Call, Provider]:
    dialect = DIALECTS[door]
    body = {"model": "m", **ASKED[door], "stream": stream}
    call = Call(door, orjson.dumps(body), body, stream=stream, dialect=dialect)
    adapter = dialect.between(OpenAI(), PLACE)
    adapter.request(call, PLACE, None, {}, "m")
    return call, adapter


def read(door: Door, said: bytes) -> None:
    """As a stream's event."""
    call, adapter = spoken(door, stream=True)
    stream = adapter.stream(call)
    with suppress(BrokenAnswer):
        for line in (stream.feed(b"data: %b\n\ndata: [DONE]\n\n" % said) + stream.end()).splitlines():
            assert not line.startswith(b"data: ") or orjson.loads(line[6:])["type"]


@every_door
@everything_odd
def test_a_chat_with_something_odd_in_it(door: Door, odd: bytes) -> None:
    for chat in everywhere(ANSWER, odd):
        call, adapter = spoken(door, stream=False)
        with suppress(BrokenAnswer):
            assert orjson.loads(adapter.answer(call, chat)[0])["id"]
        read(door, chat)


@every_door
@everything_odd
def test_an_error_with_something_odd_in_it(door: Door, odd: bytes) -> None:
    for error in everywhere(ERROR, odd):
        _, adapter = spoken(door, stream=False)
        assert isinstance(orjson.loads(adapter.error("acme", 502, JSON, error))["error"]["message"], str)
        read(door, error)
