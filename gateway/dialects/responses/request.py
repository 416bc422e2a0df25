"""A request of the responses dialect as the chat that asks the same (pure). Nothing is kept between calls."""

from collections.abc import Mapping
from typing import Any

from gateway.dialects.chat import Asked, Hints
from gateway.dialects.responses.items import messages
from gateway.providers.base import Place
from gateway.providers.fields import Path, given, malformed, must_be, needed, of, only, unsayable

FIELDS = frozenset(
    "model input instructions max_output_tokens stream temperature top_p top_logprobs metadata user safety_identifier "
    "prompt_cache_key prompt_cache_retention service_tier parallel_tool_calls reasoning text tools tool_choice include "
    "store background truncation stream_options".split()
)
"""What a request may say that a chat can say too, or that asks for what happens anyway."""

NAMES: Mapping[str, tuple[str, ...]] = {
    "messages": ("/input",),
    "logprobs": ("/top_logprobs", "/include"),
    "verbosity": ("/text/verbosity",),
    "reasoning_effort": ("/reasoning/effort",),
    "response_format": ("/text/format",),
    "max_tokens": ("/max_output_tokens",),
    "max_completion_tokens": ("/max_output_tokens",),
}
"""Where else than under its own name something of a chat was said."""

LOGPROBS = "message.output_text.logprobs"
SEALED_THOUGHTS = "reasoning.encrypted_content"
"""Thoughts come with whatever seals their provider gave them, asked for or not."""

_SAME = tuple(
    "stream temperature top_p top_logprobs user safety_identifier prompt_cache_key prompt_cache_retention "
    "service_tier".split()
)
_WITHOUT_TOOLS = ("auto", "none")
"""Ways to choose among tools that ask for nothing where there are none. Chats may not say them then."""
_STATELESS = "asks for something that is kept between calls, which this gateway does not do for another dialect's sake"


def to_chat(body: Mapping[str, Any], place: Place) -> Asked:
    """Raises Untranslatable."""
    hints = Hints(place)
    for name in ("previous_response_id", "conversation", "prompt"):
        if body.get(name) is not None:
            raise unsayable((name,), _STATELESS)
    if given(bool, body, "store", ()):
        raise unsayable(("store",), _STATELESS)
    only(body, FIELDS, ())
    must_be(body, "background", (False,), ())
    must_be(body, "truncation", ("disabled",), ())
    if (options := given(dict, body, "stream_options", ())) is not None:
        only(options, ("include_obfuscation",), ("stream_options",))
        must_be(options, "include_obfuscation", (False,), ("stream_options",))
    for name, value in (given(dict, body, "metadata", ()) or {}).items():
        of(str, value, ("metadata", name))  # It is only said again in the answer.
    said = messages(body, hints)
    chat: dict[str, Any] = {"model": body.get("model"), "messages": [message for _, message in said]}
    for name in _SAME:
        if body.get(name) is not None:
            chat[name] = body[name]
    if (limit := given(int, body, "max_output_tokens", ())) is not None:
        chat[place.limit_name] = limit
    chat |= _included(body)
    chat |= _reasoning(body)
    chat |= _text(body)
    chat |= _tools(body)
    return Asked(chat, tuple(source for source, _ in said), hints.left_out)


def _included(body: Mapping[str, Any]) -> dict[str, Any]:
    wanted = given(list, body, "include", ()) or []
    for at, name in enumerate(wanted):
        if name not in (LOGPROBS, SEALED_THOUGHTS):
            raise unsayable(("include", at))
    return {"logprobs": True} if LOGPROBS in wanted or body.get("top_logprobs") else {}


def _reasoning(body: Mapping[str, Any]) -> dict[str, Any]:
    reasoning = given(dict, body, "reasoning", ())
    if reasoning is None:
        return {}
    path: Path = ("reasoning",)
    only(reasoning, ("effort", "summary", "generate_summary", "context", "mode"), path)
    for name, usual in (("summary", "auto"), ("generate_summary", "auto"), ("context", "auto"), ("mode", "standard")):
        must_be(reasoning, name, (usual,), path)
    effort = given(str, reasoning, "effort", path)
    return {} if effort is None else {"reasoning_effort": effort}


def _text(body: Mapping[str, Any]) -> dict[str, Any]:
    text = given(dict, body, "text", ())
    if text is None:
        return {}
    path: Path = ("text",)
    only(text, ("format", "verbosity"), path)
    asked: dict[str, Any] = {}
    if (verbosity := given(str, text, "verbosity", path)) is not None:
        asked["verbosity"] = verbosity
    format_ = given(dict, text, "format", path)
    if format_ is None:
        return asked
    match format_.get("type"):
        case "text":
            only(format_, ("type",), (*path, "format"))
        case "json_object":
            only(format_, ("type",), (*path, "format"))
            asked["response_format"] = {"type": "json_object"}
        case "json_schema":
            only(format_, ("type", "name", "schema", "strict", "description"), (*path, "format"))
            needed(str, format_, "name", (*path, "format"))
            needed(dict, format_, "schema", (*path, "format"))
            schema = {name: value for name, value in format_.items() if name != "type" and value is not None}
            asked["response_format"] = {"type": "json_schema", "json_schema": schema}
        case _:
            raise malformed((*path, "format", "type"), "must be `text`, `json_object` or `json_schema`")
    return asked


def _tools(body: Mapping[str, Any]) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    if tools := given(list, body, "tools", ()):
        asked["tools"] = [_tool(tool, ("tools", at)) for at, tool in enumerate(tools)]
        if body.get("parallel_tool_calls") is not None:
            asked["parallel_tool_calls"] = body["parallel_tool_calls"]
    choice = body.get("tool_choice")
    if choice is None or (not tools and choice in _WITHOUT_TOOLS):
        return asked
    path: Path = ("tool_choice",)
    if isinstance(choice, str):
        if choice not in ("auto", "none", "required"):
            raise malformed(path, "must be `auto`, `none`, `required` or an object")
        return {**asked, "tool_choice": choice}
    return {**asked, "tool_choice": _choice(of(dict, choice, path), path)}


def _choice(choice: Mapping[str, Any], path: Path) -> dict[str, Any]:
    kind = choice.get("type")
    if kind in ("function", "custom"):
        only(choice, ("type", "name"), path)
        return {"type": kind, kind: {"name": needed(str, choice, "name", path)}}
    if kind == "allowed_tools":
        only(choice, ("type", "mode", "tools"), path)
        allowed = [
            _choice(of(dict, tool, (*path, "tools", at)), (*path, "tools", at))
            for at, tool in enumerate(needed(list, choice, "tools", path))
        ]
        return {"type": kind, kind: {"mode": needed(str, choice, "mode", path), "tools": allowed}}
    raise unsayable((*path, "type"), "names a tool that only some providers run")


def _tool(value: Any, path: Path) -> dict[str, Any]:
    tool = of(dict, value, path)
    kind = tool.get("type")
    if tool.get("allowed_callers") not in (None, ["direct"]):
        raise unsayable((*path, "allowed_callers"))
    must_be(tool, "defer_loading", (False,), path)
    must_be(tool, "async", (False,), path)
    rest = {name: v for name, v in tool.items() if name not in ("allowed_callers", "defer_loading", "async")}
    if kind == "function":
        only(rest, ("type", "name", "description", "parameters", "strict"), path)
        needed(str, tool, "name", path)
        given(dict, tool, "parameters", path)
        function = {name: v for name, v in rest.items() if name != "type" and v is not None}
        return {"type": "function", "function": function}
    if kind == "custom":
        only(rest, ("type", "name", "description", "format"), path)
        needed(str, tool, "name", path)
        custom = {name: v for name, v in rest.items() if name != "type" and v is not None}
        if (format_ := given(dict, tool, "format", path)) is not None and format_.get("type") == "grammar":
            grammar = {name: v for name, v in format_.items() if name != "type"}
            custom["format"] = {"type": "grammar", "grammar": grammar}
        return {"type": "custom", "custom": custom}
    raise unsayable((*path, "type"), "names a tool that only some providers run")
