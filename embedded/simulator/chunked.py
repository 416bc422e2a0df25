"""Chats whose contents may be lists of chunks, near the usual ones and strict about what they know. Pure.

Source of the shapes: the API reference at docs.mistral.ai, chat completion and embeddings; its errors as they are
quoted where people met them.
"""

import re
from collections.abc import Iterator
from typing import Any

import orjson

from embedded.simulator import checks, embeddings, errors
from embedded.simulator.chat import Chat
from embedded.simulator.checks import Body, Rule
from embedded.simulator.messages import THOUGHT
from embedded.simulator.replies import Events, Reply, Whole
from embedded.simulator.wire import DONE, event

RULES = {
    "messages": checks.ARRAY,
    "temperature": checks.decimal(0, 1.5),
    "top_p": checks.decimal(0, 1),
    "max_tokens": checks.integer(0, 1_000_000),
    "min_tokens": checks.integer(0, 1_000_000),
    "stream": checks.BOOLEAN,
    "stop": checks.STOP,
    "random_seed": checks.integer(0, 2**63 - 1),
    "response_format": checks.OBJECT,
    "tools": checks.ARRAY,
    "tool_choice": Rule((str, dict), "a string or an object"),
    "parallel_tool_calls": checks.BOOLEAN,
    "presence_penalty": checks.decimal(-2, 2),
    "frequency_penalty": checks.decimal(-2, 2),
    "repetition_penalty": checks.decimal(0, 2),
    "top_k": checks.integer(0, 1_000),
    "n": checks.integer(1, 16),
    "logprobs": checks.BOOLEAN,
    "top_logprobs": checks.integer(0, 20),
    "prediction": checks.OBJECT,
    "reasoning_effort": checks.STRING,
    "prompt_mode": checks.STRING,
    "prompt_cache_key": checks.STRING,
    "service_tier": checks.STRING,
    "metadata": checks.OBJECT,
    "guardrails": checks.ARRAY,
    "safe_prompt": checks.BOOLEAN,
}
EMBED_RULES = {
    "input": Rule((str, list), "a string or an array of strings"),
    "output_dimension": checks.integer(1, 3_072),
    "output_dtype": checks.STRING,
    "encoding_format": checks.STRING,
    "metadata": checks.OBJECT,
}
_CHUNKS = ("text", "image_url", "document_url", "file", "reference", "thinking", "input_audio")
_CHOICES = {"auto": "auto", "none": "none", "any": "required", "required": "required"}
_CALL_ID = re.compile(r"[A-Za-z0-9]{9}")
_INT8_MAX = 127
_FAILURE = event(
    orjson.dumps(
        {
            "object": "error",
            "message": "Service tier capacity exceeded for this model.",
            "type": "service_tier_capacity_exceeded",
            "param": None,
            "code": "3505",
            "raw_status_code": 503,
        }
    )
)


def create(body: Body, words: int | None) -> Reply:
    """Raises errors.Refused if the body is not a proper request."""
    _only(body, RULES)
    chat = Chat(_chat(body), words)
    thinks = body.get("prompt_mode") == "reasoning" or body.get("reasoning_effort") not in (None, "none")
    whole = orjson.loads(chat.whole())
    if body.get("stream"):
        return Events(_events(chat, whole, thinks=thinks), DONE, _FAILURE)
    for choice in whole["choices"]:
        choice["message"] = _message(choice["message"], thinks=thinks)
    answer = {name: whole[name] for name in ("id", "object", "created", "model", "choices")}
    return Whole(orjson.dumps({**answer, "usage": _usage(whole)}))


def embed(body: Body) -> Reply:
    _only(body, EMBED_RULES)
    dtype = body.get("output_dtype") or "float"
    if dtype not in ("float", "int8"):
        raise errors.invalid("this model's embeddings are of type float or int8", status=400)
    asked = {"model": body["model"], "input": body.get("input"), "dimensions": body.get("output_dimension")}
    answer = orjson.loads(embeddings.answer(asked))
    for row in answer["data"]:
        if dtype == "int8":
            row["embedding"] = [round(number * _INT8_MAX) for number in row["embedding"]]
    return Whole(orjson.dumps({"id": "embd-simulator", **answer, "usage": {**answer["usage"], "completion_tokens": 0}}))


def _only(body: Body, rules: dict[str, Rule]) -> None:
    for name in body:
        if name not in rules and name != "model":
            raise errors.invalid("Extra inputs are not permitted", name, status=422)
    checks.check(body, rules)


def _chat(body: Body) -> Body:
    """The chat that asks the same."""
    messages = [_turn(index, message) for index, message in enumerate(body.get("messages") or [])]
    last = body["messages"][-1] if messages else {}
    if last.get("role") not in ("user", "tool") and not last.get("prefix"):
        raise errors.invalid(
            "Expected last role User or Tool (or Assistant with prefix True) for serving", None, "3230"
        )
    same = "model temperature top_p stop max_tokens n logprobs top_logprobs presence_penalty frequency_penalty"
    choice = body.get("tool_choice")
    chat = {
        **{name: body[name] for name in (*same.split(), "response_format") if body.get(name) is not None},
        "messages": messages,
        "seed": body.get("random_seed"),
        "tools": body.get("tools") or None,
        "tool_choice": _CHOICES.get(choice) if isinstance(choice, str) else choice,
        # Several calls at once, unless it is told otherwise.
        "parallel_tool_calls": body.get("parallel_tool_calls", True) if body.get("tools") else None,
    }
    return {name: value for name, value in chat.items() if value is not None}


def _turn(index: int, message: Any) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise errors.invalid("Input should be a valid dictionary", f"messages/{index}", status=422)
    for call in message.get("tool_calls") or ():
        _check_id(call.get("id"))
    if message.get("role") == "tool":
        _check_id(message.get("tool_call_id"))
    content = message.get("content")
    if not isinstance(content, list):
        return {name: value for name, value in message.items() if name != "prefix"} | {"content": content or ""}
    said = [_part(index, chunk) for chunk in content]
    return {**message, "content": [part for part in said if part is not None]}


def _part(index: int, chunk: Any) -> dict[str, Any] | None:
    kind = chunk.get("type") if isinstance(chunk, dict) else None
    if kind not in _CHUNKS:
        raise errors.invalid(f"Input tag '{kind}' does not match any of the expected tags", f"messages/{index}/content")
    if kind == "text":
        return {"type": "text", "text": chunk.get("text")}
    return {"type": "image_url", "image_url": {"url": "data:"}} if kind == "image_url" else None


def _check_id(id_: Any) -> None:
    if not isinstance(id_, str) or not _CALL_ID.fullmatch(id_):
        message = f"Tool call id was {id_} but must be a-z, A-Z, 0-9, with a length of 9."
        raise errors.invalid(message, None, "3280")


def _message(message: dict[str, Any], *, thinks: bool) -> dict[str, Any]:
    text: str = message["content"] or ""
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]}
    said: dict[str, Any] = {
        "role": "assistant",
        "content": [thought, {"type": "text", "text": text}] if thinks else text,
        "tool_calls": None,
    }
    return {**said, "tool_calls": _calls(message)} if message.get("tool_calls") else said


def _calls(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"id": f"{call['id'][5:13]}{at}", "function": call["function"], "index": at}
        for at, call in enumerate(message["tool_calls"])
    ]


def _usage(whole: dict[str, Any]) -> dict[str, int]:
    return {name: whole["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}


def _events(chat: Chat, whole: dict[str, Any], *, thinks: bool) -> Iterator[tuple[str | None, bytes]]:
    """Thoughts first; calls come whole, with the reason to end; usage, unasked, with the last of these."""
    head = {"id": whole["id"], "object": "chat.completion.chunk", "created": whole["created"], "model": whole["model"]}
    left = len(whole["choices"])
    for chunk in map(orjson.loads, chat.chunks()):
        for choice in chunk["choices"]:
            delta = choice["delta"]
            if "tool_calls" in delta:
                continue
            said = {"content": delta.get("content") or ""}
            if "role" in delta:
                said["role"] = delta["role"]
            usage: dict[str, Any] = {}
            if choice["finish_reason"] is not None:
                left -= 1
                message = whole["choices"][choice["index"]]["message"]
                if message.get("tool_calls"):
                    said["tool_calls"] = _calls(message)
                usage = {} if left else {"usage": _usage(whole)}
            yield None, orjson.dumps({**head, "choices": [{**choice, "delta": said}], **usage})
            if thinks and "role" in delta:
                thought = [{"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]}]
                yield None, orjson.dumps({**head, "choices": [{**choice, "delta": {"content": thought}}]})
