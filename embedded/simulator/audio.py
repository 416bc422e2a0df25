"""Audio: sound that is none, and what was heard in a file, which is its name and size. Pure.

Source of the shapes: OpenAI's API reference, `audio/speech`, `transcription` and `transcript.text.…`.
"""

import base64
import hashlib
from collections.abc import Iterator
from typing import Any

import orjson

from embedded.simulator import checks, errors, tokens
from embedded.simulator.checks import Body, Rule
from embedded.simulator.forms import Form
from embedded.simulator.replies import Events, Pieces, Reply, Whole

PIECE_BYTES = 1_024
INPUT_CHARACTERS_MAX = 4_096
SECONDS = 1.5
CONTENT_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
SPEECH_RULES = {
    "input": checks.STRING,
    "voice": Rule((str, dict), "a string or an object"),
    "instructions": checks.STRING,
    "response_format": checks.STRING,
    "speed": checks.decimal(0.25, 4),
    "stream_format": checks.STRING,
}
TEXT_RULES = {
    "language": checks.STRING,
    "prompt": checks.STRING,
    "response_format": checks.STRING,
    "temperature": checks.decimal(0, 1),
    "stream": checks.BOOLEAN,
}
TEXT_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")


def speak(body: Body, pieces: int | None) -> Reply:
    """`pieces`: so many kilobytes of sound instead of one for each token. Raises errors.Refused."""
    for name in ("input", "voice"):
        if not body.get(name):
            raise errors.missing(name)
    checks.check(body, SPEECH_RULES)
    if len(body["input"]) > INPUT_CHARACTERS_MAX:
        raise errors.invalid(f"Invalid 'input': at most {INPUT_CHARACTERS_MAX} characters.", "input", "string_too_long")
    format_ = body.get("response_format") or "mp3"
    if format_ not in CONTENT_TYPES:
        raise errors.invalid(f"Invalid value: '{format_}'.", "response_format", "invalid_value")
    spoken, written = tokens.count(body["input"]), pieces or tokens.count(body["input"])
    sound = _sound(body["input"], written)
    if body.get("stream_format") == "sse":
        return Events(_heard(sound, spoken, written), done=b"")
    return Pieces(sound, CONTENT_TYPES[format_])


def transcribe(form: Form) -> Reply:
    """Raises errors.Refused if the form is not a proper request."""
    return _text_of(form, "transcribe")


def translate(form: Form) -> Reply:
    if form.body().get("stream"):
        raise errors.invalid("Unknown parameter: 'stream'.", "stream", "unknown_parameter")
    return _text_of(form, "translate")


def _sound(text: str, pieces: int) -> Iterator[bytes]:
    for number in range(pieces):
        yield hashlib.shake_128(f"{number} {text}".encode()).digest(PIECE_BYTES)


def _heard(sound: Iterator[bytes], spoken: int, written: int) -> Iterator[tuple[str | None, bytes]]:
    for piece in sound:
        audio = base64.b64encode(piece).decode()
        yield None, orjson.dumps({"type": "speech.audio.delta", "audio": audio})
    usage = {"input_tokens": spoken, "output_tokens": written, "total_tokens": spoken + written}
    yield None, orjson.dumps({"type": "speech.audio.done", "usage": usage})


def _text_of(form: Form, task: str) -> Reply:
    file = form.file("file")
    body = form.body()
    checks.check(body, TEXT_RULES)
    format_ = body.get("response_format") or "json"
    if format_ not in TEXT_FORMATS:
        raise errors.invalid(f"Invalid value: '{format_}'.", "response_format", "invalid_value")
    if not file.data:
        raise errors.invalid("The audio file could not be decoded or its format is not supported.", "file")
    text = f"This is what was heard in {file.filename}, {len(file.data)} bytes."
    if body.get("stream"):
        return Events(_transcribed(text), done=b"")
    if format_ == "json":
        said = {"text": text, "usage": _usage(text)} if task == "transcribe" else {"text": text}
        return Whole(orjson.dumps(said))
    if format_ == "verbose_json":
        return Whole(orjson.dumps(_verbose(text, body.get("language") or "english", task)))
    return Whole(_timed(text, format_).encode(), "text/plain; charset=utf-8")


def _usage(text: str) -> dict[str, Any]:
    heard, written = 15, tokens.count(text)
    return {
        "type": "tokens",
        "input_tokens": heard,
        "input_token_details": {"text_tokens": 0, "audio_tokens": heard},
        "output_tokens": written,
        "total_tokens": heard + written,
    }


def _verbose(text: str, language: str, task: str) -> dict[str, Any]:
    segment = {
        "id": 0,
        "seek": 0,
        "start": 0.0,
        "end": SECONDS,
        "text": text,
        "tokens": [1, 2, 3],
        "temperature": 0.0,
        "avg_logprob": -0.25,
        "compression_ratio": 1.0,
        "no_speech_prob": 0.01,
    }
    said = {"language": language, "duration": SECONDS, "text": text, "segments": [segment]}
    return {**said, "usage": {"type": "duration", "seconds": SECONDS}} if task == "transcribe" else said


def _timed(text: str, format_: str) -> str:
    match format_:
        case "srt":
            return f"1\n00:00:00,000 --> 00:00:01,500\n{text}\n\n"
        case "vtt":
            return f"WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n{text}\n\n"
        case _:
            return f"{text}\n"


def _transcribed(text: str) -> Iterator[tuple[str | None, bytes]]:
    for piece in tokens.split(text):
        yield None, orjson.dumps({"type": "transcript.text.delta", "delta": piece})
    yield None, orjson.dumps({"type": "transcript.text.done", "text": text, "usage": _usage(text)})
