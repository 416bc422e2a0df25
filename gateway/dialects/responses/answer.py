"""What a chat answered, as a response of items (pure)."""

from collections.abc import Mapping
from typing import Any

from gateway.dialects.said import Block, Kind, Said, call_id
from gateway.providers.base import BrokenAnswer, Usage
from gateway.providers.signatures import at_responses

_ECHOED: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "safety_identifier": None,
    "prompt_cache_key": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "top_logprobs": None,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""What a response says again of its request, and what it says where the request said nothing."""
INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def response(chat: Mapping[str, Any], usage: Usage, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The response that says the same; `asked` is the caller's request. Raises BrokenAnswer."""
    said = Said()
    said.take(chat, whole=True)
    said.end()
    if not isinstance(chat.get("choices"), list) or not chat["choices"]:
        raise BrokenAnswer("the answer holds no choice")
    return ended(said, usage, asked)


def ended(said: Said, usage: Usage, asked: Mapping[str, Any]) -> dict[str, Any]:
    """All of it."""
    reason = INCOMPLETE.get(said.finish or "")
    status = "completed" if reason is None else "incomplete"
    id_ = id_of(said)
    return {
        **begun(said, asked),
        "status": status,
        "incomplete_details": None if reason is None else {"reason": reason},
        "output": [item(block, id_, status if block is said.blocks[-1] else "completed") for block in said.blocks],
        "usage": counts(usage),
    }


def begun(said: Said, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What there is to say of a response before anything has come of it."""
    created, model = said.head.get("created"), said.head.get("model")
    reasoning = asked.get("reasoning")
    echoed = {name: usual if asked.get(name) is None else asked[name] for name, usual in _ECHOED.items()}
    return {
        "id": f"resp_{id_of(said)}",
        "object": "response",
        "created_at": created if isinstance(created, int | float) else 0,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": model if isinstance(model, str) and model else asked.get("model"),
        "output": [],
        "previous_response_id": None,
        "reasoning": {"effort": reasoning.get("effort") if isinstance(reasoning, Mapping) else None, "summary": None},
        "service_tier": said.service_tier,
        "tools": [_tool(tool) for tool in asked.get("tools") or ()],
        "usage": None,
        **echoed,
    }


def id_of(said: Said) -> str:
    """The provider's own id of the answer; ids of our making are built on it."""
    id_ = said.head.get("id")
    return id_ if isinstance(id_, str) and id_ else "0"


def item(block: Block, id_: str, status: str) -> dict[str, Any]:
    """A block as an item that has ended."""
    match block.kind:
        case Kind.THOUGHT | Kind.SEALED_THOUGHT:
            sealed = block.kind is Kind.SEALED_THOUGHT
            return {
                **opened(block, id_),
                "content": [] if sealed else [part(block)],
                "encrypted_content": at_responses(block.text if sealed else block.signature, sealed=sealed),
                "status": status,
            }
        case Kind.FUNCTION:
            return {**opened(block, id_), "arguments": block.text, "status": status}
        case Kind.CUSTOM:
            return {**opened(block, id_), "input": block.text}
    return {**opened(block, id_), "content": [part(block)], "status": status}


def opened(block: Block, id_: str) -> dict[str, Any]:
    """A block as an item of which nothing has come."""
    match block.kind:
        case Kind.THOUGHT | Kind.SEALED_THOUGHT:
            return {"id": item_id(block, id_), "type": "reasoning", "summary": [], "status": "in_progress"}
        case Kind.FUNCTION:
            call = {"call_id": call_id(block, id_, "call"), "name": block.name, "arguments": ""}
            return {"id": item_id(block, id_), "type": "function_call", **call, "status": "in_progress"}
        case Kind.CUSTOM:
            call = {"call_id": call_id(block, id_, "call"), "name": block.name, "input": ""}
            return {"id": item_id(block, id_), "type": "custom_tool_call", **call}
    return {
        "id": item_id(block, id_),
        "type": "message",
        "role": "assistant",
        "content": [],
        "status": "in_progress",
    }


def part(block: Block) -> dict[str, Any]:
    """What stands in the item of a block: all of it."""
    match block.kind:
        case Kind.THOUGHT:
            return {"type": "reasoning_text", "text": block.text}
        case Kind.REFUSAL:
            return {"type": "refusal", "refusal": block.text}
    return {
        "type": "output_text",
        "text": block.text,
        "annotations": [],
        "logprobs": [logprob(entry) for entry in block.logprobs],
    }


_PREFIXES = {
    Kind.THOUGHT: "rs",
    Kind.SEALED_THOUGHT: "rs",
    Kind.FUNCTION: "fc",
    Kind.CUSTOM: "ctc",
}


def item_id(block: Block, id_: str) -> str:
    return f"{_PREFIXES.get(block.kind, 'msg')}_{id_}_{block.index}"


def counts(usage: Usage) -> dict[str, Any]:
    read, written = usage.input_tokens or 0, usage.output_tokens or 0
    return {
        "input_tokens": read,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens or 0,
            "cache_write_tokens": usage.cache_write_tokens or 0,
        },
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": read + written,
    }


def _tool(tool: Any) -> Any:
    """A tool as it was asked for, with what a response always says of a function."""
    if isinstance(tool, Mapping) and tool.get("type") == "function":
        return {"parameters": None, "strict": None, **tool}
    return tool


def logprob(entry: Any) -> dict[str, Any]:
    """Raises BrokenAnswer."""
    top = entry.get("top_logprobs") if isinstance(entry, Mapping) else None
    return {**_token(entry), "top_logprobs": [_token(rival) for rival in top] if isinstance(top, list) else []}


def _token(entry: Any) -> dict[str, Any]:
    if not isinstance(entry, Mapping) or not isinstance(token := entry.get("token"), str):
        raise BrokenAnswer("it gives probabilities of what is no token")
    told = entry.get("bytes")
    return {
        "token": token,
        "bytes": told if isinstance(told, list) else list(token.encode("utf-8", "replace")),
        "logprob": entry.get("logprob"),
    }
