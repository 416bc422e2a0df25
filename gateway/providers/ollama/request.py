"""A chat as a request of Ollama's API (pure). Source: https://docs.ollama.com/api/chat, and its modelfiles' options."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.providers.chat import (
    Conversation,
    Image,
    Part,
    Text,
    Thought,
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
)
from gateway.providers.fields import given

OPTIONS = frozenset(
    "temperature top_p top_k min_p typical_p seed presence_penalty frequency_penalty repeat_penalty repeat_last_n "
    "penalize_newline mirostat mirostat_tau mirostat_eta tfs_z stop num_predict num_ctx num_keep num_batch num_gpu "
    "main_gpu num_thread numa low_vram use_mmap use_mlock".split()
)
"""What the runner takes; of any other word it would say nothing. Callers give them as `options` or beside the rest."""
_SAME = frozenset("model stream think keep_alive logprobs top_logprobs".split())
"""Both sides' under one name: chat's own, and those that only this side knows."""
_READ = frozenset(
    "messages stop max_tokens max_completion_tokens tools response_format reasoning_effort thinking stream_options "
    "options".split()
)
_LEFT_OUT = frozenset("user safety_identifier metadata prompt_cache_key prompt_cache_retention prediction".split())
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "tool_choice": ("auto",),
    "parallel_tool_calls": (True,),
    "logit_bias": ({},),
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
_KNOWN = _SAME | _READ | OPTIONS | _NEUTRAL.keys()
_EFFORTS = {"none": False, "low": "low", "medium": "medium", "high": "high"}
_BETWEEN_TEXTS = "\n\n"
"""As the server itself joins messages of one role."""


def to_api_chat(body: Mapping[str, Any]) -> tuple[dict[str, Any], frozenset[str]]:
    """The request, and the names of what was left out of it. Raises Untranslatable."""
    refuse_all(body, _NEUTRAL)
    left_out = advice_in(body, _KNOWN, _LEFT_OUT)
    said = conversation(body, maker=None)
    asked: dict[str, Any] = {name: value for name in _SAME if (value := body.get(name)) is not None}
    # Who says nothing of streams is sent one.
    asked["stream"] = asked.get("stream") is True
    asked["messages"] = [*_messages(said)]
    if options := options_of(body):
        asked["options"] = options
    if tools := given(list, body, "tools", ()):
        asked["tools"] = [_tool(value, at) for at, value in enumerate(tools)]
    asked |= _form(body, left_out)
    asked |= _think(body, left_out)
    return asked, frozenset(left_out | said.left_out | hints_in(said, body) | strictness_in(body))


def options_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """Of a request of any kind. Raises Untranslatable."""
    given_options = given(dict, body, "options", ()) or {}
    for name in given_options:
        if name not in OPTIONS:
            raise refuse(("options", name))
    options = {**given_options, **{name: value for name in OPTIONS if (value := body.get(name)) is not None}}
    if (limit := tokens_max(body)) is not None:
        options["num_predict"] = limit
    if stop := stops(body):
        options["stop"] = stop
    return options


def _messages(said: Conversation) -> Iterator[dict[str, Any]]:
    for text in said.system:
        yield {"role": "system", "content": text.text}
    names: dict[str, str] = {}
    for turn in said.turns:
        names |= {part.id: part.name for part in turn.parts if isinstance(part, ToolUse)}
        yield from _turn(turn, names)


def _turn(turn: Turn, names: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    if turn.role == "assistant":
        yield _assistant(turn.parts)
        return
    for part in turn.parts:
        if isinstance(part, ToolResult):
            result = {"role": "tool", "content": "".join(_texts(part.parts)), "tool_call_id": part.id}
            yield result if part.id not in names else {**result, "tool_name": names[part.id]}
    if said := [part for part in turn.parts if not isinstance(part, ToolResult)]:
        yield _user(said)


def _user(parts: Sequence[Part]) -> dict[str, Any]:
    """A message is one text, and pictures that the model sees before it."""
    pictures = [_picture(part) for part in parts if isinstance(part, Image)]
    text = _BETWEEN_TEXTS.join(_texts([part for part in parts if not isinstance(part, Image)]))
    return {"role": "user", "content": text, "images": pictures} if pictures else {"role": "user", "content": text}


def _picture(image: Image) -> str:
    if not image.data:
        raise refuse((*image.path, "image_url", "url"), "is an address, and this provider fetches none: send the data")
    return image.data


def _assistant(parts: Sequence[Part]) -> dict[str, Any]:
    texts, thoughts, calls = [], [], []
    for part in parts:
        match part:
            case Thought():
                thoughts.append(part.text)
            case Text():
                texts.append(part.text)
            case ToolUse():
                calls.append({"id": part.id, "function": {"name": part.name, "arguments": part.input}})
    made: dict[str, Any] = {"role": "assistant", "content": "".join(texts)}
    if thoughts:
        made["thinking"] = "".join(thoughts)
    if calls:
        made["tool_calls"] = calls
    return made


def _texts(parts: Sequence[Part]) -> Iterator[str]:
    for part in parts:
        if not isinstance(part, Text):
            raise refuse((*part.path, "type"), "is nothing that this provider reads there")
        yield part.text


def _tool(value: Any, at: int) -> dict[str, Any]:
    tool = function_tool(value, ("tools", at))
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.parameters}
    if tool.description is not None:
        function["description"] = tool.description
    return {"type": "function", "function": function}


def _form(body: Mapping[str, Any], left_out: set[str]) -> dict[str, Any]:
    if is_json_object(body):
        return {"format": "json"}
    schema = json_schema(body)
    return {} if schema is None else {"format": described_schema(schema, left_out)}


def _think(body: Mapping[str, Any], left_out: set[str]) -> dict[str, Any]:
    """By a word for effort, or as the door of messages asks for it; whoever uses the provider's own decides by that."""
    effort = given(str, body, "reasoning_effort", ())
    if body.get("think") is not None:
        left_out |= {name for name in ("reasoning_effort", "thinking") if body.get(name) is not None}
        return {}
    if effort is not None:
        if body.get("thinking") is not None:
            left_out.add("thinking")
        if effort not in _EFFORTS:
            raise refuse(("reasoning_effort",), "is none of the efforts that this provider knows")
        return {"think": _EFFORTS[effort]}
    asked = thinking(body, left_out)
    if asked is None:
        return {}
    if asked.get("budget_tokens") is not None:
        left_out.add("budget_tokens")
    return {"think": asked.get("type") != "disabled"}
