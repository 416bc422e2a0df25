"""Request ids: `lg_`, the time in milliseconds and eighty random bits, so that ids sort by time and never meet."""

from collections.abc import Callable

from shared.clock import Clock


class RequestIds:
    __slots__ = ("_clock", "_random_bits")

    def __init__(self, clock: Clock, random_bits: Callable[[int], int]) -> None:
        self._clock = clock
        self._random_bits = random_bits

    def __call__(self) -> str:
        # As bytes: a number is put into hexadecimal text digit by digit, which takes longer.
        return "lg_" + (self._clock.wall_ms() << 80 | self._random_bits(80)).to_bytes(16).hex()
