"""Items of a response's input as messages of a chat (pure)."""

from collections.abc import Mapping
from typing import Any

from gateway.dialects.chat import Hints, simplest, text_part
from gateway.providers.fields import Path, given, malformed, must_be, needed, of, only, unsayable
from gateway.providers.signatures import from_responses, is_marked

Message = dict[str, Any]
Parts = list[dict[str, Any]]

_BREAKPOINT = "prompt_cache_breakpoint"
_STATUS = ("type", "id", "status")


def messages(body: Mapping[str, Any], hints: Hints) -> list[tuple[Path, Message]]:
    """Instructions, then the input; each with the place that it is from.

    What the model did between two words of others is one message, from where that begins.
    """
    made: list[tuple[Path, Message]] = []
    if (instructions := given(str, body, "instructions", ())) is not None:
        made.append((("instructions",), {"role": "system", "content": instructions}))
    given_input = body.get("input")
    if isinstance(given_input, str):
        return [*made, (("input",), {"role": "user", "content": given_input})]
    turn, begun = _Turn(), 0
    for at, value in enumerate(needed(list, body, "input", ())):
        path: Path = ("input", at)
        item = of(dict, value, path)
        if not turn.take(item, path, hints):
            made += [(("input", begun), message) for message in turn.ended()]
            turn, begun = _Turn(), at + 1
            made.append((path, _said_to_it(item, path, hints)))
    return [*made, *((("input", begun), message) for message in turn.ended())]


class _Turn:
    """What the model said, thought and called in one go."""

    def __init__(self) -> None:
        self._said: Parts | None = None
        self._thoughts: list[dict[str, Any]] = []
        self._calls: list[dict[str, Any]] = []

    def take(self, item: Mapping[str, Any], path: Path, hints: Hints) -> bool:
        """Whether the item is the model's own, and now part of the turn."""
        match item.get("type", "message"):
            case "message" if item.get("role") == "assistant":
                only(item, ("role", "content", "phase", *_STATUS), path)
                hints.leave_out(item, "phase")
                self._said = [*(self._said or []), *_assistants(item.get("content"), (*path, "content"))]
            case "reasoning":
                only(item, ("summary", "content", "encrypted_content", *_STATUS), path)
                self._thoughts += _thoughts(item, path, hints)
            case "function_call":
                only(item, ("call_id", "name", "arguments", "caller", *_STATUS), path)
                _direct(item, path)
                function = {
                    "name": needed(str, item, "name", path),
                    "arguments": needed(str, item, "arguments", path),
                }
                self._calls.append({"id": needed(str, item, "call_id", path), "type": "function", "function": function})
            case "custom_tool_call":
                only(item, ("call_id", "name", "input", "caller", *_STATUS), path)
                _direct(item, path)
                custom = {"name": needed(str, item, "name", path), "input": needed(str, item, "input", path)}
                self._calls.append({"id": needed(str, item, "call_id", path), "type": "custom", "custom": custom})
            case _:
                return False
        return True

    def ended(self) -> list[Message]:
        if self._said is None and not self._thoughts and not self._calls:
            return []
        message: Message = {"role": "assistant", "content": simplest(self._said) if self._said else None}
        if not self._said and not self._calls:
            message["content"] = ""
        if any(thought.get("signature") or "data" in thought for thought in self._thoughts):
            message["content_blocks"] = self._thoughts
        elif self._thoughts:
            message["reasoning_content"] = "".join(thought["thinking"] for thought in self._thoughts)
        if self._calls:
            message["tool_calls"] = self._calls
        return [message]


def without_marked(body: Mapping[str, Any]) -> dict[str, Any]:
    items = body.get("input")
    if not isinstance(items, list):
        return {}
    kept = [item for item in items if not (isinstance(item, dict) and is_marked(item.get("encrypted_content")))]
    return {} if len(kept) == len(items) else {"input": kept}


def _said_to_it(item: Mapping[str, Any], path: Path, hints: Hints) -> Message:
    match kind := item.get("type", "message"):
        case "message":
            only(item, ("role", "content", *_STATUS), path)
            role = item.get("role")
            if role not in ("user", "system", "developer"):
                raise malformed((*path, "role"), "must be `user`, `assistant`, `system` or `developer`")
            content = item.get("content")
            if not isinstance(content, str):
                content = simplest(_parts(content, (*path, "content"), hints))
            # Hosts that do not know a developer's words know a system's, and those that do take them for the same.
            return {"role": "user" if role == "user" else "system", "content": content}
        case "function_call_output" | "custom_tool_call_output":
            only(item, ("call_id", "output", "caller", "name", *_STATUS), path)
            _direct(item, path)
            output = item.get("output")
            if not isinstance(output, str):
                output = simplest(_parts(output, (*path, "output"), hints)) or ""
            return {"role": "tool", "tool_call_id": needed(str, item, "call_id", path), "content": output}
    if not isinstance(kind, str):
        raise malformed((*path, "type"), "must name the kind of the item")
    raise unsayable((*path, "type"), f"names an item, {kind!r}, that has no counterpart in a chat")


def _direct(item: Mapping[str, Any], path: Path) -> None:
    if item.get("caller") not in (None, {"type": "direct"}):
        raise unsayable((*path, "caller"))


def _assistants(content: Any, path: Path) -> Parts:
    if isinstance(content, str):
        return [text_part(content)]
    parts: Parts = []
    for at, value in enumerate(of(list, content, path)):
        part, place = of(dict, value, (*path, at)), (*path, at)
        match part.get("type"):
            case "output_text" | "input_text":
                # Sources and probabilities are what was said about the words; the model is not asked about them.
                only(part, ("type", "text", "annotations", "logprobs"), place)
                parts.append(text_part(needed(str, part, "text", place)))
            case "refusal":
                only(part, ("type", "refusal"), place)
                parts.append({"type": "refusal", "refusal": needed(str, part, "refusal", place)})
            case _:
                raise unsayable((*place, "type"))
    return parts


def _parts(content: Any, path: Path, hints: Hints) -> Parts:
    return [_part(of(dict, value, (*path, at)), (*path, at), hints) for at, value in enumerate(of(list, content, path))]


def _part(part: Mapping[str, Any], path: Path, hints: Hints) -> dict[str, Any]:
    match part.get("type"):
        case "input_text":
            only(part, ("type", "text", _BREAKPOINT), path)
            return _kept(part, text_part(needed(str, part, "text", path)), hints)
        case "input_image":
            only(part, ("type", "image_url", "detail", "file_id", _BREAKPOINT), path)
            if part.get("file_id") is not None:
                raise unsayable((*path, "file_id"), "names something that is kept at one provider")
            image = {"url": needed(str, part, "image_url", path)}
            if (detail := given(str, part, "detail", path)) is not None:
                image["detail"] = detail
            return _kept(part, {"type": "image_url", "image_url": image}, hints)
        case "input_file":
            only(part, ("type", "file_data", "filename", "detail", "file_id", _BREAKPOINT), path)
            must_be(part, "detail", ("auto",), path)
            if part.get("file_id") is not None:
                raise unsayable((*path, "file_id"), "names something that is kept at one provider")
            file = {"file_data": needed(str, part, "file_data", path)}
            if (name := given(str, part, "filename", path)) is not None:
                file["filename"] = name
            return _kept(part, {"type": "file", "file": file}, hints)
    raise unsayable((*path, "type"))


def _kept(part: Mapping[str, Any], made: dict[str, Any], hints: Hints) -> dict[str, Any]:
    """With the mark, if there is one, up to which the provider is advised to keep what it has read."""
    hint = part.get(_BREAKPOINT)
    if hint is None:
        return made
    if hints.place.cache_hints:
        return {**made, _BREAKPOINT: hint}
    hints.leave_out(part, _BREAKPOINT)
    return made


def _thoughts(item: Mapping[str, Any], path: Path, hints: Hints) -> list[dict[str, Any]]:
    """A reasoning item's own words, else its summary; with the seal by which its provider knows it again."""
    words = _words(item, "content", "reasoning_text", path) or _words(item, "summary", "summary_text", path)
    told = given(str, item, "encrypted_content", path) or ""
    signature, sealed = from_responses(told)
    if sealed:
        return [{"type": "redacted_thinking", "data": sealed}]
    if not is_marked(told):
        hints.leave_out(item, "encrypted_content")
    return [{"type": "thinking", "thinking": words, "signature": signature}] if words or signature else []


def _words(item: Mapping[str, Any], name: str, kind: str, path: Path) -> str:
    words = []
    for at, value in enumerate(given(list, item, name, path) or ()):
        part, place = of(dict, value, (*path, name, at)), (*path, name, at)
        if part.get("type") != kind:
            raise malformed((*place, "type"), f"must be `{kind}`")
        words.append(needed(str, part, "text", place))
    return "".join(words)
