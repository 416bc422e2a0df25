"""Messages and responses through the whole corridor: translated, passed on, refused, counted, each in its own shape."""

from typing import Any

import orjson
import pytest

from gateway.providers.base import Door
from gateway.upstream.errors import Cut
from shared.crypto.api_keys import new_api_key
from shared.models.noun import Kind
from tests.fakes.records import USER
from tests.fakes.upstream import answers, streams
from tests.fakes.world import World
from tests.gateway.dialects.chats import Answer, Call
from tests.gateway.pipeline.test_pipeline import FALLBACK, Run

MESSAGES = {"model": "sim-chat", "max_tokens": 5, "messages": [{"role": "user", "content": "Hello"}]}
RESPONSES = {"model": "sim-chat", "input": "Hello"}
SAID = orjson.dumps(Answer(text="Hi").whole())
STREAM = Answer(text="Hi").stream()
ERROR = orjson.dumps({"error": {"message": "No", "type": "t", "param": None, "code": "c"}})
DOORS = {Door.MESSAGES: MESSAGES, Door.RESPONSES: RESPONSES}
doors = pytest.mark.parametrize("door", DOORS)


def native(*doors: str) -> World:
    """Where the first provider speaks these dialects itself."""
    world = World()
    base_url = "http://sim.test:8000/v1"
    world.put("global", Kind.PROVIDER, id="sim", name="Sim", base_url=base_url, doors=["chat", *doors])
    return world


def run(*script: Any, door: Door, world: World | None = None, body: Any = None, **fields: Any) -> Run:
    """`fields` are those of the body, or of the run where it knows them."""
    known = {name: fields.pop(name) for name in ("config", "headers") if name in fields}
    asked = {**DOORS[door], **fields} if body is None else body
    return Run(*script, raw=orjson.dumps(asked), door=door, world=world, **known)


@doors
async def test_a_call_is_a_chat_to_a_provider_that_knows_nothing_else(door: Door) -> None:
    done = await run(answers(200, SAID), door=door)()
    (asked,) = done.requests
    assert asked.head.target == "/v1/chat/completions"
    assert orjson.loads(asked.body)["messages"] == [{"role": "user", "content": "Hello"}]
    assert done.answer.status == 200
    said = orjson.loads(done.answer.body)
    assert (said.get("type"), said.get("object")) == (
        ("message", None) if door is Door.MESSAGES else (None, "response")
    )
    record = done.record
    assert (record.door, record.status, record.ending, record.error) == (door, 200, "complete", None)
    assert (record.usage, record.input_tokens, record.output_tokens) == ("provider", 11, 7)
    assert (record.model, record.provider) == ("sim-chat", "sim")


@doors
async def test_a_stream_is_a_chats_stream_in_the_doors_events(door: Door) -> None:
    done = await run(streams(STREAM), door=door, stream=True)()
    asked = orjson.loads(done.requests[0].body)
    assert (asked["stream"], asked["stream_options"]) == (True, {"include_usage": True})
    names = [line.partition(b": ")[2].decode() for line in done.answer.body.split(b"\n") if line.startswith(b"event")]
    ends = {
        Door.MESSAGES: ("message_start", "message_stop"),
        Door.RESPONSES: ("response.created", "response.completed"),
    }
    assert (names[0], names[-1]) == ends[door]
    assert b"[DONE]" not in done.answer.body
    assert (done.record.stream, done.record.ending) == (True, "complete")
    assert (done.record.usage, done.record.input_tokens, done.record.output_tokens) == ("provider", 11, 7)


@pytest.mark.parametrize(
    ("door", "body", "status"),
    [
        (Door.MESSAGES, {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}, 529),
        (Door.RESPONSES, {"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "busy"}}, 429),
    ],
)
async def test_an_error_that_comes_as_a_200_of_the_dialect_has_its_own_status(
    door: Door, body: dict[str, Any], status: int
) -> None:
    done = await run(answers(200, orjson.dumps(body)), door=door, world=native(door.value))()
    assert (done.answer.status, orjson.loads(done.answer.body)["error"]["message"]) == (status, "sim error: busy")
    done = await run(
        answers(200, orjson.dumps(body)), answers(200, SAID), door=door, world=native(door.value), config=FALLBACK
    )()
    assert (done.answer.status, done.hosts) == (200, ["sim.test", "acme.test"])


@pytest.mark.parametrize("door", [Door.MESSAGES, Door.RESPONSES])
async def test_a_provider_that_speaks_the_dialect_gets_and_gives_bytes_as_they_are(door: Door) -> None:
    body = b'{"usage":  {"input_tokens": 3, "output_tokens": 5}}'
    done = await run(answers(200, body), door=door, world=native(door.value), some_new_field=1)()
    (asked,) = done.requests
    assert asked.head.target == f"/v1/{door.value}"
    assert asked.body == done.exchange.body
    assert done.answer.body == body
    assert (done.record.usage, done.record.input_tokens, done.record.output_tokens) == ("provider", 3, 5)


async def test_parameters_of_a_config_mean_the_door_where_it_has_them_and_else_the_chat() -> None:
    config = {"virtual_key": "main", "override_params": {"max_tokens": 3, "seed": 7, "stop_sequences": ["x"]}}
    done = await run(answers(200, SAID), door=Door.MESSAGES, config=config)()
    asked = orjson.loads(done.requests[0].body)
    assert (asked["max_tokens"], asked["seed"], asked["stop"]) == (3, 7, ["x"])
    there = await run(answers(200, b"{}"), door=Door.MESSAGES, config=config, world=native("messages"))()
    asked = orjson.loads(there.requests[0].body)
    assert (asked["max_tokens"], asked["seed"], asked["stop_sequences"]) == (3, 7, ["x"])


async def test_texts_alone_are_one_string_to_hosts_of_chats() -> None:
    """DeepSeek, Groq and others refuse a list, or do not read it, and clients of messages send every system as one."""

    def texts(*said: str, **beside: Any) -> list[dict[str, Any]]:
        return [{"type": "text", "text": one, **beside} for one in said]

    image = {"type": "image", "source": PNG}
    turns = [
        {"role": "user", "content": texts("a", "b")},
        {"role": "assistant", "content": texts("It is ", "sunny.")},
        {"role": "user", "content": [*texts("c"), image]},
    ]
    asked = {"messages": turns, "system": texts("x", "y", cache_control={"type": "ephemeral"})}
    done = await run(answers(200, SAID), door=Door.MESSAGES, **asked)()
    assert [message["content"] for message in orjson.loads(done.requests[0].body)["messages"]] == [
        "x\n\ny",
        "a\n\nb",
        "It is sunny.",
        [*texts("c"), PICTURE],
    ]
    world = World()
    url = "http://sim.test:8000/v1"
    world.put("global", Kind.PROVIDER, id="sim", name="Sim", base_url=url, cache_hints=True)
    done = await run(answers(200, SAID), door=Door.MESSAGES, world=world, **asked)()
    assert orjson.loads(done.requests[0].body)["messages"][0]["content"] == asked["system"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_tool_whose_name_is_too_long_for_chats_has_another_there_and_its_own_here(stream: bool) -> None:
    """Names of tools of MCP servers often are; OpenAI and Bedrock refuse a request that only tells of one."""
    long = "mcp__a_server_with_a_long_name__" + "x" * 60
    other = long[:-1] + "y"
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in (long, other, "short")]
    turns = results([{"type": "text", "text": "A cat"}])
    turns[1]["content"][0]["name"] = long
    fields = {"tools": tools, "tool_choice": {"type": "tool", "name": other}, "messages": turns, "stream": stream}

    async def told(name: str) -> tuple[Run, dict[str, Any]]:
        answer = Answer(calls=[Call("c1", name, {"a": 1})], finish="tool_calls")
        script = streams(answer.stream()) if stream else answers(200, orjson.dumps(answer.whole()))
        done = await run(script, door=Door.MESSAGES, **fields)()
        return done, orjson.loads(done.requests[0].body)

    _, asked = await told("short")
    names = [tool["function"]["name"] for tool in asked["tools"]]
    assert [len(name) for name in names] == [64, 64, 5]
    assert (len(set(names)), names[2]) == (3, "short")
    assert asked["messages"][1]["tool_calls"][0]["function"]["name"] == names[0]
    assert asked["tool_choice"]["function"]["name"] == names[1]
    for name, own in zip(names, (long, other, "short"), strict=True):
        done, again = await told(name)
        assert again == asked
        assert b'"name":"%b"' % own.encode() in done.answer.body
        assert name == own or name.encode() not in done.answer.body


async def test_what_the_system_says_first_is_one_message_to_hosts_of_chats() -> None:
    """Codex gives instructions and a developer's words, and many models' templates take one message of a system's."""
    said = [{"role": role, "content": text} for role, text in (("developer", "b"), ("user", "c"), ("developer", "d"))]
    done = await run(answers(200, SAID), door=Door.RESPONSES, instructions="a", input=said)()
    assert orjson.loads(done.requests[0].body)["messages"] == [
        {"role": "system", "content": "a\n\nb"},
        {"role": "user", "content": "c"},
        {"role": "system", "content": "d"},
    ]


PNG = {"type": "base64", "media_type": "image/png", "data": "aGk="}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}


def results(*said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of tools that were called in one turn."""
    uses = [{"type": "tool_use", "id": f"t{at}", "name": "look", "input": {}} for at in range(len(said))]
    told = [{"type": "tool_result", "tool_use_id": f"t{at}", "content": one} for at, one in enumerate(said)]
    return [*MESSAGES["messages"], {"role": "assistant", "content": uses}, {"role": "user", "content": told}]  # type: ignore[misc]


async def test_a_picture_that_a_tool_gave_is_shown_by_the_user_where_results_are_text() -> None:
    """OpenAI takes pictures in a user's message alone, and each call's result right behind the call."""
    image, text = {"type": "image", "source": PNG}, {"type": "text", "text": "A cat"}
    said = results([text, image], [image], [text])
    said[-1]["content"].append({"type": "text", "text": "Which is it?"})
    done = await run(answers(200, SAID), door=Door.MESSAGES, messages=said)()
    below = "What else this tool gave is shown below."
    assert orjson.loads(done.requests[0].body)["messages"][2:] == [
        {"role": "tool", "tool_call_id": "t0", "content": f"A cat\n\n{below}"},
        {"role": "tool", "tool_call_id": "t1", "content": below},
        {"role": "tool", "tool_call_id": "t2", "content": "A cat"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "The tools gave:"},
                PICTURE,
                PICTURE,
                {"type": "text", "text": "Which is it?"},
            ],
        },
    ]
    said = [*results([image]), {"role": "assistant", "content": "A cat"}]
    done = await run(answers(200, SAID), door=Door.MESSAGES, messages=said)()
    asked = orjson.loads(done.requests[0].body)["messages"]
    assert [message["role"] for message in asked] == ["user", "assistant", "tool", "user", "assistant"]
    given = [{"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}]
    given += [{"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "image_url": "u"}]}]  # type: ignore[dict-item]
    done = await run(answers(200, SAID), door=Door.RESPONSES, input=given)()
    asked = orjson.loads(done.requests[0].body)["messages"]
    assert [message["role"] for message in asked] == ["assistant", "tool", "user"]
    assert asked[2]["content"][1] == {"type": "image_url", "image_url": {"url": "u"}}


async def test_a_picture_that_a_tool_gave_stays_in_its_result_where_it_is_seen_there() -> None:
    world = World()
    world.put("global", Kind.PROVIDER, id="sim", name="Sim", base_url="http://sim.test:8000/v1", dialect="gemini")
    said = results([{"type": "image", "source": PNG}])
    done = await run(answers(500, b"{}"), door=Door.MESSAGES, world=world, messages=said)()
    (result,) = orjson.loads(done.requests[0].body)["contents"][-1]["parts"]
    assert result["functionResponse"]["parts"] == [{"inlineData": {"mimeType": "image/png", "data": "aGk="}}]


@doors
async def test_what_a_chat_cannot_say_is_a_400_in_the_doors_shape_that_names_it(door: Door) -> None:
    done = await run(door=door, some_new_field=1)()
    assert (done.answer.status, done.requests) == (400, [])
    assert (done.error["code"], done.error["param"]) == ("parameter_unsupported", "/some_new_field")
    body = orjson.loads(done.answer.body)
    assert body.get("type") == ("error" if door is Door.MESSAGES else None)
    assert done.record.error == "parameter_unsupported"
    assert done.record.usage == "none"


async def test_what_one_target_cannot_be_told_the_next_one_may_be() -> None:
    world = World()
    world.put(
        "global",
        Kind.PROVIDER,
        id="acme",
        name="A",
        base_url="https://acme.test",
        doors=["responses"],
        models=["sim-chat"],
    )
    done = await run(
        answers(200, b"{}"), door=Door.RESPONSES, world=world, config=FALLBACK, previous_response_id="resp_1"
    )()
    assert [request.head.target for request in done.requests] == ["/responses"]
    assert orjson.loads(done.requests[0].body)["previous_response_id"] == "resp_1"
    assert done.record.fallback_count == 1


async def test_a_response_that_fails_before_it_says_anything_is_asked_for_elsewhere() -> None:
    error = {"code": "rate_limit_exceeded", "message": "Slow down"}
    said = [{"type": name, "response": {"error": None}} for name in ("response.created", "response.in_progress")]
    said += [{"type": "error", "error": error}, {"type": "response.failed", "response": {"error": error}}]
    failing = b"".join(b"event: %b\ndata: %b\n\n" % (e["type"].encode(), orjson.dumps(e)) for e in said)
    script = streams(failing), streams(STREAM)
    done = await run(*script, door=Door.RESPONSES, world=native("responses"), config=FALLBACK, stream=True)()
    assert [request.head.target for request in done.requests] == ["/v1/responses", "/chat/completions"]
    assert b"response.completed" in done.answer.body
    assert b"Slow down" not in done.answer.body
    assert (done.record.fallback_count, done.record.ending) == (1, "complete")


@doors
async def test_an_error_that_says_nothing_is_none(door: Door) -> None:
    events = b'event: ping\ndata: {"type": "ping", "error": {}}\n\n'
    done = await run(streams(events), door=door, world=native(door.value), stream=True)()
    assert done.record.error != "provider_error"


@doors
async def test_what_a_chat_s_stream_says_of_an_error_is_told_and_what_says_nothing_is_not(door: Door) -> None:
    begun = b'data: {"id":"c","error":"","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
    busy = b'data: {"object":"error","message":"busy","code":503}\n\n'
    done = await run(streams(begun, busy), door=door, stream=True)()
    assert done.answer.body.count(b"event: error") == 1
    assert done.answer.body.index(b"Hi") < done.answer.body.index(b"busy")
    assert (done.record.ending, done.record.error) == ("broken", "provider_error")


@doors
async def test_a_providers_error_is_in_the_doors_shape(door: Door) -> None:
    done = await run(answers(429, ERROR, headers={"retry-after": "3"}), door=door)()
    body = orjson.loads(done.answer.body)
    assert (done.answer.status, done.answer.headers["retry-after"]) == (429, "3")
    assert body["error"]["message"] == "sim error: No"
    if door is Door.MESSAGES:
        assert (body["type"], body["error"]["type"]) == ("error", "rate_limit_error")
    assert done.record.error == "provider_error"


@doors
async def test_the_gateways_own_refusals_are_in_the_doors_shape(door: Door) -> None:
    for raw, status in ((b"{", 400), (b'{"model": 7}', 400), (b"[]", 400)):
        done = await Run(raw=raw, door=door)()
        assert done.answer.status == status
        if door is Door.MESSAGES:
            body = orjson.loads(done.answer.body)
            assert (body["type"], body["error"]["type"]) == ("error", "invalid_request_error")
    stranger = await Run(raw=orjson.dumps(DOORS[door]), door=door, headers={"authorization": "Bearer gh_no"})()
    assert stranger.answer.status == 401
    if door is Door.MESSAGES:
        assert orjson.loads(stranger.answer.body)["error"]["type"] == "authentication_error"


@doors
async def test_a_stream_that_breaks_ends_with_the_doors_error_event(door: Door) -> None:
    done = await run(streams(STREAM[:400], Cut("scripted")), door=door, stream=True)()
    last = done.answer.body.rstrip(b"\n").rpartition(b"\n\n")[2]
    assert last.startswith(b"event: error\ndata: ")
    said = orjson.loads(last.partition(b"data: ")[2])
    assert said["type"] == "error"
    assert b"message_stop" not in done.answer.body
    assert b"response.completed" not in done.answer.body
    assert (done.record.ending, done.record.error) == ("broken", "upstream_broken")
    assert (done.record.usage, done.record.input_tokens is not None) == ("estimated", True)


@doors
async def test_an_answer_that_cannot_be_translated_is_broken_and_the_next_target_is_asked(door: Door) -> None:
    done = await run(answers(200, b'{"choices": []}'), answers(200, SAID), door=door, config=FALLBACK)()
    assert (done.answer.status, len(done.requests), done.record.fallback_count) == (200, 2, 1)


@doors
async def test_an_error_before_the_stream_began_is_an_answer_of_its_own(door: Door) -> None:
    event = b'data: {"error": {"message": "Overloaded", "type": "overloaded_error"}}\n\n'
    done = await run(streams(event), door=door, stream=True)()
    assert done.answer.status == 529
    assert orjson.loads(done.answer.body)["error"]["message"] == "sim error: Overloaded"


async def test_advice_that_was_left_out_is_told() -> None:
    system = [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]
    done = await run(answers(200, SAID), door=Door.MESSAGES, system=system)()
    assert done.answer.headers["x-gatehouse-left-out"] == "cache_control"
    plain = await run(answers(200, SAID), door=Door.MESSAGES)()
    assert "x-gatehouse-left-out" not in plain.answer.headers


async def test_the_end_user_is_told_by_a_pseudonym() -> None:
    done = await run(answers(200, SAID), door=Door.MESSAGES, metadata={"user_id": "someone"})()
    assert done.record.user == USER
    assert orjson.loads(done.requests[0].body)["user"] == "someone"
    there = await run(answers(200, SAID), door=Door.RESPONSES, user="someone")()
    assert there.record.user == USER


async def test_tokens_are_counted_here_where_nobody_else_counts_them() -> None:
    asked = {"model": "sim-chat", "messages": [{"role": "user", "content": "x" * 400}], "system": "y" * 40}
    done = await Run(raw=orjson.dumps(asked), door=Door.COUNT_TOKENS)()
    assert (done.answer.status, done.requests) == (200, [])
    assert orjson.loads(done.answer.body) == {"input_tokens": 110}
    assert done.answer.headers["x-gatehouse-estimated"] == "true"
    assert (done.record.door, done.record.usage, done.record.cost_picousd) == ("count_tokens", "none", 0)


async def test_tokens_are_counted_by_a_provider_that_counts_them() -> None:
    raw = orjson.dumps({"model": "sim-chat", "messages": [], "stream": True})
    done = await Run(answers(200, b'{"input_tokens": 3}'), raw=raw, door=Door.COUNT_TOKENS, world=native("messages"))()
    assert done.requests[0].head.target == "/v1/messages/count_tokens"
    assert done.answer.body == b'{"input_tokens": 3}'
    assert "x-gatehouse-estimated" not in done.answer.headers
    assert (done.record.usage, done.record.input_tokens, done.record.stream) == ("none", 0, False)
    assert done.record.cost_picousd == 0, "though its model has no price here"


@doors
async def test_restrictions_of_a_key_hold(door: Door) -> None:
    world = World()
    key = new_api_key().reveal_text()
    world.api_key("narrow", key, models=["other"])
    auth = {"authorization": f"Bearer {key}"}
    done = await run(door=door, world=world, headers=auth)()
    assert (done.answer.status, done.error["code"], done.requests) == (403, "model_forbidden", [])
    world.api_key("unscoped", key, scopes=["explain"])
    world.drop("ws:w1", Kind.API_KEY, "narrow")
    done = await run(door=door, world=world, headers=auth)()
    assert (done.answer.status, done.error["code"]) == (403, "scope_missing")


@doors
async def test_of_two_models_in_one_body_only_the_one_that_was_checked_goes_on(door: Door) -> None:
    world = native("messages", "responses")
    world.virtual_key("main", "sim", "k", models=["sim-chat"])
    raw = orjson.dumps(DOORS[door]).replace(b'{"model"', b'{"model": "secret", "model"', 1)
    done = await Run(answers(200, b"{}"), raw=raw, door=door, world=world)()
    assert done.requests[0].body.count(b'"model"') == 1
    assert b"secret" not in done.requests[0].body


async def test_a_provider_that_speaks_neither_the_dialect_nor_chat_is_not_called() -> None:
    world = World()
    world.put("global", Kind.PROVIDER, id="sim", name="Sim", base_url="http://sim.test/v1", doors=["embeddings"])
    done = await run(door=Door.MESSAGES, world=world)()
    assert (done.answer.status, done.error["code"]) == (400, "door_unsupported")
