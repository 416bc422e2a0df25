"""Chat completions: what the simulated model answers to a list of messages, whole or in chunks. Pure.

Source of the shapes: OpenAI's API reference, `chat.completion` and `chat.completion.chunk`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import orjson

from embedded.simulator import checks, errors, tokens
from embedded.simulator.checks import Body, Rule
from embedded.simulator.schema import example
from embedded.simulator.wire import CREATED, FINGERPRINT, sentence

ROLES = ("system", "assistant", "user", "function", "tool", "developer")
PART_TYPES = ("text", "image_url", "input_audio", "file", "refusal")
TOKENS_PER_MESSAGE = 3
TOKENS_PER_IMAGE = 85

RULES = {
    **checks.SAMPLING,
    "messages": Rule((list,), "an array of objects"),
    "max_completion_tokens": checks.integer(1, 1_000_000),
    "logprobs": checks.BOOLEAN,
    "top_logprobs": checks.integer(0, 20),
    "seed": checks.integer(-(2**63), 2**63 - 1),
    "tools": checks.ARRAY,
    "tool_choice": Rule((str, dict), "a string or an object"),
    "parallel_tool_calls": checks.BOOLEAN,
    "response_format": checks.OBJECT,
    "metadata": checks.OBJECT,
}


@dataclass(frozen=True, slots=True)
class ToolCall:
    id: str
    name: str
    arguments: str

    def whole(self) -> dict[str, Any]:
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


@dataclass(frozen=True, slots=True)
class Choice:
    """Words or tool calls, never both."""

    words: list[str]
    calls: list[ToolCall]
    finish_reason: str

    @property
    def token_count(self) -> int:
        return len(self.words) + sum(tokens.count(call.name) + tokens.count(call.arguments) for call in self.calls)


class Chat:
    """The answer to one request, a function of its body. Raises errors.Refused if the body is not a proper one."""

    def __init__(self, body: Body, words: int | None) -> None:
        """`words`: say this many tokens instead of the usual sentence."""
        _check(body)
        digest = checks.digest(body)
        self._id = f"chatcmpl-{digest[:29]}"
        self._model: str = body["model"]
        self._stream_usage = checks.wants_usage(body)
        self._top_logprobs: int | None = (body.get("top_logprobs") or 0) if body.get("logprobs") else None
        self._choices = _choices(body, digest, words)
        self._usage = tokens.usage(_prompt_tokens(body), sum(choice.token_count for choice in self._choices))

    def whole(self) -> bytes:
        return orjson.dumps(
            {
                "id": self._id,
                "object": "chat.completion",
                "created": CREATED,
                "model": self._model,
                "choices": [
                    {
                        "index": index,
                        "message": _message(choice),
                        "logprobs": self._logprobs(choice.words),
                        "finish_reason": choice.finish_reason,
                    }
                    for index, choice in enumerate(self._choices)
                ],
                "usage": self._usage,
                "service_tier": "default",
                "system_fingerprint": FINGERPRINT,
            }
        )

    def said(self) -> tuple[Choice, dict[str, Any]]:
        """The first choice and the usage, for a door that says the same in another shape."""
        return self._choices[0], self._usage

    def chunks(self) -> Iterator[bytes]:
        """The JSON of each chunk, the choices taking turns."""
        turns = [self._deltas(choice) for choice in self._choices]
        for turn in zip_longest(*turns):
            for index, step in enumerate(turn):
                if step is not None:
                    delta, words, finish_reason = step
                    yield self._chunk(
                        [
                            {
                                "index": index,
                                "delta": delta,
                                "logprobs": self._logprobs(words),
                                "finish_reason": finish_reason,
                            }
                        ],
                        None,
                    )
        if self._stream_usage:
            yield self._chunk([], self._usage)

    @staticmethod
    def _deltas(choice: Choice) -> Iterator[tuple[dict[str, Any], list[str] | None, str | None]]:
        """Each step of a choice: its delta, the words to give log probabilities of, its finish reason."""
        yield {"role": "assistant", "content": None if choice.calls else "", "refusal": None}, [], None
        for word in choice.words:
            yield {"content": word}, [word], None
        for index, call in enumerate(choice.calls):
            start = {**call.whole(), "index": index}
            start["function"] = {"name": call.name, "arguments": ""}
            yield {"tool_calls": [start]}, None, None
            for piece in tokens.split(call.arguments):
                yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, None, None
        yield {}, None, choice.finish_reason

    def _chunk(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None) -> bytes:
        chunk = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": self._model,
            "service_tier": "default",
            "system_fingerprint": FINGERPRINT,
            "choices": choices,
        }
        if self._stream_usage:
            chunk["usage"] = usage
        return orjson.dumps(chunk)

    def _logprobs(self, words: list[str] | None) -> dict[str, Any] | None:
        top = self._top_logprobs
        if top is None or words is None:
            return None
        return {"content": [{**_logprob(word), "top_logprobs": _rivals(word, top)} for word in words], "refusal": None}


def _message(choice: Choice) -> dict[str, Any]:
    if choice.calls:
        return {
            "role": "assistant",
            "content": None,
            "tool_calls": [call.whole() for call in choice.calls],
            "refusal": None,
            "annotations": [],
        }
    return {"role": "assistant", "content": "".join(choice.words), "refusal": None, "annotations": []}


def _logprob(word: str) -> dict[str, Any]:
    return {"token": word, "logprob": tokens.logprob(word), "bytes": list(word.encode())}


def _rivals(word: str, count: int) -> list[dict[str, Any]]:
    """The word itself and made-up rivals, each less likely than the one before."""
    first = _logprob(word)
    return [first, *({**_logprob(f"~{rank}"), "logprob": first["logprob"] - rank} for rank in range(1, count))][:count]


def _choices(body: Body, digest: str, words: int | None) -> list[Choice]:
    count = body.get("n") or 1
    if tools := _tools_to_call(body):
        calls = [
            [
                ToolCall(
                    id=f"call_{digest[:20]}{choice:02x}{place:02x}",
                    name=tool["name"],
                    arguments=orjson.dumps(example(tool.get("parameters") or {"type": "object"})).decode(),
                )
                for place, tool in enumerate(tools)
            ]
            for choice in range(count)
        ]
        return [Choice([], choice, "tool_calls") for choice in calls]
    stops, limit = checks.stops(body), body.get("max_completion_tokens") or body.get("max_tokens")
    spoken = [tokens.shorten(_text(body, index, words), stops, limit) for index in range(count)]
    return [Choice(said, [], "length" if cut else "stop") for said, cut in spoken]


def _text(body: Body, index: int, words: int | None) -> str:
    wanted = body.get("response_format") or {}
    match wanted.get("type"):
        case "json_object":
            return orjson.dumps({"answer": sentence(_said_last(body), index, words)}).decode()
        case "json_schema":
            return orjson.dumps(example(wanted["json_schema"].get("schema") or {"type": "object"})).decode()
        case _:
            return sentence(_said_last(body), index, words)


def _tools_to_call(body: Body) -> list[dict[str, Any]]:
    """The functions this answer calls: only in reply to a user, two only if the caller asked for parallel calls."""
    choice = body.get("tool_choice")
    if choice == "none" or body["messages"][-1]["role"] != "user":
        return []
    functions = [tool["function"] for tool in body.get("tools") or [] if tool["type"] == "function"]
    if isinstance(choice, dict):
        allowed = choice.get("allowed_tools", {}).get("tools", [choice])
        names = [tool.get("function", {}).get("name") for tool in allowed]
        functions = [function for function in functions if function["name"] in names]
    return functions[: 2 if body.get("parallel_tool_calls") else 1]


def _said_last(body: Body) -> str:
    return next((_words_of(message) for message in reversed(body["messages"]) if message["role"] == "user"), "")


def _words_of(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(part["text"] for part in content if part["type"] == "text")
    return content or ""


def _prompt_tokens(body: Body) -> int:
    total = TOKENS_PER_MESSAGE
    for message in body["messages"]:
        total += TOKENS_PER_MESSAGE + tokens.count(_words_of(message))
        if isinstance(message.get("content"), list):
            total += TOKENS_PER_IMAGE * sum(part["type"] == "image_url" for part in message["content"])
        if calls := message.get("tool_calls"):
            total += tokens.count(orjson.dumps(calls).decode())
    if tools := body.get("tools"):
        total += tokens.count(orjson.dumps(tools).decode())
    return total


def _check(body: Body) -> None:
    if body.get("messages") is None:
        raise errors.missing("messages")
    checks.check(body, RULES)
    if not body["messages"]:
        raise errors.invalid(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            "messages",
            "empty_array",
        )
    for index, message in enumerate(body["messages"]):
        _check_message(f"messages[{index}]", message)
    _check_tools(body)
    wanted = body.get("response_format")
    if wanted is None:
        return
    _check_one_of("response_format.type", wanted.get("type"), ("text", "json_object", "json_schema"))
    if wanted["type"] == "json_schema":
        _check_object("response_format.json_schema", wanted.get("json_schema"))
        _check_string("response_format.json_schema.name", wanted["json_schema"].get("name"))


def _check_message(name: str, message: Any) -> None:
    _check_object(name, message)
    _check_one_of(f"{name}.role", message.get("role"), ROLES)
    content = message.get("content")
    if content is None and message["role"] != "assistant":
        raise errors.missing(f"{name}.content")
    if not isinstance(content, str | list | None):
        raise errors.wrong_type(f"{name}.content", "one of a string or array of objects", content)
    for index, part in enumerate(content if isinstance(content, list) else ()):
        _check_object(f"{name}.content[{index}]", part)
        _check_one_of(f"{name}.content[{index}].type", part.get("type"), PART_TYPES)
        if part["type"] == "text":
            _check_string(f"{name}.content[{index}].text", part.get("text"))
        if part["type"] == "image_url":
            _check_object(f"{name}.content[{index}].image_url", part.get("image_url"))
            _check_string(f"{name}.content[{index}].image_url.url", part["image_url"].get("url"))
    if message["role"] == "tool":
        _check_string(f"{name}.tool_call_id", message.get("tool_call_id"))


def _check_tools(body: Body) -> None:
    tools = body.get("tools") or []
    for index, tool in enumerate(tools):
        _check_object(f"tools[{index}]", tool)
        _check_one_of(f"tools[{index}].type", tool.get("type"), ("function", "custom"))
        if tool["type"] == "function":
            _check_object(f"tools[{index}].function", tool.get("function"))
            _check_string(f"tools[{index}].function.name", tool["function"].get("name"))
    choice = body.get("tool_choice")
    if choice is None:
        return
    if not tools:
        raise errors.invalid("'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")
    if isinstance(choice, str):
        _check_one_of("tool_choice", choice, ("none", "auto", "required"))
        return
    _check_one_of("tool_choice.type", choice.get("type"), ("function", "allowed_tools", "custom"))
    if choice["type"] == "function":
        _check_object("tool_choice.function", choice.get("function"))
        name = choice["function"].get("name")
        if name not in [tool["function"]["name"] for tool in tools if tool["type"] == "function"]:
            raise errors.invalid(f"Tool choice 'function' not found in 'tools' parameter: {name!r}.", "tool_choice")


def _check_object(name: str, value: Any) -> None:
    if value is None:
        raise errors.missing(name)
    if not isinstance(value, dict):
        raise errors.wrong_type(name, "an object", value)


def _check_string(name: str, value: Any) -> None:
    if value is None:
        raise errors.missing(name)
    if not isinstance(value, str):
        raise errors.wrong_type(name, "a string", value)


def _check_one_of(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    _check_string(name, value)
    if value not in allowed:
        words = ", ".join(f"'{word}'" for word in allowed[:-1])
        raise errors.invalid(
            f"Invalid value: '{value}'. Supported values are: {words}, and '{allowed[-1]}'.", name, "invalid_value"
        )
