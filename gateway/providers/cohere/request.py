"""A chat as a request of Cohere's v2 API (pure). Source: https://docs.cohere.com/reference/chat."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from gateway.providers.chat import (
    Image,
    Part,
    Text,
    Thought,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
    advice_in,
    conversation,
    described_schema,
    function_tool,
    hints_in,
    is_json_object,
    json_schema,
    refuse,
    refuse_all,
    stops,
    strictness_in,
    thinking,
    tokens_max,
    tool_choice,
)
from gateway.providers.fields import given, malformed

BUDGETS = {"minimal": 1_024, "low": 1_024, "medium": 8_192, "high": 24_576, "xhigh": 24_576, "max": 24_576}
"""What a word for effort is in tokens of thought, as in the original (reference/portkey.md 4.4)."""
_SAME = frozenset(
    "model temperature seed presence_penalty frequency_penalty stream documents citation_options safety_mode "
    "strict_tools priority".split()
)
"""Both sides' under one name: chat's own, and those that only this side knows."""
_RENAMED = {"top_p": "p", "top_k": "k"}
_READ = frozenset(
    "messages stop max_tokens max_completion_tokens tools tool_choice response_format reasoning_effort thinking "
    "stream_options logprobs".split()
)
_LEFT_OUT = frozenset("user safety_identifier metadata prompt_cache_key prompt_cache_retention prediction".split())
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "parallel_tool_calls": (True,),
    "modalities": (["text"],),
    "audio": (),
    "functions": (),
    "function_call": (),
    "verbosity": ("medium",),
    "store": (False,),
    "service_tier": ("auto", "default"),
    "web_search_options": (),
}
"""What this provider cannot do, and the values that ask for nothing."""
_KNOWN = _SAME | _RENAMED.keys() | _READ | _NEUTRAL.keys()
_CHOICES = {"auto": None, "none": "NONE", "required": "REQUIRED"}


def to_chat_v2(body: Mapping[str, Any]) -> tuple[dict[str, Any], frozenset[str]]:
    """The request, and the names of what was left out of it. Raises Untranslatable."""
    refuse_all(body, _NEUTRAL)
    left_out = advice_in(body, _KNOWN, _LEFT_OUT)
    said = conversation(body, maker=None)
    asked: dict[str, Any] = {name: value for name in _SAME if (value := body.get(name)) is not None}
    asked |= {own: value for name, own in _RENAMED.items() if (value := body.get(name)) is not None}
    messages: list[dict[str, Any]] = [{"role": "system", "content": text.text} for text in said.system]
    for turn in said.turns:
        messages += _messages(turn)
    asked["messages"] = messages
    if (limit := tokens_max(body)) is not None:
        asked["max_tokens"] = limit
    if stop := stops(body):
        asked["stop_sequences"] = stop
    asked |= _tools(body, left_out)
    asked |= _form(body, left_out)
    if (thought := _thinking(body, left_out)) is not None:
        asked["thinking"] = thought
    return asked, frozenset(left_out | said.left_out | hints_in(said, body))


def _messages(turn: Turn) -> Iterator[dict[str, Any]]:
    if turn.role == "assistant":
        yield _assistant(turn.parts)
        return
    for part in turn.parts:
        if isinstance(part, ToolResult):
            yield {"role": "tool", "tool_call_id": part.id, "content": "".join(_texts(part.parts))}
    said = [_said(part) for part in turn.parts if not isinstance(part, ToolResult)]
    if said:
        yield {"role": "user", "content": said}


def _assistant(parts: list[Part]) -> dict[str, Any]:
    made: dict[str, Any] = {"role": "assistant"}
    content: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, Thought):
            content.append({"type": "thinking", "thinking": part.text})
        elif isinstance(part, Text):
            content.append({"type": "text", "text": part.text})
    if content:
        made["content"] = content
    if calls := [_call(part) for part in parts if isinstance(part, ToolUse)]:
        made["tool_calls"] = calls
    return made


def _call(use: ToolUse) -> dict[str, Any]:
    function = {"name": use.name, "arguments": orjson.dumps(use.input).decode()}
    return {"id": use.id, "type": "function", "function": function}


def _texts(parts: list[Part]) -> Iterator[str]:
    for part in parts:
        if not isinstance(part, Text):
            raise refuse((*part.path, "type"), "is no text, and a tool's result is nothing else here")
        yield part.text


def _said(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Image():
            url = part.url or f"data:{part.media_type};base64,{part.data}"
            return {"type": "image_url", "image_url": {"url": url}}
    raise refuse((*part.path, "type"), "is neither text nor a picture: nothing that this provider reads")


def _tools(body: Mapping[str, Any], left_out: set[str]) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    if values := given(list, body, "tools", ()):
        tools = [function_tool(value, ("tools", at)) for at, value in enumerate(values)]
        asked["tools"] = [_tool(tool) for tool in tools]
        if all(tool.strict for tool in tools):
            asked["strict_tools"] = True  # There is one word for all of them.
        else:
            left_out |= strictness_in(body)
    choice = tool_choice(body)
    if choice is None:
        return asked
    if choice.name is not None:
        raise refuse(("tool_choice",), "names one tool, and this provider can only be told to call some")
    word = _CHOICES[choice.mode]
    return asked if word is None else {**asked, "tool_choice": word}


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.parameters}
    if tool.description is not None:
        function["description"] = tool.description
    return {"type": "function", "function": function}


def _form(body: Mapping[str, Any], left_out: set[str]) -> dict[str, Any]:
    if is_json_object(body):
        return {"response_format": {"type": "json_object"}}
    form = json_schema(body)
    if form is None:
        return {}
    return {"response_format": {"type": "json_object", "json_schema": described_schema(form, left_out)}}


def _thinking(body: Mapping[str, Any], left_out: set[str]) -> dict[str, Any] | None:
    """In this provider's own words, as the door of messages asks for it, or by a word for effort."""
    own = given(dict, body, "thinking", ())
    effort = given(str, body, "reasoning_effort", ())
    if own is None:
        return None if effort is None else _of_effort(effort)
    if effort is not None:
        left_out.add("reasoning_effort")
    if "budget_tokens" not in own and "display" not in own and own.get("type") != "adaptive":
        return own
    asked = thinking(body, left_out) or {}
    budget = given(int, asked, "budget_tokens", ("thinking",))
    kind = "enabled" if asked.get("type") == "adaptive" else asked.get("type")
    return {"type": kind} if budget is None else {"type": kind, "token_budget": budget}


def _of_effort(effort: str) -> dict[str, Any]:
    if effort == "none":
        return {"type": "disabled"}
    if effort not in BUDGETS:
        raise malformed(("reasoning_effort",), f"must be `none`, {', '.join(f'`{word}`' for word in BUDGETS)}")
    return {"type": "enabled", "token_budget": BUDGETS[effort]}
