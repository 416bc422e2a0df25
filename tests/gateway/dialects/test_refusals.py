"""What an adapter refuses inside a chat's message, told by the place where the caller of another door said it."""

from typing import Any

import orjson
import pytest

from gateway.dialects.registry import DIALECTS
from gateway.providers.base import Call, Door, Place, Provider, ProviderKey, Translated, Untranslatable
from gateway.providers.fields import unsayable
from tests.gateway.dialects.chats import PLACE

CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
USE = {"type": "tool_use", "id": "c1", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "c1", "content": "7"}
table = pytest.mark.parametrize


class Refuses(Provider):
    """Takes no message that holds the word `odd`."""

    def request(self, call: Call, place: Place, key: ProviderKey | None, overrides: Any, model: str) -> Translated:
        for at, message in enumerate(call.body["messages"]):
            if b"odd" in orjson.dumps(message):
                raise unsayable(("messages", at, "content", 0, "text"))
        raise unsayable(("messages",))


def refused(door: Door, body: dict[str, Any]) -> tuple[str, str]:
    dialect = DIALECTS[door]
    adapter = dialect.between(Refuses(), PLACE)
    call = Call(door, orjson.dumps(body), body, stream=False, dialect=dialect)
    with pytest.raises(Untranslatable) as refusal:
        adapter.request(call, PLACE, None, {}, "m")
    return refusal.value.pointer, str(refusal.value)


@table(
    ("fields", "place"),
    [
        ({"system": "odd"}, "/system"),
        ({"messages": [{"role": "user", "content": "odd"}]}, "/messages/0"),
        ({"system": "x", "messages": [{"role": "user", "content": "odd"}]}, "/messages/0"),
        (
            {
                "messages": [
                    {"role": "user", "content": "x"},
                    {"role": "assistant", "content": [USE]},
                    {"role": "user", "content": [RESULT, {"type": "text", "text": "odd"}]},
                ]
            },
            "/messages/2",
        ),
        ({}, "/messages"),
    ],
    ids=str,
)
def test_of_the_messages_door(fields: dict[str, Any], place: str) -> None:
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}], **fields}
    pointer, message = refused(Door.MESSAGES, body)
    assert pointer == place
    assert message.startswith(f"something in `{place}` has no" if fields else f"`{place}` has no")


@table(
    ("fields", "place"),
    [
        ({"input": "odd"}, "/input"),
        ({"instructions": "odd"}, "/instructions"),
        ({"instructions": "x", "input": [{"role": "user", "content": "odd"}]}, "/input/0"),
        ({"input": [{"role": "user", "content": "x"}, CALL, {**CALL, "name": "odd"}]}, "/input/1"),
        (
            {
                "input": [
                    CALL,
                    {"type": "function_call_output", "call_id": "c1", "output": "7"},
                    CALL,
                    {"type": "function_call_output", "call_id": "c1", "output": "odd"},
                ]
            },
            "/input/3",
        ),
        (
            {
                "input": [
                    CALL,
                    {"type": "function_call_output", "call_id": "c1", "output": "7"},
                    {**CALL, "name": "odd"},
                ]
            },
            "/input/2",
        ),
        ({}, "/input"),
    ],
    ids=str,
)
def test_of_the_responses_door(fields: dict[str, Any], place: str) -> None:
    pointer, message = refused(Door.RESPONSES, {"model": "m", "input": "x", **fields})
    assert pointer == place
    assert message.startswith(f"something in `{place}` has no" if fields else f"`{place}` has no")
