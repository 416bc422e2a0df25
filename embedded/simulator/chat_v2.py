"""A second version of chats: plans before tools, streams of named events; its vectors and its ranking. Pure.

It says what it would say in a chat, and thinks first where it is asked to. Source of the shapes: the API reference at
docs.cohere.com, v2 chat, embed and rerank.
"""

import base64
from array import array
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from embedded.simulator import checks, errors, rerank, tokens
from embedded.simulator.chat import Chat, Choice
from embedded.simulator.checks import Body, Rule
from embedded.simulator.embeddings import DIMENSIONS_DEFAULT, vector
from embedded.simulator.messages import THOUGHT
from embedded.simulator.misbehaviour import EMBED
from embedded.simulator.replies import Events, Reply, Whole
from embedded.simulator.wire import DONE, event

RULES = {
    "messages": checks.ARRAY,
    "stream": checks.BOOLEAN,
    "temperature": checks.decimal(0, 2),
    "p": checks.decimal(0, 0.99),
    "k": checks.integer(0, 500),
    "max_tokens": checks.integer(0, 1_000_000),
    "stop_sequences": checks.ARRAY,
    "seed": checks.integer(0, 2**64 - 1),
    "presence_penalty": checks.decimal(0, 1),
    "frequency_penalty": checks.decimal(0, 1),
    "tools": checks.ARRAY,
    "strict_tools": checks.BOOLEAN,
    "tool_choice": checks.STRING,
    "response_format": checks.OBJECT,
    "thinking": checks.OBJECT,
    "documents": checks.ARRAY,
    "citation_options": checks.OBJECT,
    "safety_mode": checks.STRING,
    "logprobs": checks.BOOLEAN,
    "priority": checks.integer(0, 999),
}
EMBED_RULES = {
    "texts": checks.ARRAY,
    "input_type": checks.STRING,
    "embedding_types": checks.ARRAY,
    "output_dimension": checks.integer(1, 1_536),
    "max_tokens": checks.integer(1, 1_000_000),
    "truncate": checks.STRING,
    "priority": checks.integer(0, 999),
}
RANK_RULES = {
    "query": checks.STRING,
    "documents": checks.ARRAY,
    "top_n": checks.integer(1, rerank.DOCUMENTS_MAX),
    "max_tokens_per_doc": checks.integer(1, 1_000_000),
    "priority": checks.integer(0, 999),
}
TEXTS_MAX = 96
DIMENSIONS = (256, 512, 1_024, 1_536)
PREAMBLE_TOKENS = 60
"""What the model reads beside what is charged."""
_INPUT_TYPES = ("search_document", "search_query", "classification", "clustering", "image")
_USER, _ASSISTANT, _TOOL = ("text", "image_url"), ("text", "thinking"), ("text", "document")
_PARTS = {"system": ("text",), "user": _USER, "assistant": _ASSISTANT, "tool": _TOOL}
_CHOICES = {None: "auto", "REQUIRED": "required", "NONE": "none"}
_INT8_MAX = 127
_UINT8_MIDDLE = 128


def create(body: Body, words: int | None) -> Reply:
    """Raises errors.Refused if the body is not a proper request."""
    if body["model"] == EMBED:
        raise errors.not_a_chat_model(body["model"])
    _only(body, RULES)
    choice, counts = Chat(_chat(body), words).said()
    thinks = (body.get("thinking") or {}).get("type") == "enabled"
    id_, usage = checks.digest(body)[:36], _usage(counts, thinks=thinks)
    if body.get("stream"):
        return Events(_events(id_, choice, usage, thinks=thinks), DONE, _error(id_))
    answer = {"id": id_, "message": _message(choice, thinks=thinks), "finish_reason": _finish(choice), "usage": usage}
    return Whole(orjson.dumps(answer))


def embed(body: Body) -> Reply:
    """Raises errors.Refused."""
    _only(body, EMBED_RULES)
    texts, input_type = body.get("texts"), body.get("input_type")
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise errors.invalid("invalid request: texts must be a list of strings, none of them empty")
    if len(texts) > TEXTS_MAX:
        raise errors.invalid(f"invalid request: total number of texts must be at most {TEXTS_MAX}")
    if input_type not in _INPUT_TYPES:
        raise errors.invalid("invalid request: valid input_type must be provided with the provided model")
    dimensions = body.get("output_dimension")
    if dimensions not in (None, *DIMENSIONS):
        raise errors.invalid(f"invalid request: output_dimension must be one of {', '.join(map(str, DIMENSIONS))}")
    vectors = [vector(text, dimensions or DIMENSIONS_DEFAULT) for text in texts]
    kinds = body.get("embedding_types") or ["float"]
    spent = sum(map(tokens.count, texts))
    return Whole(
        orjson.dumps(
            {
                "id": checks.digest(body)[:36],
                "embeddings": {str(kind): [_as(kind, numbers) for numbers in vectors] for kind in kinds},
                "texts": texts,
                "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": spent}},
                "response_type": "embeddings_by_type",
            }
        )
    )


def rank(body: Body) -> Reply:
    """Raises errors.Refused."""
    _only(body, RANK_RULES)
    ranked = orjson.loads(rerank.answer(body))
    meta = {"api_version": {"version": "2"}, **ranked["meta"]}
    return Whole(orjson.dumps({"id": ranked["id"], "results": ranked["results"], "meta": meta}))


def _only(body: Body, rules: Mapping[str, Rule]) -> None:
    for name in body:
        if name not in rules and name != "model":
            raise errors.invalid(f"unknown field: parameter '{name}' is not a valid field", name)
    checks.check(body, rules)


def _as(kind: Any, numbers: "array[float]") -> Any:
    match kind:
        case "float":
            return numbers.tolist()
        case "base64":
            return base64.b64encode(numbers.tobytes()).decode()
        case "int8":
            return [round(number * _INT8_MAX) for number in numbers]
        case "uint8":
            return [round(number * _INT8_MAX) + _UINT8_MIDDLE for number in numbers]
        case "ubinary":
            return list(_packed(numbers))
        case "binary":
            return [byte - _UINT8_MIDDLE for byte in _packed(numbers)]
    raise errors.invalid(f"invalid request: unsupported embedding type {kind}")


def _packed(numbers: "array[float]") -> bytes:
    """A bit for each number: whether it is positive."""
    bits = "".join("1" if number > 0 else "0" for number in numbers)
    return bytes(int(bits[start : start + 8], 2) for start in range(0, len(bits), 8))


def _chat(body: Body) -> Body:
    """The chat that asks the same."""
    messages = body.get("messages")
    if not messages:
        raise errors.invalid(
            "invalid request: message must be at least 1 token long or tool results must be specified."
        )
    made: list[dict[str, Any]] = []
    called: set[Any] = set()
    for index, message in enumerate(messages):
        made.append(_turn(index, message, called))
    choice = body.get("tool_choice")
    if choice not in _CHOICES:
        raise errors.invalid("invalid request: tool_choice must be REQUIRED or NONE")
    if choice == "REQUIRED" and not body.get("tools"):
        raise errors.invalid("invalid request: tool_choice requires tools")
    chat = {
        "model": body["model"],
        "messages": made,
        "tools": body.get("tools") or None,
        "tool_choice": _CHOICES[choice] if body.get("tools") else None,
        "parallel_tool_calls": True if body.get("tools") else None,
        "stop": body.get("stop_sequences"),
        "max_tokens": body.get("max_tokens"),
        "temperature": body.get("temperature"),
        "top_p": body.get("p"),
        "response_format": _form(body.get("response_format") or {}),
    }
    return {name: value for name, value in chat.items() if value is not None}


def _turn(index: int, message: Any, called: set[Any]) -> dict[str, Any]:
    """`called`: the ids of the calls before it, to which its own are added."""
    role = message.get("role") if isinstance(message, dict) else None
    if role not in _PARTS:
        raise errors.invalid(f"invalid request: messages[{index}].role must be one of {', '.join(_PARTS)}")
    content, calls = message.get("content"), message.get("tool_calls") or []
    if not content and not (role == "assistant" and calls):
        raise errors.invalid("invalid request: all elements in messages must have content")
    called.update(call.get("id") for call in calls)
    turn: dict[str, Any] = {"role": role, "content": _content(index, content, _PARTS[role])}
    if calls:
        turn["tool_calls"] = calls
    if role == "tool":
        if message.get("tool_call_id") not in called:
            raise errors.invalid("invalid request: tool call id not found in previous tool calls")
        turn["tool_call_id"] = message["tool_call_id"]
    return turn


def _content(index: int, content: Any, kinds: tuple[str, ...]) -> Any:
    if not isinstance(content, list):
        return content or ""
    parts = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in kinds or kind not in part:
            raise errors.invalid(f"invalid request: messages[{index}].content must be of type {' or '.join(kinds)}")
        if kind in ("text", "image_url"):
            parts.append({"type": kind, kind: part[kind]})
        elif kind == "document":
            parts.append({"type": "text", "text": orjson.dumps(part[kind]).decode()})
    return parts


def _form(form: dict[str, Any]) -> dict[str, Any] | None:
    if form.get("type") not in (None, "text", "json_object"):
        raise errors.invalid("invalid request: response_format.type must be text or json_object")
    if form.get("type") != "json_object":
        return None
    schema = form.get("json_schema") or form.get("schema")
    if schema is None:
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


def _finish(choice: Choice) -> str:
    return {"length": "MAX_TOKENS", "tool_calls": "TOOL_CALL"}.get(choice.finish_reason, "COMPLETE")


def _usage(counts: dict[str, Any], *, thinks: bool) -> dict[str, Any]:
    read, said = counts["prompt_tokens"], counts["completion_tokens"] + (tokens.count(THOUGHT) if thinks else 0)
    return {
        "billed_units": {"input_tokens": read, "output_tokens": said},
        "tokens": {"input_tokens": read + PREAMBLE_TOKENS, "output_tokens": said},
        "cached_tokens": 0,
    }


def _plan(choice: Choice) -> str:
    return f"I will use {' and '.join(call.name for call in choice.calls)}."


def _message(choice: Choice, *, thinks: bool) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant"}
    if content := list(_said(choice, thinks=thinks)):
        message["content"] = content
    if choice.calls:
        message |= {"tool_plan": _plan(choice), "tool_calls": [call.whole() for call in choice.calls]}
    return message


def _said(choice: Choice, *, thinks: bool) -> Iterator[dict[str, Any]]:
    if thinks:
        yield {"type": "thinking", "thinking": THOUGHT}
    if choice.words:
        yield {"type": "text", "text": "".join(choice.words)}


def _events(id_: str, choice: Choice, usage: dict[str, Any], *, thinks: bool) -> Iterator[tuple[str | None, bytes]]:
    for said in _steps(id_, choice, usage, thinks=thinks):
        yield said["type"], orjson.dumps(said)


def _steps(id_: str, choice: Choice, usage: dict[str, Any], *, thinks: bool) -> Iterator[dict[str, Any]]:
    begun = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    yield {"id": id_, "type": "message-start", "delta": {"message": begun}}
    for index, part in enumerate(_said(choice, thinks=thinks)):
        kind = part["type"]
        start = {"content": {"type": kind, kind: ""}}
        yield {"type": "content-start", "index": index, "delta": {"message": start}}
        for word in choice.words if kind == "text" else tokens.split(part[kind]):
            yield {"type": "content-delta", "index": index, "delta": {"message": {"content": {kind: word}}}}
        yield {"type": "content-end", "index": index}
    for word in tokens.split(_plan(choice)) if choice.calls else ():
        yield {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": word}}}
    for index, call in enumerate(choice.calls):
        head = {**call.whole(), "function": {"name": call.name, "arguments": ""}}
        yield {"type": "tool-call-start", "index": index, "delta": {"message": {"tool_calls": head}}}
        for piece in tokens.split(call.arguments):
            more = {"tool_calls": {"function": {"arguments": piece}}}
            yield {"type": "tool-call-delta", "index": index, "delta": {"message": more}}
        yield {"type": "tool-call-end", "index": index}
    yield {"id": id_, "type": "message-end", "delta": {"finish_reason": _finish(choice), "usage": usage}}


def _error(id_: str) -> bytes:
    delta = {"finish_reason": "ERROR", "error": "internal server error"}
    return event(orjson.dumps({"id": id_, "type": "message-end", "delta": delta}), "message-end")
