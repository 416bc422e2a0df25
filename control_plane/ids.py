"""Ids of nouns: a prefix that says what it is, the time, and random bits; they sort by time."""

import secrets

from shared.clock import Clock

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class Ids:
    """`new("ws")` is `ws_` and 26 characters: 48 bits of milliseconds, 80 random bits."""

    __slots__ = ("_clock",)

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def new(self, prefix: str) -> str:
        number = self._clock.wall_ms() << 80 | secrets.randbits(80)
        return f"{prefix}_" + "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
