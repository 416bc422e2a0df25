"""Images: one dot in a colour that depends on what was asked. Pure.

Source of the shapes: OpenAI's API reference, `image`, `image_generation.…` and `image_edit.…`.
"""

import base64
import hashlib
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import orjson

from embedded.simulator import checks, errors, tokens
from embedded.simulator.checks import Body
from embedded.simulator.forms import Form
from embedded.simulator.replies import Events, Reply, Whole
from embedded.simulator.wire import CREATED

IMAGES_MAX = 10
IMAGE_TOKENS = 272
RULES = {
    "prompt": checks.STRING,
    "n": checks.integer(1, IMAGES_MAX),
    "size": checks.STRING,
    "quality": checks.STRING,
    "response_format": checks.STRING,
    "background": checks.STRING,
    "stream": checks.BOOLEAN,
    "partial_images": checks.integer(0, 3),
    "user": checks.STRING,
}


def generate(body: Body) -> Reply:
    """Raises errors.Refused if the body is not a proper request."""
    if body.get("prompt") is None:
        raise errors.missing("prompt")
    return _answer(body, "image_generation", pictures=0)


def edit(form: Form) -> Reply:
    body = form.body()
    if body.get("prompt") is None:
        raise errors.missing("prompt")
    return _answer(body, "image_edit", pictures=len(form.files("image")) or _none_given())


def vary(form: Form) -> Reply:
    return _answer(form.body(), "image_variation", pictures=len(form.files("image")) or _none_given())


def png(text: str) -> bytes:
    """A picture of one dot."""
    colour = hashlib.sha256(text.encode()).digest()[:3]
    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(b"\0" + colour)), (b"IEND", b""))
    framed = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def _none_given() -> int:
    raise errors.missing("image")


def _answer(body: Body, kind: str, *, pictures: int) -> Reply:
    checks.check(body, RULES)
    if body.get("response_format") not in (None, "url", "b64_json"):
        raise errors.invalid("Invalid value for 'response_format'.", "response_format", "invalid_value")
    prompt = body.get("prompt") or ""
    count = body.get("n") or 1
    drawn = [base64.b64encode(png(f"{prompt}{index}")).decode() for index in range(count)]
    if body.get("stream"):
        return Events(_events(body, kind, drawn[0], _usage(prompt, pictures, 1)), done=b"")
    if body.get("response_format") == "url":
        data = [{"url": f"https://images.simulator.test/{checks.digest(body)[:16]}-{index}"} for index in range(count)]
    else:
        data = [{"b64_json": dot} for dot in drawn]
    return Whole(orjson.dumps({"created": CREATED, "data": data, "usage": _usage(prompt, pictures, count)}))


def _usage(prompt: str, pictures: int, count: int) -> dict[str, Any]:
    text_tokens, image_tokens = tokens.count(prompt), pictures * IMAGE_TOKENS
    return {
        "input_tokens": text_tokens + image_tokens,
        "input_tokens_details": {"text_tokens": text_tokens, "image_tokens": image_tokens},
        "output_tokens": count * IMAGE_TOKENS,
        "total_tokens": text_tokens + image_tokens + count * IMAGE_TOKENS,
    }


def _events(body: Body, kind: str, drawn: str, usage: dict[str, Any]) -> Iterator[tuple[str | None, bytes]]:
    look = {
        "b64_json": drawn,
        "created_at": CREATED,
        "size": body.get("size") or "1024x1024",
        "quality": body.get("quality") or "auto",
        "background": body.get("background") or "auto",
        "output_format": "png",
    }
    for index in range(body.get("partial_images") or 0):
        name = f"{kind}.partial_image"
        yield name, orjson.dumps({"type": name, **look, "partial_image_index": index})
    yield f"{kind}.completed", orjson.dumps({"type": f"{kind}.completed", **look, "usage": usage})
