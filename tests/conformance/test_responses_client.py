"""The unmodified client's responses: over a provider that knows nothing but chats, and over one that has them."""

import json
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.responses import Response

from tests.conformance.conftest import options
from tests.conformance.test_simulator import parse
from tests.conformance.test_simulator_doors import RESPONSES
from tests.fixtures.stack import Stack

NATIVE = {"x-portkey-virtual-key": "other"}
ASKED: Any = {"model": "sim-chat", "input": "What is the weather?"}
SAID = "This is a simulated answer. You said: What is the weather?"
cases = pytest.mark.parametrize


@cases("body", RESPONSES.values(), ids=RESPONSES)
def test_a_response_says_what_the_provider_that_has_them_would_say(
    through: OpenAI, straight: OpenAI, body: dict[str, Any]
) -> None:
    asked = {"model": "sim-chat", **body}
    got = parse(Response, through.responses.with_raw_response.create(**asked).content)
    own = straight.responses.create(**asked)
    assert (got.output_text, got.status, got.incomplete_details) == (
        own.output_text,
        own.status,
        own.incomplete_details,
    )
    assert [item.type for item in got.output] == [item.type for item in own.output]
    if "tools" not in body:  # Whose every byte the simulator counts: a chat's tools are written a little longer.
        assert got.usage == own.usage
    assert (got.instructions, got.metadata, got.tool_choice) == (own.instructions, own.metadata, own.tool_choice)


@cases("body", RESPONSES.values(), ids=RESPONSES)
@cases("headers", [{}, NATIVE], ids=["translated", "native"])
def test_events_add_up_to_the_response(through: OpenAI, body: dict[str, Any], headers: dict[str, str]) -> None:
    asked: Any = {"model": "sim-chat", **body, "extra_headers": headers}
    whole = through.responses.create(**asked)
    events = list(through.responses.create(**asked, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last: Any = events[-1]
    assert last.response.model_dump(exclude={"id", "output"}) == whole.model_dump(exclude={"id", "output"})
    assert last.response.output_text == whole.output_text
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == whole.output_text


async def test_the_asynchronous_client_and_its_stream_helper(athrough: AsyncOpenAI) -> None:
    async with athrough.responses.stream(**ASKED) as stream:
        seen = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert (seen[0], seen[-1], final.output_text) == ("response.created", "response.completed", SAID)


@cases("headers", [{}, NATIVE], ids=["translated", "native"])
def test_a_round_of_tools_goes_to_its_end(through: OpenAI, headers: dict[str, str]) -> None:
    asked: Any = {"model": "sim-chat", **RESPONSES["tools"], "extra_headers": headers}
    first = through.responses.create(**asked)
    calls: Any = first.output
    assert [call.name for call in calls] == ["get_weather", "get_time"]
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": "Sunny"} for call in calls]
    items = [{"role": "user", "content": "Hello"}, *(call.to_dict() for call in calls), *results]
    final = through.responses.create(**{**asked, "input": items})
    assert final.output_text.startswith("This is a simulated answer")


def test_where_the_provider_has_them_bytes_pass_as_they_are(through: OpenAI, straight: OpenAI) -> None:
    got = through.responses.with_raw_response.create(**ASKED, extra_headers=NATIVE)
    assert got.content == straight.responses.with_raw_response.create(**ASKED).content
    more = through.responses.create(**ASKED, previous_response_id=got.parse().id, store=False, extra_headers=NATIVE)
    assert more.previous_response_id == got.parse().id


@cases("name", ["previous_response_id", "store", "background"])
def test_what_is_kept_between_calls_is_refused_by_name_where_it_is_translated(through: OpenAI, name: str) -> None:
    value: Any = "resp_1" if name == "previous_response_id" else True
    with pytest.raises(openai.BadRequestError) as refusal:
        through.responses.create(**ASKED, **{name: value})
    assert (refusal.value.code, refusal.value.param) == ("parameter_unsupported", f"/{name}")


@cases(
    ("model", "expected"),
    [
        ("sim-error-429", openai.RateLimitError),
        ("sim-html-502", openai.InternalServerError),
        ("sim-badjson", openai.InternalServerError),
        ("sim-cut-0", openai.InternalServerError),
    ],
)
@cases("headers", [{}, NATIVE], ids=["translated", "native"])
def test_a_providers_failures_are_the_clients_exceptions(
    through: OpenAI, model: str, expected: type[openai.APIStatusError], headers: dict[str, str]
) -> None:
    with pytest.raises(expected):
        through.responses.create(model=model, input="Hello", extra_headers=headers)


@cases("model", ["sim-cut-6", "sim-errorevent-6"])
@cases("headers", [{}, NATIVE], ids=["translated", "native"])
def test_a_stream_that_breaks_ends_with_an_error_and_is_not_completed(
    through: OpenAI, model: str, headers: dict[str, str]
) -> None:
    events = through.responses.create(model=model, input="Hello", stream=True, extra_headers=headers)
    seen = [event.type for event in events]
    assert seen[-1] == "error"
    assert "response.completed" not in seen


def test_keys_and_their_restrictions(stack: Stack) -> None:
    with OpenAI(**options(stack.url, stack.keys["narrow"])) as narrow, pytest.raises(openai.PermissionDeniedError):
        narrow.responses.create(model="sim-slow-1", input="Hello")
    with OpenAI(**options(stack.url, stack.keys["unscoped"])) as unscoped, pytest.raises(openai.PermissionDeniedError):
        unscoped.responses.create(**ASKED)


def test_each_event_is_named_as_its_type(through: OpenAI) -> None:
    with through.responses.with_streaming_response.create(**ASKED, stream=True) as raw:
        frames = [frame.split(b"\n") for frame in raw.read().split(b"\n\n") if frame]
    for name, data in frames:
        assert json.loads(data.removeprefix(b"data: "))["type"] == name.removeprefix(b"event: ").decode()
