"""Turns of content blocks as messages of a chat (pure)."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from gateway.dialects.chat import Hints, simplest, text_part
from gateway.providers.base import Untranslatable
from gateway.providers.body import word
from gateway.providers.fields import Path, given, malformed, must_be, needed, of, only, unsayable
from gateway.providers.signatures import UNSIGNED, is_marked

FAILED = "The tool failed:"
"""Said before the result of a tool that failed: a chat has no other way to tell."""
_PDF = "application/pdf"

Parts = list[dict[str, Any]]


def texts(content: Any, path: Path, hints: Hints) -> str | Parts:
    """A system's words: a string, or blocks of text."""
    if isinstance(content, str):
        return content
    return simplest([_text(of(dict, block, (*path, at)), (*path, at), hints) for at, block in _each(content, path)])


def asked_by_user(content: str | list[Any], path: Path, hints: Hints) -> Iterator[dict[str, Any]]:
    """Results of tools are messages of their own; what stands between them is the user's."""
    if isinstance(content, str):
        yield {"role": "user", "content": content}
        return
    parts: Parts = []
    for at, value in enumerate(content):
        block = of(dict, value, (*path, at))
        if block.get("type") != "tool_result":
            parts += _parts(block, (*path, at), hints)
            continue
        if parts:
            yield {"role": "user", "content": simplest(parts)}
            parts = []
        yield _result(block, (*path, at), hints)
    if parts or not content:
        yield {"role": "user", "content": simplest(parts)}


def said_by_assistant(content: str | list[Any], path: Path, hints: Hints) -> dict[str, Any]:
    if isinstance(content, str):
        return {"role": "assistant", "content": content}
    said: Parts = []
    thoughts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for at, value in enumerate(content):
        place = (*path, at)
        block = of(dict, value, place)
        match block.get("type"):
            case "text":
                said.append(_text(block, place, hints))
            case "thinking":
                only(block, ("type", "thinking", "signature"), place)
                signature = given(str, block, "signature", place)
                thoughts.append(
                    {
                        "type": "thinking",
                        "thinking": needed(str, block, "thinking", place),
                        "signature": signature if signature and signature != UNSIGNED else "",
                    }
                )
            case "redacted_thinking":
                only(block, ("type", "data"), place)
                thoughts.append({"type": "redacted_thinking", "data": needed(str, block, "data", place)})
            case "tool_use":
                calls.append(_call(block, place, hints))
            case _:
                raise _unknown(block, place)
    message: dict[str, Any] = {"role": "assistant", "content": simplest(said) if said else None}
    if not said and not calls:
        message["content"] = ""
    return {**message, **_thought(thoughts), **({"tool_calls": calls} if calls else {})}


def without_marked(body: Mapping[str, Any]) -> dict[str, Any]:
    """A turn of nothing else goes with them: nobody takes one that is empty. Nor a budget of thought for a turn that is
    to go on behind a tool's result, and is left without the thought that it began with.
    """
    messages = body.get("messages")
    if not isinstance(messages, list):
        return {}
    kept = [_unmarked(turn) for turn in messages]
    if all(turn is before for turn, before in zip(kept, messages, strict=True)):
        return {}
    changed: dict[str, Any] = {"messages": [turn for turn in kept if turn is not None]}
    thinking = body.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") == "enabled" and _goes_on_unthought(changed["messages"]):
        changed["thinking"] = {"type": "disabled"}
    return changed


def _goes_on_unthought(messages: list[Any]) -> bool:
    if not messages or "tool_result" not in _kinds(messages[-1]):
        return False
    for turn in reversed(messages[:-1]):
        kinds = _kinds(turn)
        if isinstance(turn, dict) and turn.get("role") == "user" and kinds != {"tool_result"}:
            break
        if kinds & {"thinking", "redacted_thinking"}:
            return False
    return True


def _kinds(turn: Any) -> set[Any]:
    """Of its blocks."""
    content = turn.get("content") if isinstance(turn, dict) else None
    return (
        {word(block.get("type")) for block in content if isinstance(block, dict)}
        if isinstance(content, list)
        else set()
    )


def _unmarked(turn: Any) -> Any:
    content = turn.get("content") if isinstance(turn, dict) else None
    if not isinstance(content, list):
        return turn
    kept = [block for block in content if not (isinstance(block, dict) and is_marked(block.get("signature")))]
    if len(kept) == len(content):
        return turn
    return {**turn, "content": kept} if kept else None


def _thought(thoughts: list[dict[str, Any]]) -> dict[str, Any]:
    """Under the names that hosts know: signed thoughts as blocks, plain ones as text."""
    if not thoughts:
        return {}
    if any(thought.get("signature") or "data" in thought for thought in thoughts):
        return {"content_blocks": thoughts}
    return {"reasoning_content": "".join(thought["thinking"] for thought in thoughts)}


def _call(block: Mapping[str, Any], path: Path, hints: Hints) -> dict[str, Any]:
    only(block, ("type", "id", "name", "input", "caller", "cache_control"), path)
    if block.get("caller") not in (None, {"type": "direct"}):
        raise unsayable((*path, "caller"))
    try:
        arguments = orjson.dumps(needed(dict, block, "input", path)).decode()
    except orjson.JSONEncodeError:
        raise malformed((*path, "input"), "is nested too deep") from None
    function = {"name": needed(str, block, "name", path), "arguments": arguments}
    return hints.kept(block, {"id": needed(str, block, "id", path), "type": "function", "function": function})


def _result(block: Mapping[str, Any], path: Path, hints: Hints) -> dict[str, Any]:
    only(block, ("type", "tool_use_id", "content", "is_error", "cache_control"), path)
    content = block.get("content")
    if isinstance(content, str):
        parts: Parts = [text_part(content)]
    else:
        parts = []
        for at, value in _each([] if content is None else content, (*path, "content")):
            place = (*path, "content", at)
            parts += _parts(of(dict, value, place), place, hints)
    if given(bool, block, "is_error", path):
        parts = [text_part(FAILED), *parts]
    message = {"role": "tool", "tool_call_id": needed(str, block, "tool_use_id", path)}
    return hints.kept(block, {**message, "content": simplest(parts) if parts else ""})


def _parts(block: Mapping[str, Any], path: Path, hints: Hints) -> Parts:
    """What a user's block is in a chat: one part, or several where it holds blocks itself."""
    match block.get("type"):
        case "text":
            return [_text(block, path, hints)]
        case "image":
            return [_image(block, path, hints)]
        case "document":
            return _document(block, path, hints)
    raise _unknown(block, path)


def _text(block: Mapping[str, Any], path: Path, hints: Hints) -> dict[str, Any]:
    if block.get("type") != "text":
        raise _unknown(block, path)
    only(block, ("type", "text", "cache_control", "citations"), path)
    if block.get("citations"):
        raise unsayable((*path, "citations"))
    return hints.kept(block, text_part(needed(str, block, "text", path)))


def _image(block: Mapping[str, Any], path: Path, hints: Hints) -> dict[str, Any]:
    only(block, ("type", "source", "cache_control"), path)
    source = needed(dict, block, "source", path)
    place = (*path, "source")
    match source.get("type"):
        case "base64":
            only(source, ("type", "media_type", "data"), place)
            url = _data_url(needed(str, source, "media_type", place), needed(str, source, "data", place))
        case "url":
            only(source, ("type", "url"), place)
            url = needed(str, source, "url", place)
        case _:
            raise unsayable((*place, "type"), "names something that is kept at one provider")
    return hints.kept(block, {"type": "image_url", "image_url": {"url": url}})


def _document(block: Mapping[str, Any], path: Path, hints: Hints) -> Parts:
    only(block, ("type", "source", "title", "citations", "cache_control"), path)
    if (citations := given(dict, block, "citations", path)) is not None:
        must_be(citations, "enabled", (False,), (*path, "citations"))
    source = needed(dict, block, "source", path)
    place = (*path, "source")
    title = given(str, block, "title", path)
    match source.get("type"):
        case "base64":
            only(source, ("type", "media_type", "data"), place)
            if source.get("media_type") != _PDF:
                raise malformed((*place, "media_type"), f"must be `{_PDF}`")
            data = _data_url(_PDF, needed(str, source, "data", place))
            file = {"filename": title or "document.pdf", "file_data": data}
            return [hints.kept(block, {"type": "file", "file": file})]
        case "text":
            only(source, ("type", "media_type", "data"), place)
            parts = [text_part(needed(str, source, "data", place))]
        case "content":
            only(source, ("type", "content"), place)
            parts = _held(source.get("content"), (*place, "content"), hints)
        case _:
            raise unsayable((*place, "type"), "names something that is kept elsewhere")
    if title is not None:
        raise unsayable((*path, "title"), "of a document that is text has no counterpart in a chat")
    if parts:
        parts[-1] = hints.kept(block, parts[-1])
    return parts


def _held(content: Any, path: Path, hints: Hints) -> Parts:
    """What a document holds that is made of blocks."""
    if isinstance(content, str):
        return [text_part(content)]
    parts: Parts = []
    for at, value in _each(content, path):
        block = of(dict, value, (*path, at))
        if block.get("type") not in ("text", "image"):
            raise _unknown(block, (*path, at))
        parts += _parts(block, (*path, at), hints)
    return parts


def _each(content: Any, path: Path) -> Iterator[tuple[int, Any]]:
    if not isinstance(content, list):
        raise malformed(path, "must be a string or a list of blocks")
    return enumerate(content)


def _data_url(media_type: str, data: str) -> str:
    return f"data:{media_type};base64,{data}"


def _unknown(block: Mapping[str, Any], path: Path) -> Untranslatable:
    kind = block.get("type")
    if not isinstance(kind, str):
        return malformed((*path, "type"), "must name the kind of the block")
    return unsayable((*path, "type"), f"names a block, {kind!r}, that has no counterpart in a chat here")
