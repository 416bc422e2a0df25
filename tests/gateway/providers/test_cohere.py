"""Cohere's v2 API: what the corpus does not say (`tests/conformance/corpus/cohere.py`)."""

import orjson
import pytest

from gateway.providers.base import BrokenAnswer
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
