"""What a call used, where its provider never said (pure): tokens from bytes of text, four bytes to a token.

A rough measure, and marked as one. Pictures, sound and files count for nothing here: their bytes say nothing of tokens.
"""

import re
from collections.abc import Container, Mapping
from typing import Any

from msgspec.structs import replace

from gateway.errors import GatewayError
from gateway.providers.base import Call, Usage
from gateway.providers.openai.usage import in_tier

BYTES_PER_TOKEN = 4
KEPT_BYTES_MAX = 4 * 1024
"""A body of no more is kept as it came: to look through it, in case its provider says nothing, can wait."""
NODES_MAX = 100_000
"""Of a body's text are looked at one by one; of one with more, its bytes count as they came."""

_TEXTS = ("messages", "prompt", "input", "system", "instructions")
_TOOLS = ("tools", "functions")
_NO_TEXT = frozenset(
    {"audio", "cache_control", "file", "id", "image_url", "input_audio", "role", "tool_call_id", "type"}
)
"""Keys in a message whose values are no text: names of the dialect, and what is seen or heard."""
_SAYS = frozenset(
    ("content", "function_call", "reasoning", "reasoning_content", "refusal", "text", "tool_calls"),
)
"""Keys in a message or a delta whose values were written by the model."""
_DATA_URL = re.compile(r"data:[\w.+/;=-]*,")


def tokens_of(text_bytes: int) -> int:
    return -(-text_bytes // BYTES_PER_TOKEN)


def settled(said: Usage | None, call: Call, output_bytes: int) -> Usage:
    """What the provider said, with what it left out estimated from the call and the bytes of content it sent."""
    usage = Usage() if said is None else said
    if usage.input_tokens is not None and usage.output_tokens is not None:
        return usage
    estimate = replace(
        usage,
        input_tokens=input_tokens(call) if usage.input_tokens is None else usage.input_tokens,
        output_tokens=tokens_of(output_bytes) if usage.output_tokens is None else usage.output_tokens,
        estimated=True,
    )
    # In which tier it was carried a provider says with the usage: of one that did not, all that is known is the wish.
    return in_tier(estimate, _asked_tier(call))


def _asked_tier(call: Call) -> Any:
    try:
        return call.body.get("service_tier")
    except GatewayError:  # As in `input_tokens`.
        return None


def so_far(said: Usage, call: Call, output_bytes: int) -> Usage:
    """The same of a stream that did not come to its end. What its provider told with one event and another is at least
    what was used, and may be less than came: some tell 0 until the end.
    """
    told = said.output_tokens or 0
    usage = settled(replace(said, input_tokens=said.input_tokens or None, output_tokens=None), call, output_bytes)
    return replace(usage, output_tokens=max(told, usage.output_tokens or 0))


def input_tokens(call: Call) -> int:
    """Of everything the model is asked to read: the texts, and of tools their names and descriptions too."""
    if call.asked_tokens is not None:
        return call.asked_tokens
    try:
        body = call.body
    except GatewayError:  # It was passed on unread, and holds a number that only its provider can read.
        return tokens_of(len(call.raw))
    texts = _tokens_in([body[name] for name in _TEXTS if name in body], skip=_NO_TEXT, keys=False)
    tools = _tokens_in([body[name] for name in _TOOLS if name in body], skip=frozenset(), keys=True)
    return tokens_of(len(call.raw)) if texts is None or tools is None else texts + tools


def let_texts_go(call: Call) -> None:
    """Keep of a call that was sent what it may be charged for, and not its texts: they may be megabytes."""
    if call.few is not None and len(call.raw) <= KEPT_BYTES_MAX:
        call.parsed = None
        return
    call.asked_tokens = input_tokens(call)
    call.parsed = {name: value for name, value in (call.parsed or {}).items() if name not in _TEXTS}
    call.raw = b""


def text_bytes(said: Any) -> int:
    """Bytes of the text in a message or a delta of one: what it says, what it thinks, what it calls tools with."""
    if not said or not isinstance(said, (dict, Mapping)):  # To ask an abstract class takes twenty times as long.
        return 0
    found = 0
    for name, value in said.items():  # Most deltas hold a name or two.
        if not value or name not in _SAYS:
            continue
        if name == "tool_calls":
            if isinstance(value, list):
                found += sum([_called(call.get("function")) for call in value if isinstance(call, Mapping)])
        elif name == "function_call":
            found += _called(value)
        elif name != "reasoning" or not said.get("reasoning_content"):  # Some hosts say it twice.
            found += text_length(value)
    return found


def _called(function: Any) -> int:
    return (
        text_length(function.get("name")) + text_length(function.get("arguments"))
        if isinstance(function, Mapping)
        else 0
    )


def text_length(value: Any) -> int:
    """Of a text, or of the texts of a list of parts."""
    if isinstance(value, str):
        return _bytes(value)
    if isinstance(value, list):
        texts = [part.get("text") for part in value if isinstance(part, Mapping)]
        return sum([_bytes(text) for text in texts if isinstance(text, str)])
    return 0


def _tokens_in(waiting: list[Any], *, skip: Container[str], keys: bool) -> int | None:
    """Of all text in these values; None: they are more than NODES_MAX. Not recursive: callers choose the depth."""
    seen = found = ready = 0
    while waiting:
        value = waiting.pop()
        seen += 1
        if isinstance(value, str):
            found += 0 if _DATA_URL.match(value) else _bytes(value)
            continue
        if isinstance(value, list) and value and type(value[0]) is int:
            ready += len(value)  # A prompt of tokens.
            continue
        if not isinstance(value, list | dict):
            continue
        if seen + len(waiting) + 2 * len(value) > NODES_MAX:
            return None
        if isinstance(value, list):
            waiting += value
        else:
            waiting += [inner for key, inner in value.items() if key not in skip]
            if keys:
                waiting += value
    return tokens_of(found) + ready


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
