"""What every dialect's translation has in common on the chat's side (pure)."""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

import msgspec
from msgspec.structs import replace

from gateway.providers.base import Place
from gateway.providers.fields import Path

CACHE_HINT = "cache_control"
SHOWN_BELOW = "What else this tool gave is shown below."
SHOWN = "The tools gave:"
"""Said where something that is no text stood in a tool's result, and before it where the user shows it instead."""
_CONTENT = "content"
_PLAIN = {"type", "text"}
"""The keys of a text with nothing beside it."""
BETWEEN_TEXTS = "\n\n"
NAME_CHARS_MAX = 64
"""Of a tool's name, in chats. Messages take twice as many."""
_DIGEST_CHARS = 16


class Asked(msgspec.Struct, frozen=True):
    """The chat that asks the same."""

    body: dict[str, Any]
    sources: tuple[Path, ...]
    """Of each message: where the caller said it, or the first of what it was made of."""
    left_out: frozenset[str] = frozenset()
    """Advice that this target cannot be given. It changes no answer; the caller is told."""


class Hints(msgspec.Struct):
    """What the caller advises about the provider's own cache: given on in its own name where the host takes it."""

    place: Place
    _left_out: set[str] = msgspec.field(default_factory=set)

    @property
    def left_out(self) -> frozenset[str]:
        return frozenset(self._left_out)

    def kept(self, asked: Mapping[str, Any], made: dict[str, Any]) -> dict[str, Any]:
        """What was made of something, with the hint that stood beside it."""
        hint = asked.get(CACHE_HINT)
        if hint is None:
            return made
        if self.place.cache_hints:
            return {**made, CACHE_HINT: hint}
        self._left_out.add(CACHE_HINT)
        return made

    def leave_out(self, asked: Mapping[str, Any], name: str = CACHE_HINT) -> None:
        """A hint that stands where a chat has no place for one."""
        if asked.get(name) is not None:
            self._left_out.add(name)


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def simplest(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """A message's content: a plain string where it is one text and nothing else. Every host reads that."""
    if len(parts) == 1 and parts[0].keys() == _PLAIN and parts[0]["type"] == "text":
        text: str = parts[0]["text"]
        return text
    return parts


def shown_by_user(asked: Asked) -> Asked:
    """The same for a provider to whom tools' results are text: what else is in them the user shows, right behind."""
    messages: list[dict[str, Any]] = []
    sources: list[Path] = []
    shown: list[dict[str, Any]] = []
    source: Path = ()
    for message, place in zip(asked.body["messages"], asked.sources, strict=True):
        if shown and message["role"] != "tool":
            if message["role"] == "user":
                message = {**message, _CONTENT: [*shown, *_parts(message[_CONTENT])]}  # noqa: PLW2901
            else:
                messages.append({"role": "user", _CONTENT: shown})
                sources.append(source)
            shown = []
        if message["role"] == "tool" and (others := [one for one in _parts(message[_CONTENT]) if not _is_text(one)]):
            texts = [one for one in _parts(message[_CONTENT]) if _is_text(one)]
            message = {**message, _CONTENT: simplest([*texts, text_part(SHOWN_BELOW)])}  # noqa: PLW2901
            shown += others if shown else [text_part(SHOWN), *others]
            source = place
        messages.append(message)
        sources.append(place)
    if shown:
        messages.append({"role": "user", _CONTENT: shown})
        sources.append(source)
    return replace(asked, body={**asked.body, "messages": messages}, sources=tuple(sources))


def in_strings(asked: Asked) -> Asked:
    """The same for hosts of which not all read a list of texts: a content that is nothing else is one string. Nor do
    all take several messages of a system's: those that the chat begins with are one.
    """
    messages = [_in_string(message) for message in asked.body["messages"]]
    first = 0
    while first < len(messages) and _is_systems(messages[first]):
        first += 1
    sources = asked.sources
    if first > 1:
        content = BETWEEN_TEXTS.join([message[_CONTENT] for message in messages[:first]])
        messages[:first] = [{"role": "system", _CONTENT: content}]
        sources = (sources[0], *sources[first:])
    return replace(asked, body={**asked.body, "messages": messages}, sources=sources)


def _is_systems(message: Mapping[str, Any]) -> bool:
    """With nothing but words in it."""
    return message["role"] == "system" and isinstance(message[_CONTENT], str) and message.keys() == {"role", _CONTENT}


def _in_string(message: dict[str, Any]) -> dict[str, Any]:
    content = message[_CONTENT]
    if (
        not isinstance(content, list)
        or not content
        or any(part.keys() != _PLAIN or not _is_text(part) for part in content)
    ):
        return message
    # What a model said in one turn may be cut anywhere, to name a source.
    between = "" if message["role"] == "assistant" else BETWEEN_TEXTS
    return {**message, _CONTENT: between.join([part["text"] for part in content])}


def _parts(content: Any) -> list[dict[str, Any]]:
    return content if isinstance(content, list) else [text_part(content)] if content else []


def _is_text(part: Mapping[str, Any]) -> bool:
    return bool(part["type"] == "text")


def with_short_names(asked: Asked) -> tuple[Asked, Mapping[str, str]]:
    """The same with names of tools that hosts take, and of each that is another now the caller's own."""
    body = asked.body
    calls = [call for message in body["messages"] for call in message.get("tool_calls") or ()]
    names = {name: _short(name) for name in _names_in([*body.get("tools", ()), *calls]) if len(name) > NAME_CHARS_MAX}
    if not names:
        return asked, names
    changed: dict[str, Any] = {
        "messages": [
            {**message, "tool_calls": [_called_so(call, names) for call in message["tool_calls"]]}
            if message.get("tool_calls")
            else message
            for message in body["messages"]
        ]
    }
    if "tools" in body:
        changed["tools"] = [_called_so(tool, names) for tool in body["tools"]]
    if isinstance(body.get("tool_choice"), dict):
        changed["tool_choice"] = _called_so(body["tool_choice"], names)
    return replace(asked, body={**body, **changed}), {short: name for name, short in names.items()}


def in_own_names(answer: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A chat's answer, or a chunk of one, in which tools are called by the caller's names."""
    choices = answer.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        said = [choice.get(name) for name in ("message", "delta")] if isinstance(choice, dict) else []
        for one in said:
            calls = one.get("tool_calls") if isinstance(one, dict) else None
            for call in calls if isinstance(calls, list) else ():
                for detail in (call.get("function"), call.get("custom")) if isinstance(call, dict) else ():
                    if isinstance(detail, dict) and isinstance(name := detail.get("name"), str):
                        detail["name"] = names.get(name, name)
    return answer


def _names_in(holders: list[dict[str, Any]]) -> Iterator[str]:
    for holder in holders:
        detail = holder.get(holder["type"])
        if isinstance(detail, dict) and isinstance(name := detail.get("name"), str):
            yield name


def _called_so(holder: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A tool, a call of one, or a choice among them, with the name that it has now."""
    kind = holder["type"]
    detail = holder.get(kind)
    if not isinstance(detail, dict):
        return holder
    if kind == "allowed_tools":
        return {**holder, kind: {**detail, "tools": [_called_so(tool, names) for tool in detail["tools"]]}}
    return {**holder, kind: {**detail, "name": names[detail["name"]]}} if detail.get("name") in names else holder


def _short(name: str) -> str:
    """Always the same, and another for each."""
    return f"{name[: NAME_CHARS_MAX - _DIGEST_CHARS - 1]}_{sha256(name.encode()).hexdigest()[:_DIGEST_CHARS]}"
