"""A chat as a request of the Messages API (pure). Source: https://docs.anthropic.com/en/api/messages."""

import base64
import re
from collections.abc import Mapping
from typing import Any

from gateway.providers.chat import (
    CACHE_HINT,
    Audio,
    Conversation,
    File,
    Image,
    Part,
    Text,
    Thought,
    ToolChoice,
    ToolResult,
    ToolUse,
    conversation,
    described_schema,
    function_tool,
    json_schema,
    plain_id,
    refuse,
    refuse_all,
    stops,
    tokens_max,
    tool_choice,
)
from gateway.providers.fields import Path, given, malformed

TOKENS_DEFAULT = 4_096
"""Every request must say how long its answer may be; where the caller does not, this is what every model can."""
BUDGETS = {"minimal": 1_024, "low": 1_024, "medium": 8_192, "high": 24_576, "xhigh": 32_768, "max": 32_768}
"""What a word for effort is in tokens of thought, as in the original (reference/portkey.md 4.4)."""
BUDGET_MIN = 1_024
_THOUGHT_SHARE_MAX = 0.8
"""Of what the caller allows in all: something must be left to answer with."""
_TAKES_NO_BUDGET = re.compile(r"claude-[a-z]+-(?:4[-.](?:[7-9]|\d\d)(?!\d)|(?:[5-9]|\d\d)(?!\d)|preview)")
"""Models that are told how hard to think, and decide themselves how much."""
_THINKS_UNASKED = re.compile(r"claude-[a-z]+-(?:(?:[5-9]|\d\d)(?!\d)|preview)")
_THINKS_ALWAYS = re.compile(r"claude-(?:(?:fable|mythos)-|(?:opus|sonnet)-5[-.][5-9](?!\d))")
_EFFORTS = {"minimal": "low"}
"""Words for effort that are others here."""
_EFFORT_DEFAULT = "high"
"""Where nobody says a word."""
FREELY = {"type": "adaptive"}
"""As the model decides."""
NO_THOUGHT = {"type": "disabled"}
_THOUGHTS_LEFT_OUT = {"signature", "content_blocks", "reasoning_content"}

_SAME = frozenset(
    "model temperature top_p top_k stream thinking cache_control container context_management diagnostics "
    "inference_geo mcp_servers speed user_profile_id workspace_id".split()
)
"""Both sides' under one name: chat's own, and those that only this side knows."""
_READ = frozenset(
    "messages stop max_tokens max_completion_tokens tools tool_choice parallel_tool_calls response_format "
    "reasoning_effort user safety_identifier service_tier stream_options output_config metadata".split()
)
_LEFT_OUT = frozenset({"prompt_cache_key", "prompt_cache_retention", "prediction"})
"""Advice on caches and speed: it changes no answer."""
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "seed": (),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "modalities": (["text"],),
    "audio": (),
    "functions": (),
    "function_call": (),
    "verbosity": ("medium",),
    "store": (False,),
    "web_search_options": (),
}
"""What this provider cannot do, and the values that ask for nothing."""
_TIERS = {"auto": "auto", "default": "standard_only"}
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}
_PDF = "application/pdf"
_TEXT = "text/plain"


def to_message(body: Mapping[str, Any]) -> tuple[dict[str, Any], frozenset[str]]:
    """The request, and the names of what was left out of it. Raises Untranslatable."""
    refuse_all(body, _NEUTRAL)
    left_out: set[str] = set()
    for name, value in body.items():
        if value is None or name in _SAME or name in _READ or name in _NEUTRAL:
            continue
        if name not in _LEFT_OUT:
            raise refuse((name,))
        left_out.add(name)
    said = conversation(body, unsigned=False, blanks=False)
    asked: dict[str, Any] = {name: value for name in _SAME if (value := body.get(name)) is not None}
    if said.system:
        asked["system"] = _system(said)
    asked["messages"] = [{"role": turn.role, "content": _content(turn.parts)} for turn in said.turns]
    if (stop := stops(body)) != []:
        asked["stop_sequences"] = stop
    if lost_its_thought(body, said):
        asked["thinking"] = NO_THOUGHT
        left_out.add("thinking")
    asked |= _output(body, said, left_out)
    asked |= _tools(body)
    asked |= _rest(body, left_out)
    return asked, frozenset(left_out | said.left_out)


def _system(said: Conversation) -> str | list[dict[str, Any]]:
    if len(said.system) == 1 and said.system[0].hint is None:
        return said.system[0].text
    return [_hinted({"type": "text", "text": text.text}, text.hint) for text in said.system]


def _content(parts: list[Part]) -> str | list[dict[str, Any]]:
    if len(parts) == 1 and isinstance(parts[0], Text) and parts[0].hint is None:
        return parts[0].text
    # The results of tools have to stand first.
    results = [part for part in parts if isinstance(part, ToolResult)]
    rest = [part for part in parts if not isinstance(part, ToolResult)]
    return [_block(part) for part in (*results, *rest)]


def _block(part: Part) -> dict[str, Any]:
    return _hinted(_plain(part), part.hint)


def _plain(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Image():
            return {"type": "image", "source": _source(part.media_type, part.data, part.url)}
        case File():
            return _document(part)
        case ToolUse():
            return {"type": "tool_use", "id": plain_id(part.id), "name": part.name, "input": part.input}
        case ToolResult():
            return {"type": "tool_result", "tool_use_id": plain_id(part.id), "content": _content(part.parts)}
        case Thought():
            if part.sealed:
                return {"type": "redacted_thinking", "data": part.sealed}
            return {"type": "thinking", "thinking": part.text, "signature": part.signature}
        case Audio():
            raise refuse((*part.path, "type"), "is sound, which this provider does not hear")


def _source(media_type: str, data: str, url: str) -> dict[str, Any]:
    return {"type": "url", "url": url} if url else {"type": "base64", "media_type": media_type, "data": data}


def _document(file: File) -> dict[str, Any]:
    if file.id:
        source: dict[str, Any] = {"type": "file", "file_id": file.id}
    elif file.media_type == _PDF:
        source = _source(file.media_type, file.data, "")
    elif file.media_type == _TEXT:
        source = {"type": "text", "media_type": _TEXT, "data": _decoded(file)}
    else:
        why = f"is neither `{_PDF}` nor `{_TEXT}`: no file this provider reads"
        raise refuse((*file.path, "file", "file_data"), why)
    document: dict[str, Any] = {"type": "document", "source": source}
    return document if file.name is None else {**document, "title": file.name}


def _decoded(file: File) -> str:
    try:
        return base64.b64decode(file.data, validate=True).decode()
    except ValueError:
        raise malformed((*file.path, "file", "file_data"), "must be base64 of UTF-8 text") from None


def _hinted(made: dict[str, Any], hint: Any) -> dict[str, Any]:
    return made if hint is None else {**made, CACHE_HINT: hint}


def _output(body: Mapping[str, Any], said: Conversation, left_out: set[str]) -> dict[str, Any]:
    """How long the answer may be, how much is thought before, and what form it has."""
    asked: dict[str, Any] = {}
    limit = tokens_max(body)
    config = dict(given(dict, body, "output_config", ()) or {})
    effort, model = given(str, body, "reasoning_effort", ()), str(body.get("model"))
    thinking = body.get("thinking")
    if effort is not None and thinking is None:
        thinking, told, limit = thought(effort, model, limit, said, tool_choice(body), left_out)
        if told is not None:
            config.setdefault("effort", told)
        if thinking is not None:
            # Told as budgets' thoughts are: newer models keep them to themselves otherwise.
            asked["thinking"] = {**thinking, "display": "summarized"} if thinking is FREELY else thinking
    elif effort is not None:
        config.setdefault("effort", effort)
    asked["max_tokens"] = TOKENS_DEFAULT + _thinks(thinking, model) if limit is None else limit
    if (form := json_schema(body)) is not None:
        config["format"] = {"type": "json_schema", "schema": described_schema(form, left_out)}
    return {**asked, "output_config": config} if config else asked


def thought(
    effort: str, model: str, limit: int | None, said: Conversation, choice: ToolChoice | None, left_out: set[str]
) -> tuple[dict[str, Any] | None, str | None, int | None]:
    """What a chat's word for effort comes to at one of these models: `thinking`, the word that is told beside it, and
    the most tokens that the answer may have, of which the caller said `limit`. None: nothing is said of it.

    Where the model may not think, a tool must be called or a turn goes on that began without a thought of its own, the
    word is left out, or told alone. Raises Untranslatable.
    """
    if effort == "none":
        return _no_thought(model), None, limit
    is_forced = choice is not None and choice.mode == "required"
    if _TAKES_NO_BUDGET.search(model):
        room, told = _room(effort), _EFFORTS.get(effort, effort)
        if is_forced:
            return None if _THINKS_ALWAYS.search(model) else _no_thought(model), told, limit
        return FREELY, told, room + TOKENS_DEFAULT if limit is None else limit
    if is_forced or _goes_on_unthought(said):
        _room(effort)
        left_out.add("reasoning_effort")
        return None, None, limit
    budget = _budget(effort, limit)
    thinking = {"type": "enabled", "budget_tokens": budget}
    return thinking, None, budget + TOKENS_DEFAULT if limit is None else limit


def lost_its_thought(body: Mapping[str, Any], said: Conversation) -> bool:
    """Whether the caller's own budget of thought would be refused, since what its turn began with stays out here."""
    thinking = body.get("thinking")
    return (
        isinstance(thinking, Mapping)
        and thinking.get("type") == "enabled"
        and bool(said.left_out & _THOUGHTS_LEFT_OUT)
        and _goes_on_unthought(said)
    )


def _goes_on_unthought(said: Conversation) -> bool:
    """Whether the model is to go on after a tool's result in a turn of which it thought nothing, as far as it knows."""
    if not said.turns or not any(isinstance(part, ToolResult) for part in said.turns[-1].parts):
        return False
    for turn in reversed(said.turns[:-1]):
        if turn.role == "user" and not all(isinstance(part, ToolResult) for part in turn.parts):
            break
        if any(isinstance(part, Thought) for part in turn.parts):
            return False
    return True


def _no_thought(model: str) -> dict[str, Any] | None:
    """None: it does not think unless it is told to, and takes no word for that."""
    if _THINKS_ALWAYS.search(model):
        raise refuse(("reasoning_effort",), "cannot be switched off at this model")
    return NO_THOUGHT if _THINKS_UNASKED.search(model) or not _TAKES_NO_BUDGET.search(model) else None


def _room(effort: str) -> int:
    """Tokens of thought that a word for effort is."""
    wanted = BUDGETS.get(effort)
    if wanted is None:
        raise malformed(("reasoning_effort",), f"must be `none`, {', '.join(f'`{word}`' for word in BUDGETS)}")
    return wanted


def _budget(effort: str, limit: int | None) -> int:
    wanted = _room(effort)
    if limit is None:
        return wanted
    budget = min(wanted, int(limit * _THOUGHT_SHARE_MAX))
    if budget < BUDGET_MIN:
        why = f"needs {BUDGET_MIN} tokens of thought at the least, and the answer may not be so long"
        raise refuse(("reasoning_effort",), why)
    return budget


def _thinks(thinking: Any, model: str) -> int:
    """Tokens of thought to be left room for."""
    if not isinstance(thinking, Mapping):
        return BUDGETS[_EFFORT_DEFAULT] if _THINKS_UNASKED.search(model) else 0
    budget = thinking.get("budget_tokens")
    if isinstance(budget, int):
        return budget
    return BUDGETS[_EFFORT_DEFAULT] if thinking.get("type") == "adaptive" else 0


def _tools(body: Mapping[str, Any]) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    if tools := given(list, body, "tools", ()):
        asked["tools"] = [_tool(tool, ("tools", at)) for at, tool in enumerate(tools)]
    choice = tool_choice(body)
    made: dict[str, Any] = {}
    if choice is not None:
        made = {"type": "tool", "name": choice.name} if choice.name else {"type": _CHOICES[choice.mode]}
    if given(bool, body, "parallel_tool_calls", ()) is False and tools and made.get("type") != "none":
        made = {"type": "auto", **made, "disable_parallel_tool_use": True}
    return {**asked, "tool_choice": made} if made else asked


def _tool(value: Any, path: Path) -> dict[str, Any]:
    if isinstance(value, dict) and value.get("type") not in (None, "function", "custom"):
        return value  # The provider's own, by its own name.
    tool = function_tool(value, path)
    made: dict[str, Any] = {"name": tool.name, "input_schema": tool.parameters}
    if tool.description is not None:
        made["description"] = tool.description
    if tool.strict is not None:
        made["strict"] = tool.strict
    return _hinted(made, tool.hint)


def _rest(body: Mapping[str, Any], left_out: set[str]) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    metadata = given(dict, body, "metadata", ())
    user = given(str, body, "user", ())
    identifier = given(str, body, "safety_identifier", ())
    if metadata is not None and metadata.keys() == {"user_id"}:
        user = user or metadata["user_id"]
    elif metadata:
        left_out.add("metadata")
    if user is not None and identifier is not None:
        left_out.add("safety_identifier")
    if user is not None or identifier is not None:
        asked["metadata"] = {"user_id": user if user is not None else identifier}
    if (tier := given(str, body, "service_tier", ())) is not None:
        if tier not in _TIERS:
            raise refuse(("service_tier",))
        asked["service_tier"] = _TIERS[tier]
    return asked
