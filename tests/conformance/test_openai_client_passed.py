"""The unmodified client on the paths that pass through: what it gets through the gateway is what the provider says."""

import asyncio
import io
import json
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import Batch, FileDeleted, FileObject, ImagesResponse, ModerationCreateResponse
from openai.types.audio import Transcription

from tests.conformance.test_simulator import parse
from tests.fixtures.stack import Stack

PICTURE = ("dot.png", b"\x89PNG not really", "image/png")
SOUND = ("hello.wav", b"RIFF not really" * 100_000, "audio/wav")
cases = pytest.mark.parametrize
WHOLE: dict[str, Any] = {
    "moderation": lambda client: client.moderations.with_raw_response.create(input="hate", model="sim-chat"),
    "moderations without a model": lambda client: client.moderations.with_raw_response.create(input=["a", "b"]),
    "pictures": lambda client: client.images.with_raw_response.generate(prompt="a dot", model="sim-chat", n=2),
    "pictures changed": lambda client: client.images.with_raw_response.edit(
        image=[PICTURE, PICTURE], prompt="x", model="sim-chat"
    ),
    "transcription": lambda client: client.audio.transcriptions.with_raw_response.create(file=SOUND, model="sim-chat"),
    "transcription as text": lambda client: client.audio.transcriptions.with_raw_response.create(
        file=SOUND, model="sim-chat", response_format="srt"
    ),
    "speech": lambda client: client.audio.speech.with_raw_response.create(
        model="sim-long-50", voice="alloy", input="Hello there", response_format="wav"
    ),
    "no such file": lambda client: client.files.with_raw_response.content("file-none"),
}
SHAPES = {
    "moderation": ModerationCreateResponse,
    "pictures": ImagesResponse,
    "pictures changed": ImagesResponse,
    "transcription": Transcription,
}
STREAMED: dict[str, Any] = {
    "pictures": lambda client: client.images.with_streaming_response.generate(
        prompt="a dot", model="sim-chat", stream=True, partial_images=2
    ),
    "transcription": lambda client: client.audio.transcriptions.with_streaming_response.create(
        file=SOUND, model="sim-chat", stream=True
    ),
    "speech": lambda client: client.audio.speech.with_streaming_response.create(
        model="sim-long-50", voice="alloy", input="Hello there"
    ),
}


@cases("name", WHOLE)
def test_a_whole_answer_is_the_same(through: OpenAI, straight: OpenAI, name: str) -> None:
    found = []
    for client in (through, straight):
        try:
            answer = WHOLE[name](client)
            found.append((answer.status_code, answer.headers["content-type"], answer.content))
        except openai.APIStatusError as error:
            found.append((error.status_code, type(error).__name__, b""))
    assert found[0] == found[1]
    if name in SHAPES:
        parse(SHAPES[name], found[0][2])


@cases("name", STREAMED)
def test_a_streamed_answer_is_the_same(through: OpenAI, straight: OpenAI, name: str) -> None:
    found = []
    for client in (through, straight):
        with STREAMED[name](client) as answer:
            found.append(b"".join(answer.iter_bytes()))
            assert "set-cookie" not in answer.headers or client is straight
    assert found[0] == found[1]


@cases("size", [0, 10, 3_000_000])
def test_a_file_comes_back_as_it_went(through: OpenAI, size: int) -> None:
    data = (b"--x\r\n\r\nline\n" * (size // 12 + 1))[:size]
    made = through.files.with_raw_response.create(file=("a.jsonl", io.BytesIO(data)), purpose="batch")
    file = parse(FileObject, made.content)
    assert (file.bytes, file.filename) == (size, "a.jsonl")
    assert through.files.retrieve(file.id) == file
    assert file.id in [row.id for row in through.files.list(purpose="batch", limit=1)]
    assert through.files.content(file.id).content == data
    assert parse(FileDeleted, through.files.with_raw_response.delete(file.id).content).deleted
    with pytest.raises(openai.NotFoundError):
        through.files.retrieve(file.id)


async def test_many_files_at_once(athrough: AsyncOpenAI) -> None:
    async def one(number: int) -> None:
        data = b"%d" % number * 100_000
        file = await athrough.files.create(file=(f"{number}.bin", data), purpose="vision")
        assert (await athrough.files.content(file.id)).content == data
        await athrough.files.delete(file.id)

    await asyncio.gather(*map(one, range(20)))


def test_a_batch_from_its_file_to_its_answers(through: OpenAI) -> None:
    chat = {"model": "sim-chat", "messages": [{"role": "user", "content": "Hello"}]}
    asked = {"custom_id": "good", "method": "POST", "url": "/v1/chat/completions", "body": chat}
    file = through.files.create(file=("in.jsonl", json.dumps(asked).encode() + b"\n"), purpose="batch")
    start: Any = {"input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    made = parse(Batch, through.batches.with_raw_response.create(**start).content)
    done = through.batches.retrieve(made.id)
    assert (done.status, done.output_file_id is not None) == ("completed", True)
    assert b'"good"' in through.files.content(str(done.output_file_id)).content
    other = through.batches.create(**start)
    assert through.batches.cancel(other.id).status == "cancelling"
    assert other.id in [row.id for row in through.batches.list(limit=2)]


def test_responses_are_kept_by_their_provider(through: OpenAI) -> None:
    client = through.with_options(default_headers={"x-portkey-virtual-key": "other"})
    made = client.responses.create(model="sim-chat", input="Hello")
    assert client.responses.retrieve(made.id) == made
    assert client.responses.input_items.list(made.id).data[0].type == "message"
    more = client.responses.create(model="sim-chat", input="Again", previous_response_id=made.id)
    assert more.previous_response_id == made.id
    with pytest.raises(openai.BadRequestError, match="background"):
        client.responses.cancel(made.id)
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError) as error:
        client.responses.retrieve(made.id)
    assert error.value.response.headers["x-portkey-provider"] == "other"


def test_a_rerank_and_any_other_path(through: OpenAI, straight: OpenAI) -> None:
    body = {"model": "sim-chat", "query": "cats", "documents": ["dogs", "cats"]}
    ranked = [client.post("/rerank", body=body, cast_to=object) for client in (through, straight)]
    assert ranked[0] == ranked[1]
    with pytest.raises(openai.NotFoundError) as error:
        through.get("/assistants", cast_to=object)
    assert "simulator error" in error.value.message


@cases("model", ["@other/sim-chat", "fast"])
def test_a_model_in_a_form_names_its_target(through: OpenAI, model: str) -> None:
    raw = through.audio.transcriptions.with_raw_response.create(file=SOUND, model=model)
    assert raw.headers["x-portkey-provider"] == ("other" if model.startswith("@") else "simulator")
    assert raw.parse().text.startswith("This is what was heard")


def test_a_form_goes_on_to_the_next_target(through: OpenAI) -> None:
    client = through.with_options(default_headers={"x-portkey-config": "rescued"})
    raw = client.audio.transcriptions.with_raw_response.create(
        file=("small.wav", b"RIFF" * 1_000, "audio/wav"), model="sim-chat"
    )
    assert raw.headers["x-portkey-last-used-option-index"] == "config.targets[1]"


@cases(
    ("call", "passes"),
    [
        (lambda client: client.images.generate(prompt="a dot", model="sim-chat"), True),
        (lambda client: client.audio.transcriptions.create(file=SOUND, model="sim-chat"), True),
        (lambda client: client.files.list(), True),
        (lambda client: client.images.generate(prompt="a dot", model="sim-embed"), False),
        (lambda client: client.audio.transcriptions.create(file=SOUND, model="sim-embed"), False),
        (lambda client: client.moderations.create(input="x"), False),
        (
            lambda client: client.batches.create(input_file_id="f", endpoint="/v1/responses", completion_window="24h"),
            False,
        ),
    ],
)
def test_a_key_for_certain_models_is_held_to_them(stack: Stack, through: OpenAI, call: Any, passes: bool) -> None:
    client = through.with_options(api_key=stack.keys["narrow"])
    if passes:
        call(client)
        return
    with pytest.raises(openai.PermissionDeniedError):
        call(client)


@cases("behaviour", ["sim-cut-1", "sim-error-429", "sim-html-502"])
def test_a_provider_that_fails_is_an_error_to_the_client(through: OpenAI, behaviour: str) -> None:
    calls: list[Any] = [
        lambda: through.moderations.create(model=behaviour, input="x"),
        lambda: through.images.generate(model=behaviour, prompt="x"),
        lambda: through.audio.speech.create(model=behaviour, voice="alloy", input="x" * 40),
        lambda: through.audio.transcriptions.create(model=behaviour, file=SOUND),
        lambda: through.files.list(extra_query={"simulate": behaviour}),
    ]
    for call in calls:
        with pytest.raises(Exception) as error:
            call()
        assert not isinstance(error.value, AssertionError | json.JSONDecodeError)
