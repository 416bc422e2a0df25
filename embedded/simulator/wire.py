"""What every answer of the simulator has in common: fixed fields, what it says, how an event is framed."""

from embedded.simulator import tokens

CREATED = 1_750_000_000
"""Always the same second, so that the same request has the same answer."""
FINGERPRINT = "fp_simulator1"
DONE = b"data: [DONE]\n\n"
EVENT_STREAM = "text/event-stream; charset=utf-8"

ECHO_CHARACTERS = 120
_FILLER = "All work and no play makes Jack a dull boy. "


def sentence(prompt: str, index: int, words: int | None) -> str:
    """What the model says to `prompt` as choice `index`; `words` asks for exactly that many tokens instead."""
    if words is not None:
        characters = tokens.CHARACTERS * words
        return (_FILLER * (characters // len(_FILLER) + 1))[:characters]
    choice = f" (choice {index + 1})" if index else ""
    return f"This is a simulated answer{choice}. You said: {prompt[:ECHO_CHARACTERS]}"


def event(data: bytes, name: str | None = None) -> bytes:
    """One server-sent event, framed as OpenAI does."""
    return (b"" if name is None else b"event: %b\n" % name.encode()) + b"data: " + data + b"\n\n"
