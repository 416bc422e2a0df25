"""What the upstream says, prepared to the byte in a folder that both upstreams, in C and in Python, serve from.

`FOLDER/routes` has a line for each answer: what the request line holds, what the body holds, the answer's file, with
tabs between them; `-` is anything, and the first line that fits counts. An answer's file is a row of pieces, each its
length, a newline, and bytes that are written as they stand, when they are due.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from bench.workloads import ANSWER, EMBEDDINGS_ANSWER, EVENTS, STAMP, STREAM_EVENTS

ROUTES = "routes"

_HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"date: Sat, 21 Nov 2026 10:00:00 GMT\r\n"
    b"openai-organization: org-bench\r\n"
    b"openai-processing-ms: 12\r\n"
    b"openai-version: 2020-10-01\r\n"
    b"x-ratelimit-limit-requests: 30000\r\n"
    b"x-ratelimit-limit-tokens: 150000000\r\n"
    b"x-ratelimit-remaining-requests: 29999\r\n"
    b"x-ratelimit-remaining-tokens: 149999700\r\n"
    b"x-request-id: req_5f0b3c8f6d3e4b0c9a7d1e2f3a4b5c6d\r\n"
)
_STREAM_HEAD = _HEAD + b"content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
_STREAMS = (b'"stream":true', b'"stream": true')
_TEXT = "A gateway adds a little to each call, and should never be the part that fails first. " * 5


def write(folder: Path) -> None:
    """Fill `folder`, which exists."""
    messages, contents = "/messages", "enerateContent"  # Plain and streamed paths differ in the case of one letter.
    answers: list[tuple[str, bytes, str, Sequence[bytes]]] = [
        (":streamG" + contents, b"-", "contents.stream", streamed(_content_events())),
        (":g" + contents, b"-", "contents", [_plain(_content(_TEXT, last=True))]),
        *((messages, streams, "messages.stream", streamed(_message_events())) for streams in _STREAMS),
        (messages, b"-", "messages", [_plain(_message())]),
        ("/embeddings", b"-", "embeddings", [_plain(EMBEDDINGS_ANSWER)]),
        *(("/chat/completions", streams, "chat.stream", streamed(EVENTS)) for streams in _STREAMS),
        ("/chat/completions", b"-", "chat", [_plain(ANSWER)]),
    ]
    for _, _, name, pieces in answers:
        (folder / name).write_bytes(b"".join(b"%d\n%b" % (len(piece), piece) for piece in pieces))
    lines = (b"%b\t%b\t%b\n" % (path.encode(), body, name.encode()) for path, body, name, _ in answers)
    (folder / ROUTES).write_bytes(b"".join(lines))


def read(file: Path) -> list[bytes]:
    """The pieces of an answer's file."""
    rest, pieces = file.read_bytes(), []
    while rest:
        length, _, rest = rest.partition(b"\n")
        pieces.append(rest[: int(length)])
        rest = rest[int(length) :]
    return pieces


def _plain(body: bytes) -> bytes:
    return _HEAD + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def streamed(events: Sequence[bytes]) -> list[bytes]:
    """A piece for each event that holds a stamp: the head goes with the first, what has none with the one before."""
    pieces: list[bytes] = []
    waiting = _STREAM_HEAD
    for event in events:
        waiting += b"%x\r\n%b\r\n" % (len(event), event)
        if STAMP in event:
            pieces.append(waiting)
            waiting = b""
    pieces[-1] += waiting + b"0\r\n\r\n"
    return pieces


def _message() -> bytes:
    """An answer of Anthropic's Messages API (https://docs.claude.com/en/api/messages)."""
    return orjson.dumps(
        {
            "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5-20250929",
            "content": [{"type": "text", "text": _TEXT}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 214, "output_tokens": 48},
        }
    )


def _message_events() -> list[bytes]:
    """The same as a stream (https://docs.claude.com/en/docs/build-with-claude/streaming)."""
    message = orjson.loads(_message()) | {"content": [], "stop_reason": None}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": STAMP.decode()}}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *[delta] * STREAM_EVENTS,
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 48},
        },
        {"type": "message_stop"},
    ]
    return [b"event: %b\ndata: %b\n\n" % (event["type"].encode(), orjson.dumps(event)) for event in events]


def _content(text: str, *, last: bool) -> bytes:
    """An answer of Google's Gemini API (https://ai.google.dev/api/generate-content)."""
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
    if last:
        candidate["finishReason"] = "STOP"
    return orjson.dumps(
        {
            "candidates": [candidate],
            "usageMetadata": {"promptTokenCount": 214, "candidatesTokenCount": 48, "totalTokenCount": 262},
            "modelVersion": "gemini-2.5-flash",
            "responseId": "Zk3gaOqWJ4yZ1MkP0MvQ8Ac",
        }
    )


def _content_events() -> list[bytes]:
    """The same as a stream: whole answers, bit by bit."""
    last = STREAM_EVENTS - 1
    return [b"data: %b\r\n\r\n" % _content(STAMP.decode(), last=at == last) for at in range(STREAM_EVENTS)]
