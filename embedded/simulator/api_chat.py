"""The chat of a host that people run themselves: JSON by the line, a runner's options, no key. And its vectors. Pure.

It says what it would say in a chat, and thinks first where it is asked to. Source of the shapes: the API reference at
docs.ollama.com, chat and embed.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from embedded.simulator import checks, errors, tokens
from embedded.simulator.chat import Chat, Choice
from embedded.simulator.checks import Body, Rule
from embedded.simulator.embeddings import DIMENSIONS_DEFAULT, vector
from embedded.simulator.messages import THOUGHT
from embedded.simulator.replies import Events, Reply, Whole

LINES = "application/x-ndjson"
CREATED_AT = "2025-06-15T15:06:40.000000Z"
RULES = {
    "messages": checks.ARRAY,
    "stream": checks.BOOLEAN,
    "think": Rule((bool, str), "a boolean or a string"),
    "format": Rule((str, dict), "a string or an object"),
    "tools": checks.ARRAY,
    "options": checks.OBJECT,
    "keep_alive": Rule((int, float, str), "a number of seconds or a duration"),
    "logprobs": checks.BOOLEAN,
    "top_logprobs": checks.integer(0, 20),
}
EMBED_RULES = {
    "input": Rule((str, list), "a string or an array of strings"),
    "dimensions": checks.integer(1, 3_072),
    "truncate": checks.BOOLEAN,
    "options": checks.OBJECT,
}
_ROLES = ("system", "user", "assistant", "tool")
_FAILURE = orjson.dumps({"error": "llama runner process has terminated: exit status 2"}) + b"\n"


def create(body: Body, words: int | None) -> Reply:
    """A stream, unless the body says otherwise. Raises errors.Refused if it is not a proper request."""
    checks.check(body, RULES)
    choice, counts = Chat(_chat(body), words).said()
    thinks = body.get("think") not in (None, False)
    end = {
        "done": True,
        "done_reason": "length" if choice.finish_reason == "length" else "stop",
        "total_duration": 5_000_000,
        "load_duration": 1_000_000,
        "prompt_eval_count": counts["prompt_tokens"],
        "prompt_eval_duration": 1_000_000,
        "eval_count": counts["completion_tokens"],
        "eval_duration": 3_000_000,
    }
    if body.get("stream") is False:
        thought = {"thinking": THOUGHT} if thinks else {}
        calls = {"tool_calls": _calls(choice)} if choice.calls else {}
        return Whole(_line(body, {"content": "".join(choice.words), **thought, **calls}, end))
    return Events(_events(body, choice, end, thinks=thinks), b"", _FAILURE, _framed, LINES)


def embed(body: Body) -> Reply:
    checks.check(body, EMBED_RULES)
    given = body.get("input") or []
    texts = [given] if isinstance(given, str) else given
    if not all(isinstance(text, str) for text in texts):
        raise errors.invalid("invalid input type")
    dimensions = body.get("dimensions") or DIMENSIONS_DEFAULT
    answer = {
        "model": body["model"],
        "embeddings": [vector(text, dimensions).tolist() for text in texts],
        "prompt_eval_count": sum(map(tokens.count, texts)),
    }
    return Whole(orjson.dumps(answer))


def _chat(body: Body) -> Body:
    """The chat that asks the same."""
    options, tools = body.get("options") or {}, body.get("tools")
    chat = {
        "model": body["model"],
        "messages": [_message(message) for message in body.get("messages") or []],
        "tools": tools or None,
        "parallel_tool_calls": True if tools else None,
        "stop": options.get("stop"),
        "max_tokens": options.get("num_predict"),
        "temperature": options.get("temperature"),
        "top_p": options.get("top_p"),
        "seed": options.get("seed"),
        "response_format": _format(body["format"]) if body.get("format") else None,
    }
    return {name: value for name, value in chat.items() if value is not None}


def _message(message: Any) -> dict[str, Any]:
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        raise errors.invalid(f"invalid role in a message: it is one of {', '.join(_ROLES)}")
    content = message.get("content") or ""
    if not isinstance(content, str):
        raise errors.invalid(
            "json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string"
        )
    for call in message.get("tool_calls") or ():
        if not isinstance(call["function"].get("arguments"), dict):
            raise errors.invalid("json: cannot unmarshal string into Go struct field .arguments of type map")
    if message["role"] == "tool":
        return {"role": "tool", "tool_call_id": str(message.get("tool_call_id")), "content": content}
    pictures = [{"type": "image_url", "image_url": {"url": "data:"}} for _ in message.get("images") or ()]
    said = [*pictures, {"type": "text", "text": content}] if pictures else content
    return {"role": message["role"], "content": said}


def _format(wanted: Any) -> dict[str, Any]:
    if isinstance(wanted, dict):
        return {"type": "json_schema", "json_schema": {"name": "x", "schema": wanted}}
    if wanted != "json":
        raise errors.invalid(f'invalid format: "{wanted}"; expected "json" or a valid JSON Schema object')
    return {"type": "json_object"}


def _calls(choice: Choice) -> list[dict[str, Any]]:
    return [
        {"id": call.id, "function": {"index": at, "name": call.name, "arguments": orjson.loads(call.arguments)}}
        for at, call in enumerate(choice.calls)
    ]


def _events(body: Body, choice: Choice, end: dict[str, Any], *, thinks: bool) -> Iterator[tuple[str | None, bytes]]:
    for piece in tokens.split(THOUGHT) if thinks else ():
        yield None, _line(body, {"content": "", "thinking": piece}, {"done": False})
    for word in choice.words:
        yield None, _line(body, {"content": word}, {"done": False})
    for call in _calls(choice):
        yield None, _line(body, {"content": "", "tool_calls": [call]}, {"done": False})
    yield None, _line(body, {"content": ""}, end)


def _line(body: Body, message: dict[str, Any], more: dict[str, Any]) -> bytes:
    head = {"model": body["model"], "created_at": CREATED_AT}
    return orjson.dumps({**head, "message": {"role": "assistant", **message}, **more})


def _framed(data: bytes, _: str | None) -> bytes:
    return data + b"\n"
