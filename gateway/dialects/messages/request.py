"""A request of the messages dialect as the chat that asks the same (pure)."""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

from gateway.dialects.chat import Asked, Hints
from gateway.dialects.messages.content import asked_by_user, said_by_assistant, texts
from gateway.providers.base import Place
from gateway.providers.chat import SCHEMA_UNNAMED
from gateway.providers.fields import Path, given, malformed, must_be, needed, of, only, unsayable

FIELDS = frozenset(
    "model messages system max_tokens stop_sequences stream temperature top_p top_k tools tool_choice metadata "
    "thinking output_config service_tier".split()
)
"""What a request may say that a chat can say too. `thinking` and `top_k` go on under their own names."""

NAMES: Mapping[str, tuple[str, ...]] = {
    "stop": ("/stop_sequences",),
    "user": ("/metadata/user_id",),
    "parallel_tool_calls": ("/tool_choice/disable_parallel_tool_use",),
    "reasoning_effort": ("/output_config/effort",),
    "response_format": ("/output_config/format",),
    "max_completion_tokens": ("/max_tokens",),
}
"""Where else than under its own name something of a chat was said."""

USER_CHARS_MAX = 64
"""OpenAI takes no longer end user, others twice as much. This dialect has 256, and clients use most of them."""
_SAME = ("temperature", "top_p", "top_k", "thinking", "stream")
_FORGETS_NOTHING = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
"""What Claude Code says of every conversation with thoughts in it; a chat is read whole anyway."""
_TIERS = {"auto": "auto", "standard_only": "default"}
_TOOL_FIELDS = frozenset("name description input_schema strict type cache_control".split())
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def to_chat(body: Mapping[str, Any], place: Place, *, counts_only: bool = False) -> Asked:
    """`counts_only`: it is asked how long it is, and need not say how long the answer may be. Raises Untranslatable."""
    hints = Hints(place)
    rest = {name: value for name, value in body.items() if name != "cache_control"}
    if rest.get("context_management") == _FORGETS_NOTHING:
        del rest["context_management"]
    only(rest, FIELDS, ())
    hints.leave_out(body)
    said = [*_messages(body, hints)]
    chat: dict[str, Any] = {"model": body.get("model"), "messages": [message for _, message in said]}
    for name in _SAME:
        if body.get(name) is not None:
            chat[name] = body[name]
    if not counts_only:
        limit = needed(int, body, "max_tokens", ())
        if limit < 1:
            raise unsayable(("max_tokens",), "asks for no answer at all, which has no counterpart in a chat")
        chat[place.limit_name] = limit
    if stops := given(list, body, "stop_sequences", ()):  # Of an empty list hosts of chats say that it is too short.
        chat["stop"] = [of(str, stop, ("stop_sequences", at)) for at, stop in enumerate(stops)]
    chat |= _tools(body, hints)
    chat |= _rest(body)
    return Asked(chat, tuple(source for source, _ in said), hints.left_out)


def _messages(body: Mapping[str, Any], hints: Hints) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Each with the place that it is from."""
    if (system := body.get("system")) is not None and system != []:
        yield ("system",), {"role": "system", "content": texts(system, ("system",), hints)}
    for at, value in enumerate(needed(list, body, "messages", ())):
        path: Path = ("messages", at)
        turn = of(dict, value, path)
        only(turn, ("role", "content"), path)
        content = turn.get("content")
        if not isinstance(content, str | list):
            raise malformed((*path, "content"), "must be a string or a list of blocks")
        match turn.get("role"):
            case "user":
                for message in asked_by_user(content, (*path, "content"), hints):
                    yield path, message
            case "assistant":
                yield path, said_by_assistant(content, (*path, "content"), hints)
            case "system":
                yield path, {"role": "system", "content": texts(content, (*path, "content"), hints)}
            case _:
                raise malformed((*path, "role"), "must be `user`, `assistant` or `system`")


def _tools(body: Mapping[str, Any], hints: Hints) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    if tools := given(list, body, "tools", ()):
        asked["tools"] = [_tool(tool, ("tools", at), hints) for at, tool in enumerate(tools)]
    choice = given(dict, body, "tool_choice", ())
    if choice is None:
        return asked
    path: Path = ("tool_choice",)
    only(choice, ("type", "name", "disable_parallel_tool_use"), path)
    kind = needed(str, choice, "type", path)
    if kind == "tool":
        asked["tool_choice"] = {"type": "function", "function": {"name": needed(str, choice, "name", path)}}
    elif kind in _CHOICES:
        asked["tool_choice"] = _CHOICES[kind]
    else:
        raise malformed((*path, "type"), "must be `auto`, `any`, `tool` or `none`")
    if given(bool, choice, "disable_parallel_tool_use", path):
        asked["parallel_tool_calls"] = False
    return asked


def _tool(value: Any, path: Path, hints: Hints) -> dict[str, Any]:
    tool = of(dict, value, path)
    if tool.get("type") not in (None, "custom"):
        raise unsayable((*path, "type"), "is a tool of one provider's own")
    must_be(tool, "defer_loading", (False,), path)
    must_be(tool, "eager_input_streaming", (False,), path)
    if tool.get("allowed_callers") not in (None, ["direct"]):
        raise unsayable((*path, "allowed_callers"))
    rest = {name: v for name, v in tool.items() if name not in _NOTHING_BY_DEFAULT}
    only(rest, _TOOL_FIELDS, path)
    function: dict[str, Any] = {"name": needed(str, tool, "name", path)}
    if (description := given(str, tool, "description", path)) is not None:
        function["description"] = description
    schema = needed(dict, tool, "input_schema", path)
    if schema.get("type") == "object" and "properties" not in schema:
        schema = {**schema, "properties": {}}  # It says the same, and OpenAI takes no object without.
    function["parameters"] = schema
    if (strict := given(bool, tool, "strict", path)) is not None:
        function["strict"] = strict
    return hints.kept(tool, {"type": "function", "function": function})


_NOTHING_BY_DEFAULT = ("defer_loading", "eager_input_streaming", "allowed_callers")


def _rest(body: Mapping[str, Any]) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    if (metadata := given(dict, body, "metadata", ())) is not None:
        only(metadata, ("user_id",), ("metadata",))
        if (user := given(str, metadata, "user_id", ("metadata",))) is not None:
            # The digest of a name says as well that it is the same user again.
            asked["user"] = user if len(user) <= USER_CHARS_MAX else sha256(user.encode()).hexdigest()
    if (tier := given(str, body, "service_tier", ())) is not None:
        if tier not in _TIERS:
            raise malformed(("service_tier",), "must be `auto` or `standard_only`")
        asked["service_tier"] = _TIERS[tier]
    if (output := given(dict, body, "output_config", ())) is not None:
        path: Path = ("output_config",)
        only(output, ("effort", "format"), path)
        if (effort := given(str, output, "effort", path)) is not None:
            asked["reasoning_effort"] = effort
        if (format_ := given(dict, output, "format", path)) is not None:
            only(format_, ("type", "schema"), (*path, "format"))
            if format_.get("type") != "json_schema":
                raise malformed((*path, "format", "type"), "must be `json_schema`")
            schema = needed(dict, format_, "schema", (*path, "format"))
            json_schema = {"name": SCHEMA_UNNAMED, "schema": schema, "strict": True}
            asked["response_format"] = {"type": "json_schema", "json_schema": json_schema}
    return asked
