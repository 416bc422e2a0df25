"""Gemini's, Vertex AI's and Cohere's dialects: their own clients at the simulator, and OpenAI's through the gateway."""

import base64
import json
from array import array
from collections.abc import Iterator
from typing import Any

import anthropic
import cohere
import openai
import pytest
from anthropic import AnthropicVertex
from cohere.core.api_error import ApiError
from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials
from openai import OpenAI

from embedded.simulator.chat import TOKENS_PER_IMAGE
from embedded.simulator.contents import CACHED_TOKENS
from embedded.simulator.messages import SIGNATURE, THOUGHT
from tests.conformance.corpus.cases import PIXEL
from tests.fixtures.stack import Stack
from tests.fixtures.wire import HANG_S

QUESTION = "What is the weather?"
SAID = f"This is a simulated answer. You said: {QUESTION}"
HELLO: Any = [{"role": "user", "content": QUESTION}]
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
NAMES = ["get_weather", "get_time"]
TOOLS: Any = [
    {"type": "function", "function": {"name": name, "description": "d", "parameters": SCHEMA}} for name in NAMES
]
DECLARED = [types.FunctionDeclaration(name=name, description="d", parameters_json_schema=SCHEMA) for name in NAMES]
PICTURE = base64.b64decode(PIXEL)
THINKS = types.ThinkingConfig(include_thoughts=True)


@pytest.fixture(scope="module")
def contents(stack: Stack) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=stack.simulator_url, api_version="v1beta", timeout=int(HANG_S * 1_000))
    with genai.Client(api_key=stack.simulator_key, http_options=options) as client:
        yield client


@pytest.fixture(scope="module")
def published(stack: Stack) -> Iterator[genai.Client]:
    """The same client as Vertex AI's."""
    options = types.HttpOptions(base_url=stack.simulator_url, timeout=int(HANG_S * 1_000))
    credentials = Credentials(token=stack.simulator_key)  # type: ignore[no-untyped-call]
    with genai.Client(
        vertexai=True, project="p", location="l", credentials=credentials, http_options=options
    ) as client:
        yield client


@pytest.fixture(scope="module")
def second(stack: Stack) -> Iterator[cohere.ClientV2]:
    with cohere.ClientV2(api_key=stack.simulator_key, base_url=stack.simulator_url, timeout=HANG_S) as client:
        yield client


@pytest.fixture(scope="module")
def through(stack: Stack) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{stack.url}/v1", api_key=stack.api_key, max_retries=0, timeout=HANG_S) as client:
        yield client


@pytest.fixture(params=["contents", "published"])
def google(request: pytest.FixtureRequest) -> genai.Client:
    client: genai.Client = request.getfixturevalue(request.param)
    return client


def config(**fields: Any) -> types.GenerateContentConfig:
    quiet = types.AutomaticFunctionCallingConfig(disable=True)
    return types.GenerateContentConfig(automatic_function_calling=quiet, **fields)


# Contents of parts, straight


def test_the_official_client_of_contents_reads_the_simulator(google: genai.Client) -> None:
    asked: Any = {"model": "sim-chat", "contents": QUESTION, "config": config(thinking_config=THINKS)}
    said = google.models.generate_content(**asked)
    thought, text = said.candidates[0].content.parts
    assert (thought.text, thought.thought, text.text) == (THOUGHT, True, SAID)
    assert text.thought_signature == base64.b64decode(SIGNATURE)
    usage = said.usage_metadata
    assert usage.thoughts_token_count == len(THOUGHT) // 4 + 1
    assert usage.total_token_count == sum(
        (usage.prompt_token_count, usage.candidates_token_count, usage.thoughts_token_count)
    )
    bits = list(google.models.generate_content_stream(**asked))
    parts = [part for bit in bits for part in bit.candidates[0].content.parts]
    assert "".join(part.text for part in parts if part.thought) == THOUGHT
    assert "".join(part.text for part in parts if not part.thought) == SAID
    assert [bit.candidates[0].finish_reason for bit in bits[-2:]] == [None, types.FinishReason.STOP]
    assert bits[-1].usage_metadata == usage
    assert {bit.response_id for bit in bits} == {said.response_id}
    cut = google.models.generate_content(
        model="sim-chat", contents=QUESTION, config=config(max_output_tokens=2, system_instruction="Be brief")
    )
    assert (cut.text, cut.candidates[0].finish_reason) == (SAID[:8], types.FinishReason.MAX_TOKENS)
    short = google.models.generate_content(model="sim-chat", contents="ab " * 9, config=config(stop_sequences=["ab"]))
    assert short.text == SAID.removesuffix(QUESTION)


def test_the_official_client_of_contents_calls_tools(google: genai.Client) -> None:
    more = config(tools=[types.Tool(function_declarations=DECLARED)])
    turn = types.Content(role="user", parts=[types.Part(text=QUESTION)])
    said = google.models.generate_content(model="sim-chat", contents=[turn], config=more)
    assert [call.name for call in said.function_calls] == NAMES
    assert said.function_calls[0].args == {"place": "simulated"}
    bits = google.models.generate_content_stream(model="sim-chat", contents=[turn], config=more)
    streamed = [call for bit in bits for call in bit.function_calls or ()]
    assert streamed == said.function_calls
    answers = [types.Part.from_function_response(name=name, response={"output": "sunny"}) for name in NAMES]
    told = types.Content(role="user", parts=answers)
    history = [turn, said.candidates[0].content, told]
    assert google.models.generate_content(model="sim-chat", contents=history, config=more).text == SAID
    half = types.Content(role="user", parts=answers[:1])
    with pytest.raises(errors.ClientError, match="number of function response parts"):
        google.models.generate_content(model="sim-chat", contents=[*history[:2], half], config=more)
    one = types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["get_time"])
    named = config(tools=more.tools, tool_config=types.ToolConfig(function_calling_config=one))
    made = google.models.generate_content(model="sim-chat", contents=QUESTION, config=named)
    assert [call.name for call in made.function_calls] == ["get_time"]


def test_the_official_client_of_contents_shows_pictures_and_shapes_answers(google: genai.Client) -> None:
    picture = types.Part.from_bytes(data=PICTURE, mime_type="image/png")
    for contents in ([picture, QUESTION], [types.Part.from_uri(file_uri="gs://b/a.png", mime_type="image/png"), "x"]):
        usage = google.models.generate_content(model="sim-chat", contents=contents).usage_metadata
        assert usage.prompt_tokens_details[1].modality == types.MediaModality.IMAGE
        assert usage.prompt_tokens_details[1].token_count == TOKENS_PER_IMAGE
    own = types.Schema(type=types.Type.OBJECT, properties={"place": types.Schema(type=types.Type.STRING)})
    for form in ({"response_schema": own}, {"response_json_schema": SCHEMA}):
        more = config(response_mime_type="application/json", **form)
        text = google.models.generate_content(model="sim-chat", contents=QUESTION, config=more).text
        assert json.loads(text) == {"place": "simulated"}
    cached = google.models.generate_content(
        model="sim-chat", contents=QUESTION, config=config(cached_content="cachedContents/one")
    ).usage_metadata
    assert cached.cached_content_token_count == CACHED_TOKENS
    assert cached.prompt_token_count > CACHED_TOKENS


def test_the_official_client_of_contents_counts_embeds_and_lists(contents: genai.Client) -> None:
    counted = contents.models.count_tokens(model="sim-chat", contents=QUESTION).total_tokens
    said = contents.models.generate_content(model="sim-chat", contents=QUESTION)
    assert counted == said.usage_metadata.prompt_token_count
    length = types.EmbedContentConfig(output_dimensionality=8)
    made = contents.models.embed_content(model="sim-embed", contents=["a", "b"], config=length)
    assert [len(row.values) for row in made.embeddings] == [8, 8]
    assert made.embeddings[0] != made.embeddings[1]
    assert [model.name for model in contents.models.list()] == ["models/sim-chat", "models/sim-embed"]
    assert contents.models.get(model="sim-chat").supported_actions == ["generateContent", "countTokens"]


@pytest.mark.parametrize(
    ("model", "code", "status"),
    [
        ("sim-error-401", 401, "UNAUTHENTICATED"),
        ("sim-error-429", 429, "RESOURCE_EXHAUSTED"),
        ("sim-error-500", 500, "INTERNAL"),
        ("sim-error-503", 503, "UNAVAILABLE"),
        ("no-such", 404, "NOT_FOUND"),
    ],
)
def test_the_official_client_of_contents_knows_the_simulator_s_errors(
    google: genai.Client, model: str, code: int, status: str
) -> None:
    for ask in (google.models.generate_content, google.models.generate_content_stream):
        with pytest.raises(errors.APIError) as raised:
            list(ask(model=model, contents=QUESTION))
        assert (raised.value.code, raised.value.status) == (code, status)
    if code == 429:
        assert raised.value.details["error"]["details"][0]["retryDelay"] == "1s"


def test_the_official_client_of_contents_knows_what_it_may_not_do(contents: genai.Client, stack: Stack) -> None:
    options = types.HttpOptions(base_url=stack.simulator_url)
    with (
        genai.Client(api_key="other", http_options=options) as other,
        pytest.raises(errors.ClientError, match="API_KEY_INVALID"),
    ):
        other.models.generate_content(model="sim-chat", contents=QUESTION)
    extra = config(http_options=types.HttpOptions(extra_body={"generationConfig": {"zzz": 1}}))
    with pytest.raises(errors.ClientError, match='Unknown name "zzz"'):
        contents.models.generate_content(model="sim-chat", contents=QUESTION, config=extra)
    with pytest.raises(errors.APIError, match="overloaded"):
        list(contents.models.generate_content_stream(model="sim-errorevent-3", contents=QUESTION))


def test_the_official_client_of_published_messages_reads_the_simulator(stack: Stack) -> None:
    credentials = {"access_token": stack.simulator_key, "project_id": "p", "region": "l", "max_retries": 0}
    with AnthropicVertex(base_url=f"{stack.simulator_url}/v1", **credentials) as client:  # type: ignore[arg-type]
        asked: Any = {"model": "sim-chat", "max_tokens": 100, "messages": HELLO}
        said = client.messages.create(**asked)
        assert said.content[0].text == SAID
        with client.messages.stream(**asked) as stream:
            assert stream.get_final_message().to_dict() == said.to_dict()
        with pytest.raises(anthropic.RateLimitError, match="rate_limit_error"):
            client.messages.create(**{**asked, "model": "sim-error-429"})


# A chat's second version, straight


def test_the_official_client_of_the_second_version_reads_the_simulator(second: cohere.ClientV2) -> None:
    asked: Any = {"model": "sim-chat", "messages": HELLO, "thinking": {"type": "enabled", "token_budget": 1_024}}
    said = second.chat(**asked)
    thought, text = said.message.content
    assert (thought.thinking, text.text, said.finish_reason) == (THOUGHT, SAID, "COMPLETE")
    events = list(second.chat_stream(**asked))
    deltas = [event.delta.message.content for event in events if event.type == "content-delta"]
    assert "".join(delta.thinking or "" for delta in deltas) == THOUGHT
    assert "".join(delta.text or "" for delta in deltas) == SAID
    assert (events[0].type, events[-1].delta.usage, events[-1].id) == ("message-start", said.usage, said.id)
    cut = second.chat(model="sim-chat", messages=HELLO, max_tokens=2)
    assert (cut.finish_reason, cut.usage.billed_units.output_tokens) == ("MAX_TOKENS", 2)
    form: Any = {"type": "json_object", "json_schema": SCHEMA}
    shaped = second.chat(model="sim-chat", messages=HELLO, response_format=form)
    assert json.loads(shaped.message.content[0].text) == {"place": "simulated"}
    url: Any = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    seen = second.chat(model="sim-chat", messages=[{"role": "user", "content": [{"type": "text", "text": "a"}, url]}])
    plain = second.chat(model="sim-chat", messages=[{"role": "user", "content": "a"}])
    assert seen.usage.billed_units.input_tokens - plain.usage.billed_units.input_tokens == TOKENS_PER_IMAGE


def test_the_official_client_of_the_second_version_calls_tools(second: cohere.ClientV2) -> None:
    asked: Any = {"model": "sim-chat", "tools": TOOLS}
    said = second.chat(messages=HELLO, **asked)
    assert said.finish_reason == "TOOL_CALL"
    assert [call.function.name for call in said.message.tool_calls] == NAMES
    events = list(second.chat_stream(messages=HELLO, **asked))
    plan = "".join(event.delta.message.tool_plan for event in events if event.type == "tool-plan-delta")
    assert plan == said.message.tool_plan
    begun = [event.delta.message.tool_calls for event in events if event.type == "tool-call-start"]
    assert [call.id for call in begun] == [call.id for call in said.message.tool_calls]
    for index, call in enumerate(said.message.tool_calls):
        pieces = [event for event in events if event.type == "tool-call-delta" and event.index == index]
        told = "".join(event.delta.message.tool_calls.function.arguments for event in pieces)
        assert told == call.function.arguments
    results: Any = [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in said.message.tool_calls]
    assert second.chat(messages=[*HELLO, said.message, *results], **asked).message.content[0].text == SAID
    with pytest.raises(ApiError, match="tool call id not found"):
        second.chat(messages=[*HELLO, {**results[0], "tool_call_id": "other"}], **asked)


def test_the_official_client_of_the_second_version_embeds_and_ranks(second: cohere.ClientV2) -> None:
    kinds = ["float", "base64", "int8", "uint8", "binary", "ubinary"]
    made = second.embed(
        model="sim-embed", texts=["a", "b"], input_type="search_query", embedding_types=kinds, output_dimension=256
    )
    floats = made.embeddings.float_[0]
    assert array("f", base64.b64decode(made.embeddings.base64[0])).tolist() == floats
    assert [len(rows[0]) for rows in (made.embeddings.int8, made.embeddings.uint8)] == [256, 256]
    assert [low - high for low, high in zip(made.embeddings.ubinary[0], made.embeddings.binary[0], strict=True)] == [
        128
    ] * 32
    assert made.meta.billed_units.input_tokens == 2
    ranked = second.rerank(model="sim-chat", query="red fish", documents=["blue", "a red fish", "red"], top_n=2)
    assert [row.index for row in ranked.results] == [1, 2]
    assert ranked.meta.billed_units.search_units == 1


def test_the_official_client_of_the_second_version_knows_the_simulator_s_errors(
    second: cohere.ClientV2, stack: Stack
) -> None:
    once: Any = {"max_retries": 0}
    for model, expected in (
        ("sim-error-429", cohere.TooManyRequestsError),
        ("sim-error-500", cohere.InternalServerError),
        ("sim-error-503", cohere.ServiceUnavailableError),
        ("no-such", cohere.NotFoundError),
    ):
        with pytest.raises(expected) as raised:
            second.chat(model=model, messages=HELLO, request_options=once)
        assert raised.value.body["message"]
    with (
        cohere.ClientV2(api_key="other", base_url=stack.simulator_url) as other,
        pytest.raises(cohere.UnauthorizedError, match="invalid api token"),
    ):
        other.chat(model="sim-chat", messages=HELLO)
    with pytest.raises(cohere.BadRequestError, match="unknown field: parameter 'zzz'"):
        second.chat(model="sim-chat", messages=HELLO, request_options={"additional_body_parameters": {"zzz": 1}})
    last = list(second.chat_stream(model="sim-errorevent-3", messages=HELLO))[-1]
    assert (last.delta.finish_reason, last.delta.error) == ("ERROR", "internal server error")


# Through the gateway


@pytest.mark.parametrize("slug", ["contents", "published", "second"])
def test_embeddings_of_a_length(through: OpenAI, slug: str) -> None:
    asked: Any = {"model": f"@{slug}/sim-embed", "input": ["a", "b"], "dimensions": 256}
    vectors = through.embeddings.create(**asked)
    assert [len(row.embedding) for row in vectors.data] == [256, 256]
    floats = through.embeddings.create(encoding_format="float", **asked)
    assert [row.embedding for row in floats.data] == [pytest.approx(row.embedding) for row in vectors.data]
    assert vectors.usage.prompt_tokens == 2


@pytest.mark.parametrize("slug", ["contents", "published"])
def test_thoughts_and_what_was_cached_are_counted(through: OpenAI, slug: str) -> None:
    more: Any = {"cached_content": "cachedContents/one", "thinking": {"type": "enabled"}}
    asked: Any = {"model": f"@{slug}/sim-chat", "messages": HELLO, "extra_body": more}
    usage = through.chat.completions.create(**asked).usage
    assert usage is not None
    assert usage.completion_tokens_details is not None
    assert usage.prompt_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == len(THOUGHT) // 4 + 1
    assert usage.prompt_tokens_details.cached_tokens == CACHED_TOKENS
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    chunks = list(through.chat.completions.create(stream=True, stream_options={"include_usage": True}, **asked))
    assert chunks[-1].usage == usage


def test_thoughts_and_plans_of_the_second_version_come_and_go_back(through: OpenAI) -> None:
    asked: Any = {"model": "@second/sim-chat", "extra_body": {"thinking": {"type": "enabled"}}}
    message = through.chat.completions.create(messages=HELLO, **asked).choices[0].message.to_dict()
    assert (message["reasoning_content"], message["content"]) == (THOUGHT, SAID)
    history: Any = [*HELLO, message, *HELLO]
    assert through.chat.completions.create(messages=history, **asked).choices[0].message.content == SAID
    called = through.chat.completions.create(model="@second/sim-chat", messages=HELLO, tools=TOOLS).choices[0].message
    assert called.to_dict()["reasoning_content"] == "I will use get_weather and get_time."


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_messages_of_a_publisher_have_the_errors_of_messages(through: OpenAI, stream: bool) -> None:
    model = "@published/anthropic.sim-"
    said = through.chat.completions.create(model=f"{model}chat", messages=HELLO)
    assert said.choices[0].message.content == SAID
    for name, expected, kind in (
        ("error-429", openai.RateLimitError, "rate_limit_error"),
        ("error-529", openai.InternalServerError, "overloaded_error"),
    ):
        with pytest.raises(expected) as raised:
            through.chat.completions.create(model=f"{model}{name}", messages=HELLO, stream=stream)
        assert raised.value.body["type"] == kind  # type: ignore[index]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_limit_whose_body_says_when_it_is_over_is_told_in_the_head(
    through: OpenAI, contents: genai.Client, stream: bool
) -> None:
    with pytest.raises(errors.ClientError) as own:
        contents.models.generate_content(model="sim-error-429", contents=QUESTION)
    assert "RetryInfo" in str(own.value.details)
    assert own.value.response is not None
    assert "retry-after" not in own.value.response.headers
    with pytest.raises(openai.RateLimitError) as raised:
        through.chat.completions.create(model="@contents/sim-error-429", messages=HELLO, stream=stream)
    assert raised.value.response.headers["retry-after"] == "1"


def test_calls_of_another_provider_are_answered_by_one_with_rules_of_its_own(through: OpenAI) -> None:
    first = through.chat.completions.create(model="@simulator/sim-chat", messages=HELLO, tools=TOOLS).choices[0].message
    results: Any = [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in first.tool_calls or ()]
    history: Any = [*HELLO, first.to_dict(), *results, *HELLO]
    for slug in ("contents", "published", "second"):
        said = through.chat.completions.create(
            model=f"@{slug}/sim-chat", messages=history, tool_choice="none", tools=TOOLS
        )
        assert said.choices[0].message.content == SAID
