"""Portkey's own client, unmodified: it needs another base URL and nothing else."""

import wave
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from portkey_ai import AsyncPortkey, Portkey
from portkey_ai._vendor import openai as vendored

from tests.fixtures.stack import Stack
from tests.fixtures.wire import HANG_S

HELLO: Any = [{"role": "user", "content": "Hello"}]
FALLBACK = {
    "strategy": {"mode": "fallback"},
    "targets": [{"virtual_key": "closed"}, {"provider": "@other", "override_params": {"temperature": 0}}],
}
Make = Callable[..., Portkey]
cases = pytest.mark.parametrize


def options(stack: Stack, http: Any, **more: Any) -> dict[str, Any]:
    url = f"{stack.url}/v1"
    return {"api_key": stack.api_key, "base_url": url, "http_client": http, "max_retries": 0, "timeout": HANG_S, **more}


@pytest.fixture
def made(stack: Stack) -> Iterator[Make]:
    """Makes clients with these options; closed after the test."""
    with ExitStack() as opened:
        yield lambda **more: Portkey(
            **options(stack, opened.enter_context(httpx.Client(base_url=f"{stack.url}/v1")), **more)
        )


@pytest.fixture
def client(made: Make) -> Portkey:
    return made()


def test_a_chat(client: Portkey) -> None:
    said = client.chat.completions.create(model="sim-chat", messages=HELLO)
    assert said.choices[0].message.content
    headers = said.get_headers()
    assert headers is not None
    assert headers["provider"] == "simulator"
    assert headers["last-used-option-index"] == "config"
    assert headers["cache-status"] == "DISABLED"
    assert headers["trace-id"]


def test_a_chat_as_a_stream(client: Portkey) -> None:
    asked: Any = {"model": "sim-chat", "messages": HELLO}
    whole = client.chat.completions.create(**asked).choices[0].message.content
    stream: Any = client.chat.completions.create(**asked, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == whole


async def test_a_chat_of_the_asynchronous_client(stack: Stack) -> None:
    async with httpx.AsyncClient() as http:
        client = AsyncPortkey(**options(stack, http))
        said = await client.chat.completions.create(model="sim-chat", messages=HELLO)
        assert said.choices[0].message.content
        stream: Any = await client.chat.completions.create(model="sim-chat", messages=HELLO, stream=True)
        assert [chunk async for chunk in stream][-1].choices[0].finish_reason == "stop"


def test_completions_embeddings_and_responses(client: Portkey) -> None:
    assert client.completions.create(model="sim-chat", prompt="Once").choices[0].text
    assert client.embeddings.create(model="sim-embed", input=["a", "b"]).data[1].embedding
    response: Any = client.responses.create(model="sim-chat", input="Hello")
    assert response.output[0].content[0].text
    events: Any = client.responses.create(model="sim-chat", input="Hello", stream=True)
    assert [event.type for event in events][-1] == "response.completed"


def test_the_models_are_those_of_the_key(client: Portkey) -> None:
    listed: Any = client.models.list()
    assert "fast" in [model["id"] if isinstance(model, dict) else model.id for model in listed.data]


@cases(
    ("named", "provider", "path"),
    [
        ({"virtual_key": "other"}, "other", "config"),
        ({"provider": "@other"}, "other", "config"),
        ({"config": "rescued"}, "other", "config.targets[1]"),
        ({"config": FALLBACK}, "other", "config.targets[1]"),
        ({"config": {"virtual_key": "other", "retry": {"attempts": 2}}}, "other", "config"),
    ],
)
def test_targets_are_named_in_its_ways(made: Make, named: dict[str, Any], provider: str, path: str) -> None:
    client = made(**named)
    headers = client.chat.completions.create(model="sim-chat", messages=HELLO).get_headers()
    assert headers is not None
    assert (headers["provider"], headers["last-used-option-index"]) == (provider, path)


def test_options_of_one_call(client: Portkey) -> None:
    other = client.with_options(virtual_key="other", trace_id="trace-1", metadata={"_user": "someone"})
    headers = other.chat.completions.create(model="sim-chat", messages=HELLO).get_headers()
    assert headers is not None
    assert (headers["provider"], headers["trace-id"]) == ("other", "trace-1")


def test_a_model_may_name_its_target(client: Portkey) -> None:
    headers = client.chat.completions.create(model="@other/sim-chat", messages=HELLO).get_headers()
    assert headers is not None
    assert headers["provider"] == "other"


def test_a_providers_own_key_goes_to_the_bare_provider(stack: Stack, made: Make) -> None:
    client = made(provider="other", Authorization=stack.simulator_key)
    headers = client.chat.completions.create(model="sim-chat", messages=HELLO).get_headers()
    assert headers is not None
    assert headers["provider"] == "other"


def test_what_passes_through(client: Portkey, tmp_path: Path) -> None:
    sound = tmp_path / "hello.wav"
    with wave.open(str(sound), "wb") as written:
        written.setparams((1, 2, 8_000, 0, "NONE", "not compressed"))
        written.writeframes(bytes(160_000))
    assert client.moderations.create(input="hate", model="sim-chat").results[0].flagged
    assert client.images.generate(prompt="a dot", model="sim-chat").data[0].b64_json
    with sound.open("rb") as file_:
        heard: Any = client.audio.transcriptions.create(file=file_, model="sim-chat")
    assert heard.text.startswith("This is what was heard")
    spoken: Any = client.audio.speech.create(model="sim-chat", voice="alloy", input="Hello")
    assert len(spoken.content) == 2 * 1024
    file: Any = client.files.create(file=("a.jsonl", b"{}\n"), purpose="batch")
    assert client.files.retrieve(file.id).id == file.id
    assert client.files.content(file.id).content == b"{}\n"
    batch: Any = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    assert client.batches.retrieve(batch.id).id == batch.id
    assert client.files.delete(file.id).deleted
    ranked: Any = client.post("/rerank", model="sim-chat", query="cats", documents=["dogs", "cats"])
    assert ranked.results[0]["index"] == 1


@cases(
    ("changed", "kind"),
    [
        ({"api_key": "gh_nobody"}, vendored.AuthenticationError),
        ({"virtual_key": "nothing"}, vendored.BadRequestError),
        ({"config": {"strategy": {"mode": "no"}, "targets": []}}, vendored.BadRequestError),
    ],
)
def test_errors_are_its_own(made: Make, changed: dict[str, Any], kind: type[Exception]) -> None:
    client = made(**changed)
    with pytest.raises(kind):
        client.chat.completions.create(model="sim-chat", messages=HELLO)
