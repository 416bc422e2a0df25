"""Cohere's v2 API: what the corpus does not say (`tests/conformance/corpus/cohere.py`)."""

from typing import Any

import orjson
import pytest
from openai.lib.streaming._deltas import accumulate_delta
from openai.types.chat import ChatCompletionChunk

from gateway.providers.base import BrokenAnswer, Call, Door, Usage
from gateway.providers.cohere.answer import counted
from gateway.providers.cohere.provider import Cohere
from tests.conformance.corpus import checks
from tests.conformance.corpus.cohere import WIRE
from tests.conformance.corpus.said import Said


@pytest.mark.parametrize("word", ["ERROR", "TIMEOUT"])
def test_an_answer_that_was_not_finished_is_none(word: str) -> None:
    said = Said("Hello th", word=word)
    with pytest.raises(BrokenAnswer, match=word):
        Cohere().answer(checks.ASKED, WIRE.answers.whole(said))
    reader = Cohere().stream(checks.STREAMED)
    events = b"".join([reader.feed(frame) for frame in WIRE.answers.frames(said)]) + reader.end()
    assert reader.failed
    assert not reader.complete
    assert b"[DONE]" not in events
    assert reader.failure is not None
    assert word in orjson.loads(reader.failure.body)["error"]["message"]


@pytest.mark.parametrize(
    "bad",
    [
        {"messages": [{"role": "user", "content": "x", "zzz": 1}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "zzz": 1}]}]},
        {"messages": [{"role": "user", "content": "x"}], "zzz": 1},
        {
            "messages": [{"role": "user", "content": "x"}],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {}, "strict": True}}],
        },
    ],
)
def test_the_corpus_finds_fields_that_the_official_client_does_not_know(bad: dict[str, object]) -> None:
    with pytest.raises(AssertionError):
        WIRE.answers.validate({"model": "m", **bad})


def test_a_stream_tells_the_sources_that_a_whole_answer_tells() -> None:
    """They went lost. The official client adds chunks up, and puts what has an index in its place."""
    cited = [{"start": at, "end": at + 2, "text": "He", "sources": [{"type": "document", "id": "1"}]} for at in (0, 3)]
    whole = orjson.loads(WIRE.answers.whole(Said("Hello there.")))
    whole["message"]["citations"] = cited
    (choice,) = orjson.loads(Cohere().answer(checks.ASKED, orjson.dumps(whole))[0])["choices"]
    assert choice["message"]["citations"] == cited
    begun, *rest = WIRE.answers.frames(Said("Hello there."))
    said = [{"type": "citation-start", "index": 7, "delta": {"message": {"citations": one}}} for one in cited]
    said += [{"type": "citation-end", "index": 7}, {"type": "citation-start", "delta": {"message": {"citations": 5}}}]
    frames = [begun, *(b"data: %b\n\n" % orjson.dumps(event) for event in said), *rest]
    reader = Cohere().stream(checks.STREAMED)
    events = (b"".join([reader.feed(frame) for frame in frames]) + reader.end()).split(b"\n\n")
    added: dict[object, object] = {}
    for event in events[:-2]:
        for one in ChatCompletionChunk.model_validate_json(event.removeprefix(b"data: ")).choices:
            added = accumulate_delta(added, one.delta.to_dict())
    assert added["citations"] == [{"index": at, **one} for at, one in enumerate(cited)]
    assert added["content"] == "Hello there."


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"billed_units": {"input_tokens": 5.0, "output_tokens": 9}, "cached_tokens": 3.0}, Usage(5, 9, 3)),
        ({"billed_units": {"input_tokens": 5, "output_tokens": 9}, "cached_tokens": 448}, Usage(5, 9)),
        ({"tokens": {"input_tokens": 5, "output_tokens": 9}, "cached_tokens": 448}, Usage(5, 9, 448)),
        ({"tokens": {"input_tokens": 5, "output_tokens": 9}, "cached_tokens": "3"}, Usage(5, 9, unpriced=True)),
        ({"tokens": {"input_tokens": 1.5, "output_tokens": 9}}, Usage(None, 9)),
        ({"billed_units": 7}, None),
    ],
)
def test_what_is_charged_counts_and_not_what_was_cached_of_the_rest(told: Any, usage: Usage | None) -> None:
    """With more cached tokens than are charged, which is what a long preamble comes to, the cost was unknown."""
    assert counted(told) == usage


@pytest.mark.parametrize(
    ("asked", "sent", "left_out"),
    [
        ({"type": "enabled", "budget_tokens": 2_000}, {"type": "enabled", "token_budget": 2_000}, set()),
        ({"type": "adaptive", "display": "omitted"}, {"type": "enabled"}, {"display"}),
        ({"type": "disabled"}, {"type": "disabled"}, set()),
        ({"type": "enabled", "token_budget": 2_000}, {"type": "enabled", "token_budget": 2_000}, set()),
    ],
)
def test_thoughts_are_asked_for_in_the_provider_s_own_words(asked: Any, sent: Any, left_out: set[str]) -> None:
    """From the door of messages they came in Anthropic's, and the provider refuses fields that it does not know."""
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "thinking": asked}
    translated = Cohere().request(Call(Door.CHAT, b"", body, stream=False), WIRE.place, WIRE.key, {}, "m")
    made = orjson.loads(translated.body)
    WIRE.answers.validate(made)
    assert (made["thinking"], translated.left_out) == (sent, left_out)
