"""A chat as a request of Mistral's API (pure). Source: https://docs.mistral.ai/api/endpoint/chat."""

import re
from base64 import b32encode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

import orjson

from gateway.providers.chat import (
    Audio,
    File,
    Image,
    Part,
    Text,
    Thought,
    ToolResult,
    ToolUse,
    Turn,
    advice_in,
    conversation,
    function_tool,
    hints_in,
    is_json_object,
    json_schema,
    refuse,
    refuse_all,
    stops,
    thinking,
    tokens_max,
    tool_choice,
)
from gateway.providers.fields import given
from gateway.providers.signatures import MISTRAL

_SAME = frozenset(
    "model temperature top_p n presence_penalty frequency_penalty stream logprobs top_logprobs parallel_tool_calls "
    "prediction metadata prompt_cache_key reasoning_effort "
    "random_seed safe_prompt prompt_mode guardrails min_tokens top_k repetition_penalty".split()
)
"""Both sides' under one name: chat's own, and those that only this side knows."""
_READ = frozenset(
    "messages stop seed max_tokens max_completion_tokens tools tool_choice response_format service_tier thinking "
    "stream_options".split()
)
_LEFT_OUT = frozenset("user safety_identifier prompt_cache_retention".split())
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "logit_bias": ({},),
    "modalities": (["text"],),
    "audio": (),
    "functions": (),
    "function_call": (),
    "verbosity": ("medium",),
    "store": (False,),
    "web_search_options": (),
}
"""What this provider cannot do, and the values that ask for nothing."""
_KNOWN = _SAME | _READ | _NEUTRAL.keys()
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}
_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
_NOTHING_SAID = {"role": "assistant", "content": " "}
"""What stands between the results of tools and what the user says next: many of its models refuse to hear a user there.
Of content that is empty they say that there is none.
"""
_CALL_ID = re.compile(r"[A-Za-z0-9]{9}")


def to_completion(body: Mapping[str, Any]) -> tuple[dict[str, Any], frozenset[str]]:
    """The request, and the names of what was left out of it. Raises Untranslatable."""
    refuse_all(body, _NEUTRAL)
    left_out = advice_in(body, _KNOWN, _LEFT_OUT)
    said = conversation(body, maker=MISTRAL, prefixes=True)
    asked: dict[str, Any] = {name: value for name in _SAME if (value := body.get(name)) is not None}
    messages: list[dict[str, Any]] = [{"role": "system", "content": text.text} for text in said.system]
    for turn in said.turns:
        messages += _messages(turn)
    if _is_prefix(body["messages"]):
        messages[-1]["prefix"] = True
    asked["messages"] = messages
    if (limit := tokens_max(body)) is not None:
        asked["max_tokens"] = limit
    if (seed := given(int, body, "seed", ())) is not None:
        asked["random_seed"] = seed
    if stop := stops(body):
        asked["stop"] = stop
    if (tier := given(str, body, "service_tier", ())) is not None:
        if tier not in _TIERS:
            raise refuse(("service_tier",))
        asked["service_tier"] = _TIERS[tier]
    asked |= _tools(body)
    asked |= _form(body)
    asked |= _thinking(body, left_out)
    return asked, frozenset(left_out | said.left_out | hints_in(said, body))


def _is_prefix(messages: list[dict[str, Any]]) -> bool:
    """Whether the last message is the beginning of the answer."""
    last = messages[-1] if messages else {}
    return last.get("role") == "assistant" and given(bool, last, "prefix", ("messages", len(messages) - 1)) is True


def call_id(id_: str) -> str:
    """Calls have ids of nine letters and digits here; any other is given one, always the same."""
    return id_ if _CALL_ID.fullmatch(id_) else b32encode(sha256(id_.encode()).digest())[:9].decode()


def _messages(turn: Turn) -> Iterator[dict[str, Any]]:
    if turn.role == "assistant":
        yield _assistant(turn.parts)
        return
    results = [part for part in turn.parts if isinstance(part, ToolResult)]
    for result in results:
        yield {"role": "tool", "tool_call_id": call_id(result.id), "content": _content(result.parts)}
    if said := [part for part in turn.parts if not isinstance(part, ToolResult)]:
        if results:
            yield {**_NOTHING_SAID}
        yield {"role": "user", "content": _content(said)}


def _assistant(parts: list[Part]) -> dict[str, Any]:
    made: dict[str, Any] = {"role": "assistant", "content": _content([part for part in parts if not _is_use(part)])}
    if calls := [_call(part) for part in parts if isinstance(part, ToolUse)]:
        made["tool_calls"] = calls
    return made


def _is_use(part: Part) -> bool:
    return isinstance(part, ToolUse)


def _content(parts: Sequence[Part]) -> str | list[dict[str, Any]]:
    """A list of chunks, where a string does not say it."""
    match parts:
        case []:
            return ""
        case [Text(text=text)]:
            return text
    return [_chunk(part) for part in parts]


def _chunk(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Image():
            return {"type": "image_url", "image_url": part.url or f"data:{part.media_type};base64,{part.data}"}
        case File(id=id_) if id_:
            return {"type": "file", "file_id": id_}
        case File():
            document = {"type": "document_url", "document_url": f"data:{part.media_type};base64,{part.data}"}
            return document if part.name is None else {**document, "document_name": part.name}
        case Audio():
            return {"type": "input_audio", "input_audio": part.data}
        case Thought(signature=signature):
            thought = {"type": "thinking", "thinking": [{"type": "text", "text": part.text}]}
            return {**thought, "signature": signature} if signature else thought
    raise refuse((*part.path, "type"))


def _call(use: ToolUse) -> dict[str, Any]:
    function = {"name": use.name, "arguments": orjson.dumps(use.input).decode()}
    return {"id": call_id(use.id), "type": "function", "function": function}


def _tools(body: Mapping[str, Any]) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    if tools := given(list, body, "tools", ()):
        asked["tools"] = [_tool(value, at) for at, value in enumerate(tools)]
    if (choice := tool_choice(body)) is not None:
        named = {"type": "function", "function": {"name": choice.name}}
        asked["tool_choice"] = _CHOICES[choice.mode] if choice.name is None else named
    return asked


def _tool(value: Any, at: int) -> dict[str, Any]:
    tool = function_tool(value, ("tools", at))
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.parameters}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _form(body: Mapping[str, Any]) -> dict[str, Any]:
    if is_json_object(body):
        return {"response_format": {"type": "json_object"}}
    schema = json_schema(body)
    return {} if schema is None else {"response_format": {"type": "json_schema", "json_schema": schema}}


def _thinking(body: Mapping[str, Any], left_out: set[str]) -> dict[str, Any]:
    """As the door of messages asks for it; whoever uses this provider's own words decides by them alone."""
    asked = thinking(body, left_out)
    if asked is None:
        return {}
    if body.get("prompt_mode") is not None or body.get("reasoning_effort") is not None:
        left_out.add("thinking")
        return {}
    if asked.get("budget_tokens") is not None:
        left_out.add("budget_tokens")
    return {"reasoning_effort": "none"} if asked.get("type") == "disabled" else {"prompt_mode": "reasoning"}
