"""How soon targets answer: what a worker has seen of those that `optimize` compares."""

SHARE = 0.2
"""Of the newest answer in the average."""
FAILED_S = 30.0
"""What a call that failed counts for: a target that fails at once is not fast."""
KEPT_MAX = 10_000
MODEL_CHARS_MAX = 200
"""What is longer is no model's name, and not remembered: callers say it."""

Key = tuple[str, str, bool]
"""The target's, the model, and whether a stream was asked for: its first event, else the whole answer."""


class Speeds:
    """Of one worker; they outlive views."""

    __slots__ = ("_seconds",)

    def __init__(self) -> None:
        self._seconds: dict[Key, float] = {}

    def seconds(self, key: Key) -> float | None:
        """Its average; None: nobody has called it yet."""
        return self._seconds.get(key)

    def took(self, key: Key, seconds: float) -> None:
        if len(key[1]) > MODEL_CHARS_MAX:
            return
        before = self._seconds.get(key)
        if before is None:
            if len(self._seconds) >= KEPT_MAX:
                del self._seconds[next(iter(self._seconds))]
            before = seconds
        self._seconds[key] = before + SHARE * (seconds - before)
