"""Text completions, the older door: what the simulated model writes behind a prompt, whole or in chunks. Pure.

Source of the shape: OpenAI's API reference, `text_completion`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import orjson

from embedded.simulator import checks, errors, tokens
from embedded.simulator.checks import Body, Rule
from embedded.simulator.wire import CREATED, FINGERPRINT, sentence

TOKENS_DEFAULT = 16

RULES = {
    **checks.SAMPLING,
    "prompt": Rule((str, list), "a string, array of strings, array of tokens, or array of token arrays"),
    "suffix": checks.STRING,
    "echo": checks.BOOLEAN,
    "logprobs": checks.integer(0, 5),
    "best_of": checks.integer(1, 20),
    "seed": checks.integer(-(2**63), 2**63 - 1),
}


@dataclass(frozen=True, slots=True)
class Choice:
    words: list[str]
    finish_reason: str


class Completion:
    """The answer to one request, a function of its body. Raises errors.Refused if the body is not a proper one."""

    def __init__(self, body: Body, words: int | None) -> None:
        """`words`: write this many tokens instead of the usual sentence."""
        checks.check(body, RULES)
        if (body.get("best_of") or 128) < (body.get("n") or 1):
            raise errors.invalid("'best_of' must be greater than or equal to 'n'.", "best_of")
        prompts = texts(body.get("prompt") or "<|endoftext|>", "prompt")
        self._id = f"cmpl-{checks.digest(body)[:29]}"
        self._model: str = body["model"]
        self._stream_usage = checks.wants_usage(body)
        self._logprobs_wanted: int | None = body.get("logprobs")
        self._choices = [
            _choice(body, prompt, index, words) for prompt in prompts for index in range(body.get("n") or 1)
        ]
        written = sum(len(choice.words) for choice in self._choices)
        self._usage = tokens.usage(sum(tokens.count(prompt) for prompt in prompts), written)

    def whole(self) -> bytes:
        choices = [
            self._part(index, choice.words, 0, choice.finish_reason) for index, choice in enumerate(self._choices)
        ]
        return orjson.dumps({**self._head(choices), "usage": self._usage})

    def chunks(self) -> Iterator[bytes]:
        """The JSON of each chunk, the choices taking turns."""
        offsets = [0] * len(self._choices)
        for turn in zip_longest(*(_steps(choice) for choice in self._choices)):
            for index, step in enumerate(turn):
                if step is not None:
                    words, finish_reason = step
                    part = self._part(index, words, offsets[index], finish_reason)
                    offsets[index] += sum(map(len, words))
                    yield self._chunk([part], None)
        if self._stream_usage:
            yield self._chunk([], self._usage)

    def _head(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "text_completion",
            "created": CREATED,
            "model": self._model,
            "choices": choices,
            "system_fingerprint": FINGERPRINT,
        }

    def _chunk(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None) -> bytes:
        head = self._head(choices)
        return orjson.dumps({**head, "usage": usage} if self._stream_usage else head)

    def _part(self, index: int, words: list[str], offset: int, finish_reason: str | None) -> dict[str, Any]:
        return {
            "text": "".join(words),
            "index": index,
            "logprobs": self._logprobs(words, offset),
            "finish_reason": finish_reason,
        }

    def _logprobs(self, words: list[str], offset: int) -> dict[str, Any] | None:
        if self._logprobs_wanted is None:
            return None
        starts = [offset + sum(map(len, words[:place])) for place in range(len(words))]
        likely = [tokens.logprob(word) for word in words]
        rivals = [f"~{rank}" for rank in range(1, self._logprobs_wanted)]
        return {
            "tokens": words,
            "token_logprobs": likely,
            "top_logprobs": [
                {word: chance, **{rival: chance - rank for rank, rival in enumerate(rivals, 1)}}
                for word, chance in zip(words, likely, strict=True)
            ],
            "text_offset": starts,
        }


def texts(given: Any, name: str) -> list[str]:
    """The texts behind OpenAI's four ways to give them: a string, strings, token numbers, lists of token numbers.

    Raises errors.Refused for anything else. A token number stands for four characters of its own.
    """
    if isinstance(given, str):
        return [given]
    if given and all(isinstance(item, str) for item in given):
        return list(given)
    if given and all(_is_token(item) for item in given):
        return [_decode(given)]
    if given and all(isinstance(item, list) and item and all(_is_token(token) for token in item) for item in given):
        return [_decode(item) for item in given]
    raise errors.invalid(f"Invalid '{name}': expected a string, strings, tokens or arrays of tokens.", name)


def _is_token(item: Any) -> bool:
    return isinstance(item, int) and not isinstance(item, bool) and item >= 0


def _decode(numbers: list[int]) -> str:
    return "".join(f"{number % 0xFFFF:04x}" for number in numbers)


def _choice(body: Body, prompt: str, index: int, words: int | None) -> Choice:
    limit = body.get("max_tokens") or (words if words is not None else TOKENS_DEFAULT)
    said, cut = tokens.shorten(sentence(prompt, index, words), checks.stops(body), limit)
    before = tokens.split(prompt) if body.get("echo") else []
    return Choice(before + said, "length" if cut else "stop")


def _steps(choice: Choice) -> Iterator[tuple[list[str], str | None]]:
    for word in choice.words:
        yield [word], None
    yield [], choice.finish_reason
