"""A generated content as the answer of a chat (pure)."""

from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from gateway.providers.base import BrokenAnswer, Call, Usage
from gateway.providers.body import word
from gateway.providers.chat_answer import listed, whole
from gateway.providers.estimate import settled, text_bytes
from gateway.providers.gemini.usage import counted
from gateway.providers.signatures import GOOGLE, marked

_FINISH = {
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
_OWN = {
    "groundingMetadata": "grounding_metadata",
    "citationMetadata": "citation_metadata",
    "urlContextMetadata": "url_context_metadata",
    "safetyRatings": "safety_ratings",
}
"""What a choice says beside, in words that only this provider has."""


class Bit(msgspec.Struct):
    """What one answer of the API says: all of it, or a stream's next bit."""

    id: str = ""
    model: str = ""
    thoughts: list[str] = msgspec.field(default_factory=list)
    texts: list[str] = msgspec.field(default_factory=list)
    signature: str = ""
    calls: list[dict[str, Any]] = msgspec.field(default_factory=list)
    """As a chat's tool calls; of one without an id of its own, the id is empty."""
    blocks: list[dict[str, Any]] = msgspec.field(default_factory=list)
    """Pictures, code that ran: what a chat has no words for."""
    finish: str = ""
    """In the provider's word; empty: more is to come."""
    logprobs: dict[str, Any] | None = None
    own: dict[str, Any] = msgspec.field(default_factory=dict)
    usage: Usage | None = None


def to_chat(call: Call, content: Mapping[str, Any]) -> tuple[bytes, Usage]:
    """Raises BrokenAnswer."""
    bit = read(content)
    if not bit.finish and not (bit.texts or bit.calls or bit.blocks):
        raise BrokenAnswer("the answer holds no candidate")
    said: dict[str, Any] = {"role": "assistant", "content": "".join(bit.texts) if bit.texts else None}
    if thought := "".join(bit.thoughts):
        said["reasoning_content"] = thought
    if thought or bit.signature:
        signed = {"signature": marked(bit.signature, GOOGLE)} if bit.signature else {}
        bit.blocks.insert(0, {"type": "thinking", "thinking": thought, **signed})
    if bit.blocks:
        said["content_blocks"] = bit.blocks
    if bit.calls:
        said["tool_calls"] = [named(made, bit.id or call.id, at) for at, made in enumerate(bit.calls)]
    usage = settled(bit.usage, call, text_bytes(said))
    model = bit.model or str(call.body.get("model"))
    choice = {"logprobs": bit.logprobs, **bit.own}
    try:
        return whole(call, bit.id, model, said, finish_of(bit.finish, calls=bool(bit.calls)), usage, **choice), usage
    except orjson.JSONEncodeError:  # orjson reads deeper than it writes.
        raise BrokenAnswer("the answer is nested too deep to be translated") from None


def read(content: Mapping[str, Any]) -> Bit:
    """Raises BrokenAnswer."""
    bit = Bit(word(content.get("responseId")), word(content.get("modelVersion")))
    bit.usage = counted(content.get("usageMetadata"))
    candidates = content.get("candidates")
    if not candidates:
        feedback = content.get("promptFeedback")
        if isinstance(feedback, Mapping) and feedback.get("blockReason"):
            bit.finish = "SAFETY"
            bit.own["prompt_feedback"] = feedback
        return bit
    if not isinstance(candidates, list) or not isinstance(candidates[0], dict):
        raise BrokenAnswer("the answer holds a candidate that is none")
    candidate = candidates[0]
    said = candidate.get("content")
    for part in listed(said, "parts") if isinstance(said, dict) else ():
        if not isinstance(part, dict):
            raise BrokenAnswer("the answer holds a part that is none")
        _take(part, bit)
    bit.finish = word(candidate.get("finishReason"))
    if isinstance(probabilities := candidate.get("logprobsResult"), Mapping):
        bit.logprobs = _logprobs(probabilities)
    bit.own |= {own: candidate[name] for name, own in _OWN.items() if candidate.get(name)}
    return bit


def finish_of(word: str, *, calls: bool) -> str:
    """As a chat words it: of a stop that calls tools, the provider says no more than that it stopped."""
    found = _FINISH.get(word, "stop")
    return "tool_calls" if calls and found == "stop" else found


def named(call: dict[str, Any], answer: str, at: int) -> dict[str, Any]:
    """The call with an id: its own, or one that no other answer's calls have."""
    return call if call["id"] else {**call, "id": f"call_{answer}_{at}"}


def _take(part: dict[str, Any], bit: Bit) -> None:
    signature = part.get("thoughtSignature")
    signature = signature if isinstance(signature, str) else ""
    bit.signature = bit.signature or signature
    text = part.get("text")
    if isinstance(text, str):
        (bit.thoughts if part.get("thought") is True else bit.texts).append(text)
    elif "functionCall" in part:
        bit.calls.append(_call(part["functionCall"], signature))
    elif isinstance(data := part.get("inlineData"), dict):
        url = f"data:{data.get('mimeType')};base64,{data.get('data')}"
        bit.blocks.append({"type": "image_url", "image_url": {"url": url}})
    elif own := {name: value for name, value in part.items() if name not in ("thought", "thoughtSignature")}:
        bit.blocks.append(own)


def _call(called: Any, signature: str) -> dict[str, Any]:
    if not isinstance(called, dict) or not isinstance(called.get("name"), str):
        raise BrokenAnswer("it calls a tool without a name")
    try:
        arguments = orjson.dumps(called.get("args") or {}).decode()
    except orjson.JSONEncodeError:
        raise BrokenAnswer("the answer is nested too deep to be translated") from None
    function = {"name": called["name"], "arguments": arguments}
    if signature:
        function["thought_signature"] = signature
    return {"id": word(called.get("id")), "type": "function", "function": function}


def _logprobs(result: Mapping[str, Any]) -> dict[str, Any]:
    chosen, top = result.get("chosenCandidates"), result.get("topCandidates")
    tops = top if isinstance(top, list) else []
    content = []
    for at, candidate in enumerate(chosen if isinstance(chosen, list) else ()):
        others = tops[at].get("candidates") if at < len(tops) and isinstance(tops[at], dict) else None
        rivals = [_token(other) for other in others] if isinstance(others, list) else []
        content.append({**_token(candidate), "top_logprobs": rivals})
    return {"content": content, "refusal": None}


def _token(candidate: Any) -> dict[str, Any]:
    if not isinstance(candidate, Mapping):
        raise BrokenAnswer("the answer holds a token that is none")
    text = word(candidate.get("token"))
    return {
        "token": text,
        "logprob": candidate.get("logProbability"),
        "bytes": list(text.encode("utf-8", "surrogatepass")),
    }
