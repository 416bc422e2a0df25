"""A chat as a request of Converse (pure). Source: Amazon Bedrock API reference, Converse."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from gateway.providers.anthropic.request import NO_THOUGHT, lost_its_thought, thought
from gateway.providers.base import Untranslatable
from gateway.providers.chat import (
    PLAIN_ID,
    Audio,
    Conversation,
    File,
    Image,
    Part,
    Text,
    Thought,
    ToolResult,
    ToolUse,
    conversation,
    function_tool,
    json_schema,
    plain_id,
    refuse,
    refuse_all,
    stops,
    tokens_max,
    tool_choice,
)
from gateway.providers.fields import Path, given

_OWN: Mapping[str, type[Any]] = {
    "guardrailConfig": dict,
    "performanceConfig": dict,
    "promptVariables": dict,
    "additionalModelResponseFieldPaths": list,
    "requestMetadata": dict,
}
"""What only this side knows, under its own names."""
_MODELS = ("thinking", "top_k", "anthropic_beta")
"""Fields that some models know and Converse passes on to them unread."""
_READ = frozenset(
    "model messages stream stream_options stop max_tokens max_completion_tokens temperature top_p tools tool_choice "
    "parallel_tool_calls response_format reasoning_effort service_tier metadata additionalModelRequestFields".split()
)
_LEFT_OUT = frozenset(
    {"user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "prediction", "cache_control"}
)
"""Who asks, and advice on caches and speed: it changes no answer."""
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "seed": (),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "parallel_tool_calls": (True,),
    "modalities": (["text"],),
    "audio": (),
    "functions": (),
    "function_call": (),
    "verbosity": ("medium",),
    "store": (False,),
    "web_search_options": (),
}
"""What this provider cannot do, and the values that ask for nothing."""
_TIERS = ("default", "flex", "priority")
_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_SOUNDS = frozenset("mp3 opus wav aac flac mp4 ogg m4a pcm webm".split())
_WORD = "application/vnd.openxmlformats-officedocument"
_DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    f"{_WORD}.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    f"{_WORD}.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_NOT_IN_A_NAME = re.compile(r"[^0-9A-Za-z()\[\]-]+")
"""Spaces among it: there may be one between two signs, not more."""
_NAME_CHARS_MAX = 200
_NO_TOOL = {
    "toolSpec": {
        "name": "nothing",
        "description": "Does nothing, and is never to be called.",
        "inputSchema": {"json": {"type": "object", "properties": {}}},
    }
}
"""The one tool of a call that brings none while its history tells of tools, which Converse refuses without any."""
_CLAUDE = "anthropic."
"""In the names of models that take no thought without a signature, and fewer ids of calls than Converse does."""
_BEGINS_ANYHOW = re.compile(r"(?:^|[./])(?:anthropic|qwen)\.")
"""In the names of models to whom a conversation may begin with what they said: the others take none without a user."""
_A_TEXT = {"text": "."}
"""Where there has to be one: it must say something."""
_BEGUN = {"role": "user", "content": [_A_TEXT]}
"""What the user says before them then."""
_CALL_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_EFFORTS = {"minimal": "low"}
"""Words for effort that are others here."""


def to_converse(body: Mapping[str, Any]) -> tuple[dict[str, Any], frozenset[str]]:
    """The request without its model, and the names of what was left out of it. Raises Untranslatable."""
    refuse_all(body, _NEUTRAL)
    left_out: set[str] = set()
    for name, value in body.items():
        if value is None or name in _READ or name in _OWN or name in _MODELS or name in _NEUTRAL:
            continue
        if name not in _LEFT_OUT:
            raise refuse((name,))
        left_out.add(name)
    is_claude = _CLAUDE in body["model"]
    said = conversation(body, unsigned=not is_claude, blanks=False)
    for part in (part for turn in said.turns for part in turn.parts):
        if isinstance(part, ToolUse | ToolResult):
            part.id = plain_id(part.id, PLAIN_ID if is_claude else _CALL_ID)
    left_out |= said.left_out | _name_apart(said)
    asked: dict[str, Any] = {
        "messages": [{"role": turn.role, "content": [*_blocks(turn.parts)]} for turn in said.turns if turn.parts]
    }
    if said.turns and said.turns[0].role == "assistant" and not _BEGINS_ANYHOW.search(body["model"]):
        asked["messages"].insert(0, _BEGUN)
    if said.system:
        asked["system"] = [*_system(said)]
    fields = dict(given(dict, body, "additionalModelRequestFields", ()) or {})
    fields |= {name: body[name] for name in _MODELS if body.get(name) is not None}
    if is_claude and lost_its_thought(body, said):
        fields["thinking"] = NO_THOUGHT
        left_out.add("thinking")
    effort, limit = given(str, body, "reasoning_effort", ()), tokens_max(body)
    if is_claude and effort is not None and "thinking" not in fields:
        thinking, effort, limit = thought(effort, body["model"], limit, said, tool_choice(body), left_out)
        if thinking is not None:
            fields["thinking"] = thinking
    asked |= _inference(body, limit)
    asked |= _tools(body, said)
    asked |= _output(body, effort)
    if (tier := given(str, body, "service_tier", ())) not in (None, "auto"):
        if tier not in _TIERS:
            raise refuse(("service_tier",))
        asked["serviceTier"] = {"type": tier}
    for name, kind in _OWN.items():
        if (own := given(kind, body, name, ())) is not None:
            asked[name] = own
    if (metadata := given(dict, body, "metadata", ())) is not None:
        asked["requestMetadata"] = {**metadata, **asked.get("requestMetadata", {})}
    if fields:
        asked["additionalModelRequestFields"] = fields
    return asked, frozenset(left_out)


def _system(said: Conversation) -> Iterable[dict[str, Any]]:
    for text in said.system:
        if text.text:  # It takes none that is empty, and that says nothing.
            yield {"text": text.text}
            yield from _hint(text.hint)


def _name_apart(said: Conversation) -> set[str]:
    """Give each file a name that the provider takes, and that no other of the whole conversation has. What is then no
    longer as it was.
    """
    parts = [part for turn in said.turns for part in turn.parts]
    inner = [part for result in parts if isinstance(result, ToolResult) for part in result.parts]
    left_out: set[str] = set()
    taken: set[str] = set()
    often: dict[str, int] = {}
    """Of a name that came again: how often, at least."""
    for file in (part for part in (*parts, *inner) if isinstance(part, File)):
        said_name = file.name
        plain = _NOT_IN_A_NAME.sub(" ", said_name or "document").strip()[:_NAME_CHARS_MAX].rstrip() or "document"
        name = plain
        while name.lower() in taken:
            again = often[plain.lower()] = often.get(plain.lower(), 1) + 1
            end = f" {again}"
            name = plain[: _NAME_CHARS_MAX - len(end)].rstrip() + end
        taken.add(name.lower())
        if said_name is not None and name != said_name:
            left_out.add("filename")  # As it was: of a name only letters, digits and few signs are taken.
        file.name = name
    return left_out


def _blocks(parts: list[Part]) -> Iterable[dict[str, Any]]:
    # Nobody shows a document without a word, it says: a turn that has one has a text too.
    lacks_text = any(isinstance(part, File) for part in parts) and not any(isinstance(part, Text) for part in parts)
    # The results of tools have to stand first.
    for part in sorted(parts, key=lambda part: not isinstance(part, ToolResult)):
        if lacks_text and not isinstance(part, ToolResult):
            yield _A_TEXT
            lacks_text = False
        yield _block(part)
        yield from _hint(part.hint)
        if isinstance(part, ToolResult):
            for inner in part.parts:  # A result has no place for one inside of it.
                yield from _hint(inner.hint)


def _hint(hint: Any) -> Iterable[dict[str, Any]]:
    if isinstance(hint, Mapping):
        ttl = hint.get("ttl")
        yield {"cachePoint": {"type": "default", **({"ttl": ttl} if isinstance(ttl, str) else {})}}


def _block(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            return {"text": part.text}
        case Image():
            return {"image": _image(part)}
        case File():
            return {"document": _document(part)}
        case Audio():
            if part.format not in _SOUNDS:
                raise refuse((*part.path, "input_audio", "format"))
            return {"audio": {"format": part.format, "source": {"bytes": part.data}}}
        case ToolUse():
            return {"toolUse": {"toolUseId": part.id, "name": part.name, "input": part.input}}
        case ToolResult():
            return {"toolResult": {"toolUseId": part.id, "content": [*_results(part.parts)]}}
        case Thought():
            if part.sealed:
                return {"reasoningContent": {"redactedContent": part.sealed}}
            thought = {"text": part.text, **({"signature": part.signature} if part.signature else {})}
            return {"reasoningContent": {"reasoningText": thought}}


def _results(parts: list[Part]) -> Iterable[dict[str, Any]]:
    for part in parts:
        if not isinstance(part, Text | Image | File):
            raise refuse((*part.path, "type"), "cannot stand in a tool's result at this provider")
        if not isinstance(part, Text) or part.text:  # As of a system's: it takes no text that is empty.
            yield _block(part)


def _image(image: Image) -> dict[str, Any]:
    if image.url.startswith("s3://"):
        kind = image.url.rpartition(".")[2].lower()
        return {"format": "jpeg" if kind == "jpg" else kind, "source": {"s3Location": {"uri": image.url}}}
    if image.url:
        why = "is an address, and this provider fetches none; send the picture itself as a data URL"
        raise refuse((*image.path, "image_url", "url"), why)
    if image.media_type not in _IMAGES:
        raise refuse((*image.path, "image_url", "url"), "is no PNG, JPEG, GIF or WebP")
    return {"format": _IMAGES[image.media_type], "source": {"bytes": image.data}}


def _document(file: File) -> dict[str, Any]:
    if file.id:
        raise refuse((*file.path, "file", "file_id"), "names a file that is kept elsewhere")
    if file.media_type not in _DOCUMENTS:
        raise refuse((*file.path, "file", "file_data"), "is of a kind that this provider does not read")
    return {"format": _DOCUMENTS[file.media_type], "name": file.name, "source": {"bytes": file.data}}


def _inference(body: Mapping[str, Any], limit: int | None) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    if limit is not None:
        asked["maxTokens"] = limit
    for name, own in (("temperature", "temperature"), ("top_p", "topP")):
        if (value := body.get(name)) is not None:
            asked[own] = value
    if (stop := stops(body)) != []:
        asked["stopSequences"] = stop
    return {"inferenceConfig": asked} if asked else {}


def _tools(body: Mapping[str, Any], said: Conversation) -> dict[str, Any]:
    tools = given(list, body, "tools", ())
    choice = tool_choice(body)
    if choice is not None and choice.mode == "none":
        raise refuse(("tool_choice",), "cannot be `none` at this provider")
    if not tools:
        tells_of_tools = any(isinstance(part, ToolUse | ToolResult) for turn in said.turns for part in turn.parts)
        return {"toolConfig": {"tools": [_NO_TOOL]}} if tells_of_tools else {}
    made: list[dict[str, Any]] = []
    for at, value in enumerate(tools):
        made += _tool(value, ("tools", at))
    asked: dict[str, Any] = {"tools": made}
    if choice is not None:
        asked["toolChoice"] = (
            {"tool": {"name": choice.name}} if choice.name else {"auto": {}} if choice.mode == "auto" else {"any": {}}
        )
    return {"toolConfig": asked}


def _tool(value: Any, path: Path) -> Iterable[dict[str, Any]]:
    tool = function_tool(value, path)
    spec: dict[str, Any] = {"name": tool.name, "inputSchema": {"json": tool.parameters}}
    if tool.description:
        spec["description"] = tool.description
    if tool.strict is not None:
        spec["strict"] = tool.strict
    yield {"toolSpec": spec}
    yield from _hint(tool.hint)


def _output(body: Mapping[str, Any], effort: str | None) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if (form := json_schema(body)) is not None:
        schema: dict[str, Any] = {"schema": _text_of(form["schema"])}
        for name in ("name", "description"):
            if (text := form.get(name)) is not None:
                schema[name] = text
        config["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": schema}}
    if effort is not None:
        config["effort"] = _EFFORTS.get(effort, effort)
    return {"outputConfig": config} if config else {}


def _text_of(schema: Any) -> str:
    try:
        return orjson.dumps(schema).decode()
    except orjson.JSONEncodeError:
        message = "`/response_format/json_schema/schema` is nested too deep"
        raise Untranslatable(message, "/response_format/json_schema/schema") from None
