"""What is sent and what the upstream says to it: request bodies, answers, and the OpenAI client's head.

Sizes are fixed to the byte, so figures of different days and machines speak of the same work.
"""

from dataclasses import dataclass, replace
from typing import Any

import orjson

CHAT_PATH = "/v1/chat/completions"
EMBEDDINGS_PATH = "/v1/embeddings"
MODEL = "gpt-4o-mini"
EMBEDDING_MODEL = "text-embedding-3-small"
SMALL_BYTES = 1_037
LARGE_BYTES = 30_733
ANSWER_BYTES = 938
EMBEDDING_DIMENSIONS = 1_536
STREAM_EVENTS = 50

STAMP = b"@" + b"0" * 19 + b"@"
"""In an event: where the upstream writes the time of sending, nanoseconds of the monotonic clock."""
COUNT = b"#" + b"0" * 10
"""In a request that is to be like no other: where the load writes its number, behind the #."""

_SENTENCE = 'The quick brown fox jumps over the lazy dog while the gateway counts "tokens" and café bills. '
_ID = "chatcmpl-C9fDqk2RzWm7NvY4tLs8HbXe1PaUg"
_CREATED = 1_760_000_000
_FINGERPRINT = "fp_51db84afab"


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of call. `units` is how many `unit`s one whole answer holds."""

    name: str
    path: str
    body: bytes
    answer: bytes
    """The decoded body that the upstream answers with: whoever passes it on does so byte for byte, but for stamps."""
    unit: str = "call"
    units: int = 1

    def waiting(self, first_us: int, gap_us: int) -> "Workload":
        """The same, with the upstream asked for other waits: until it answers, and between events."""
        return replace(self, body=self.body.replace(_wait(*AT_ONCE).encode(), _wait(first_us, gap_us).encode()))


AT_ONCE = (0, 5_000)
"""Microseconds until the upstream answers, and between its events."""


def head(workload: Workload, port: int, headers: tuple[str, ...]) -> bytes:
    """The request head as the OpenAI Python client sends it, `headers` among it.

    But for this: nothing is to be compressed, so that what comes back can be compared.
    """
    lines = (
        f"POST {workload.path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Accept-Encoding: identity",
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
        *headers,
        "X-Stainless-Async: false",
        "x-stainless-retry-count: 0",
        "x-stainless-read-timeout: 600",
        f"Content-Length: {len(workload.body)}",
    )
    return "\r\n".join((*lines, "", "")).encode()


def _wait(first_us: int, gap_us: int) -> str:
    """In the field `user`, which everybody passes on: how the upstream is to answer this very call."""
    return f"bench-wait:{first_us:08},{gap_us:08}"


def _request(size: int, *, stream: bool = False, mark: str = "") -> bytes:
    """A chat request of exactly `size` bytes, with `mark` in it; the last message is filled up to it."""
    request: dict[str, Any] = {"model": MODEL, "user": _wait(*AT_ONCE)}
    if stream:
        request |= {"stream": True, "stream_options": {"include_usage": True}}
    messages = [{"role": "system", "content": "You are a careful assistant. Answer in one paragraph."}]
    request |= {"messages": messages, "temperature": 0.7, "max_tokens": 256}
    while size - len(orjson.dumps(request)) > 2_000:
        messages.append({"role": "user", "content": _SENTENCE * 10})
        messages.append({"role": "assistant", "content": "Noted."})
    last = {"role": "user", "content": mark + _SENTENCE * 5}
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
    """The content of an answer, its end, and its usage, one event each, about 350 bytes."""
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
        delta = {} if ends else {"content": STAMP.decode()}
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": "stop" if ends else None}
        chunk |= {"choices": [choice], "usage": None, "obfuscation": "tQ7xW2mK9pLr4"}
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def _embeddings() -> tuple[bytes, bytes]:
    """A text and its vector, in base64 as the client asks for it."""
    asked = {"model": EMBEDDING_MODEL, "user": _wait(*AT_ONCE), "input": _SENTENCE * 8, "encoding_format": "base64"}
    vector = "PcGZPB" * (EMBEDDING_DIMENSIONS * 4 * 4 // 3 // 6) + "PcGZPA=="[: EMBEDDING_DIMENSIONS * 16 // 3 % 6]
    answer = {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": vector}],
        "model": EMBEDDING_MODEL,
        "usage": {"prompt_tokens": 168, "total_tokens": 168},
    }
    return orjson.dumps(asked), orjson.dumps(answer)


ANSWER = _answer()
EVENTS = (*(_event(number) for number in range(STREAM_EVENTS)), b"data: [DONE]\n\n")
_EMBEDDINGS_ASKED, EMBEDDINGS_ANSWER = _embeddings()

SMALL = Workload("chat 1 KB", CHAT_PATH, _request(SMALL_BYTES), ANSWER)
LARGE = Workload("chat 30 KB", CHAT_PATH, _request(LARGE_BYTES), ANSWER)
COUNTED = Workload("chat 1 KB, each another", CHAT_PATH, _request(SMALL_BYTES, mark=COUNT.decode()), ANSWER)
EMBEDDINGS = Workload("embeddings", EMBEDDINGS_PATH, _EMBEDDINGS_ASKED, EMBEDDINGS_ANSWER)
STREAM = Workload(
    "stream", CHAT_PATH, _request(SMALL_BYTES, stream=True), b"".join(EVENTS), unit="event", units=STREAM_EVENTS
)
