"""What is sent and what must come back: request bodies, the upstream's answers, and the OpenAI client's head.

Sizes are fixed to the byte, so figures of different days and machines speak of the same work.
"""

from dataclasses import dataclass
from typing import Any

import orjson

CHAT_PATH = "/v1/chat/completions"
MODEL = "gpt-4o-mini"
SMALL_BYTES = 1_037
LARGE_BYTES = 30_733
ANSWER_BYTES = 938
STREAM_EVENTS = 50

_SENTENCE = 'The quick brown fox jumps over the lazy dog while the gateway counts "tokens" and café bills. '
_ID = "chatcmpl-C9fDqk2RzWm7NvY4tLs8HbXe1PaUg"
_CREATED = 1_760_000_000
_FINGERPRINT = "fp_51db84afab"


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of call. `units` is how many `unit`s one whole answer holds."""

    name: str
    body: bytes
    answer: bytes
    """The decoded body every call must be answered with, byte for byte."""
    unit: str = "call"
    units: int = 1


def head(port: int, api_key: str, body_bytes: int) -> bytes:
    """The request head as the OpenAI Python client sends it."""
    lines = (
        f"POST {CHAT_PATH} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Accept-Encoding: gzip, deflate",
        "Connection: keep-alive",
        "Accept: application/json",
        "Content-Type: application/json",
        "User-Agent: OpenAI/Python 3.52.0",
        "X-Stainless-Lang: python",
        "X-Stainless-Package-Version: 3.52.0",
        "X-Stainless-OS: Linux",
        "X-Stainless-Arch: x64",
        "X-Stainless-Runtime: CPython",
        "X-Stainless-Runtime-Version: 3.11.2",
        f"Authorization: Bearer {api_key}",
        "X-Stainless-Async: false",
        "x-stainless-retry-count: 0",
        "x-stainless-read-timeout: 600",
        f"Content-Length: {body_bytes}",
    )
    return "\r\n".join((*lines, "", "")).encode()


def _request(size: int, *, stream: bool = False) -> bytes:
    """A chat request of exactly `size` bytes; the last message is filled up to it."""
    messages = [{"role": "system", "content": "You are a careful assistant. Answer in one paragraph."}]
    request: dict[str, Any] = {"model": MODEL, "messages": messages, "temperature": 0.7, "max_tokens": 256}
    if stream:
        request |= {"stream": True, "stream_options": {"include_usage": True}}
    while size - len(orjson.dumps(request)) > 2_000:
        messages.append({"role": "user", "content": _SENTENCE * 10})
        messages.append({"role": "assistant", "content": "Noted."})
    last = {"role": "user", "content": _SENTENCE * 5}
    messages.append(last)
    last["content"] += "." * (size - len(orjson.dumps(request)))
    return orjson.dumps(request)


def _answer() -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None, "annotations": []}
    answer = {
        "id": _ID,
        "object": "chat.completion",
        "created": _CREATED,
        "model": f"{MODEL}-2024-07-18",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": _usage(),
        "service_tier": "default",
        "system_fingerprint": _FINGERPRINT,
    }
    message["content"] = (_SENTENCE * 3)[:200]
    message["content"] += "." * (ANSWER_BYTES - len(orjson.dumps(answer)))
    return orjson.dumps(answer)


def _usage() -> dict[str, Any]:
    return {
        "prompt_tokens": 214,
        "completion_tokens": 48,
        "total_tokens": 262,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _event(number: int) -> bytes:
    """The content of an answer, its end, and its usage, one event each, about 340 bytes."""
    chunk: dict[str, Any] = {
        "id": _ID,
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": f"{MODEL}-2024-07-18",
        "service_tier": "default",
        "system_fingerprint": _FINGERPRINT,
    }
    if number == STREAM_EVENTS - 1:
        chunk |= {"choices": [], "usage": _usage()}
    else:
        ends = number == STREAM_EVENTS - 2
        delta = {} if ends else {"content": f" word {number}"}
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": "stop" if ends else None}
        chunk |= {"choices": [choice], "usage": None, "obfuscation": "tQ7xW2mK9pLr4"}
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


ANSWER = _answer()
EVENTS = (*(_event(number) for number in range(STREAM_EVENTS)), b"data: [DONE]\n\n")

SMALL = Workload("chat 1 KB", _request(SMALL_BYTES), ANSWER)
LARGE = Workload("chat 30 KB", _request(LARGE_BYTES), ANSWER)
STREAM = Workload("stream", _request(SMALL_BYTES, stream=True), b"".join(EVENTS), unit="event", units=STREAM_EVENTS)
ALL = {workload.name: workload for workload in (SMALL, LARGE, STREAM)}
