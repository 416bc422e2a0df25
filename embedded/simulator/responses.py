"""Responses: what the simulated model answers to a list of items, whole or as events; kept for later calls.

It says what it would say in a chat. Source of the shapes: OpenAI's API reference, `response` and its events.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from embedded.simulator import checks, errors
from embedded.simulator.chat import Chat, Choice
from embedded.simulator.checks import Body, Rule
from embedded.simulator.replies import Events, Reply, Whole
from embedded.simulator.shelf import Shelf
from embedded.simulator.wire import CREATED, event

RULES = {
    "input": Rule((str, list), "a string or an array of items"),
    "instructions": checks.STRING,
    "previous_response_id": checks.STRING,
    "max_output_tokens": checks.integer(1, 1_000_000),
    "metadata": checks.OBJECT,
    "parallel_tool_calls": checks.BOOLEAN,
    "store": checks.BOOLEAN,
    "background": checks.BOOLEAN,
    "stream": checks.BOOLEAN,
    "temperature": checks.decimal(0, 2),
    "top_p": checks.decimal(0, 1),
    "text": checks.OBJECT,
    "reasoning": checks.OBJECT,
    "tools": checks.ARRAY,
    "tool_choice": Rule((str, dict), "a string or an object"),
    "user": checks.STRING,
}
_TEXT_PARTS = ("input_text", "output_text")


@dataclass(frozen=True, slots=True)
class Kept:
    response: dict[str, Any]
    items: list[dict[str, Any]]


class Responses:
    def __init__(self) -> None:
        self._shelf: Shelf[Kept] = Shelf()

    def create(self, body: Body, words: int | None) -> Reply:
        """Raises errors.Refused if the body is not a proper request."""
        checks.check(body, RULES)
        if body.get("input") is None:
            raise errors.missing("input")
        before = self._before(body)
        items = _items(body["input"])
        chat = Chat(_chat(body, [*before, *items]), words)
        choice, counts = chat.said()
        response = _response(body, choice, counts)
        if body.get("store") is not False:
            numbered = [{"id": f"msg_in_{index:04x}", **item} for index, item in enumerate(items)]
            self._shelf.put(response["id"], Kept(response, numbered))
        if not body.get("stream"):
            return Whole(orjson.dumps(response))
        return Events(_events(response, choice), done=b"", error=_error_event())

    def show(self, id_: str) -> Reply:
        return Whole(orjson.dumps(self._find(id_).response))

    def input_items(self, id_: str) -> Reply:
        items = self._find(id_).items
        ids = {"first_id": items[0]["id"], "last_id": items[-1]["id"]}
        return Whole(orjson.dumps({"object": "list", "data": items, **ids, "has_more": False}))

    def delete(self, id_: str) -> Reply:
        self._find(id_)
        self._shelf.take(id_)
        return Whole(orjson.dumps({"id": id_, "object": "response", "deleted": True}))

    def cancel(self, id_: str) -> Reply:
        self._find(id_)
        raise errors.invalid("Only background responses can be cancelled.")

    def _find(self, id_: str) -> Kept:
        kept = self._shelf.get(id_)
        if kept is None:
            raise errors.invalid(f"Response with id '{id_}' not found.", status=404)
        return kept

    def _before(self, body: Body) -> list[dict[str, Any]]:
        previous = body.get("previous_response_id")
        if previous is None:
            return []
        kept = self._shelf.get(previous)
        if kept is None:
            message = f"Previous response with id '{previous}' not found."
            raise errors.invalid(message, "previous_response_id", "previous_response_not_found")
        return [*kept.items, *kept.response["output"]]


def _items(given: Any) -> list[dict[str, Any]]:
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": given}]}]
    if not given or not all(isinstance(item, dict) for item in given):
        raise errors.wrong_type("input", "a string or an array of items", given)
    return [_item(item) for item in given]


def _item(item: dict[str, Any]) -> dict[str, Any]:
    kind = item.get("type", "message")
    if kind == "message" and isinstance(item.get("content"), str):
        text = "output_text" if item.get("role") == "assistant" else "input_text"
        part: dict[str, Any] = {"type": text, "text": item["content"]}
        if text == "output_text":
            part["annotations"] = []
        item = {**item, "content": [part]}
    return {**item, "type": kind}


def _chat(body: Body, items: list[dict[str, Any]]) -> Body:
    """The chat that asks the same. What is not an item of a known kind is a 400, as with the real one."""
    messages: list[dict[str, Any]] = []
    if body.get("instructions"):
        messages.append({"role": "system", "content": body["instructions"]})
    messages += [_message(index, item) for index, item in enumerate(items) if item["type"] != "reasoning"]
    tools = [_tool(index, tool) for index, tool in enumerate(body.get("tools") or [])]
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "function":
        choice = {"type": "function", "function": {"name": choice.get("name")}}
    format_ = (body.get("text") or {}).get("format") or {"type": "text"}
    if format_.get("type") == "json_schema":
        format_ = {"type": "json_schema", "json_schema": {k: v for k, v in format_.items() if k != "type"}}
    chat = {
        "model": body["model"],
        "messages": messages,
        "tools": tools or None,
        "tool_choice": choice if tools else None,
        "parallel_tool_calls": body.get("parallel_tool_calls"),
        "response_format": format_,
        "max_completion_tokens": body.get("max_output_tokens"),
    }
    return {name: value for name, value in chat.items() if value is not None}


def _message(index: int, item: dict[str, Any]) -> dict[str, Any]:
    match item["type"]:
        case "message":
            parts = item.get("content")
            if not isinstance(parts, list):
                raise errors.missing(f"input[{index}].content")
            texts = [str(part.get("text")) for part in parts if part.get("type") in _TEXT_PARTS]
            return {"role": item.get("role"), "content": " ".join(texts)}
        case "function_call":
            function = {"name": item.get("name"), "arguments": item.get("arguments")}
            return {
                "role": "assistant",
                "tool_calls": [{"id": item.get("call_id"), "type": "function", "function": function}],
            }
        case "function_call_output":
            return {"role": "tool", "tool_call_id": item.get("call_id"), "content": orjson.dumps(item).decode()}
    raise errors.invalid(f"Invalid value: '{item['type']}'.", f"input[{index}]", "invalid_value")


def _tool(index: int, tool: Any) -> dict[str, Any]:
    if not isinstance(tool, dict) or tool.get("type") != "function":
        raise errors.invalid("The simulator knows function tools only.", f"tools[{index}].type", "invalid_value")
    return {"type": "function", "function": {name: value for name, value in tool.items() if name != "type"}}


def _response(body: Body, choice: Choice, counts: dict[str, Any]) -> dict[str, Any]:
    digest = checks.digest(body)
    cut = choice.finish_reason == "length"
    return {
        "id": f"resp_{digest[:48]}",
        "object": "response",
        "created_at": CREATED,
        "status": "incomplete" if cut else "completed",
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": body.get("metadata") or {},
        "model": body["model"],
        "output": list(_output(digest, choice)),
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": (body.get("reasoning") or {}).get("effort"), "summary": None},
        "temperature": body.get("temperature") or 1.0,
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p") or 1.0,
        "truncation": "disabled",
        "usage": {
            "input_tokens": counts["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": counts["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": counts["total_tokens"],
        },
        "user": body.get("user"),
    }


def _output(digest: str, choice: Choice) -> Iterator[dict[str, Any]]:
    status = "incomplete" if choice.finish_reason == "length" else "completed"
    for place, call in enumerate(choice.calls):
        yield {
            "id": f"fc_{digest[:40]}{place:02x}",
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
            "status": status,
        }
    if not choice.calls:
        part = {"type": "output_text", "text": "".join(choice.words), "annotations": [], "logprobs": []}
        yield {
            "id": f"msg_{digest[:48]}",
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": [part],
        }


def _events(response: dict[str, Any], choice: Choice) -> Iterator[tuple[str | None, bytes]]:
    begun = {**response, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    for number, (name, fields) in enumerate(_steps(response, begun, choice)):
        yield name, orjson.dumps({"type": name, "sequence_number": number, **fields})


def _steps(response: dict[str, Any], begun: dict[str, Any], choice: Choice) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    for index, item in enumerate(response["output"]):
        if item["type"] == "message":
            yield from _message_steps(index, item, choice.words)
        else:
            yield from _call_steps(index, item)
    yield f"response.{response['status']}", {"response": response}


def _message_steps(index: int, item: dict[str, Any], words: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    at = {"output_index": index, "item_id": item["id"], "content_index": 0}
    (part,) = item["content"]
    yield (
        "response.output_item.added",
        {
            "output_index": index,
            "item": {**item, "status": "in_progress", "content": []},
        },
    )
    yield "response.content_part.added", {**at, "part": {**part, "text": ""}}
    for word in words:
        yield "response.output_text.delta", {**at, "delta": word, "logprobs": []}
    yield "response.output_text.done", {**at, "text": part["text"], "logprobs": []}
    yield "response.content_part.done", {**at, "part": part}
    yield "response.output_item.done", {"output_index": index, "item": item}


def _call_steps(index: int, item: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    at = {"output_index": index, "item_id": item["id"]}
    yield (
        "response.output_item.added",
        {
            "output_index": index,
            "item": {**item, "status": "in_progress", "arguments": ""},
        },
    )
    for start in range(0, len(item["arguments"]), 4):
        yield "response.function_call_arguments.delta", {**at, "delta": item["arguments"][start : start + 4]}
    yield "response.function_call_arguments.done", {**at, "arguments": item["arguments"]}
    yield "response.output_item.done", {"output_index": index, "item": item}


def _error_event() -> bytes:
    message = "The server had an error while processing your request. Sorry about that!"
    said = {"type": "error", "code": "server_error", "message": message, "param": None, "sequence_number": 0}
    return event(orjson.dumps(said), "error")
