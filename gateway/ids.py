"""Request ids: `lg_`, the time in milliseconds and eighty random bits, so that ids sort by time and never meet."""

from collections.abc import Callable

from shared.clock import Clock


def request_ids(clock: Clock, random_bits: Callable[[int], int]) -> Callable[[], str]:
    """Makes ids. A function, since an object that is called takes twice the steps."""

    def new_id() -> str:
        # As bytes: a number is put into hexadecimal text digit by digit, which takes longer.
        return "lg_" + (clock.wall_ms() << 80 | random_bits(80)).to_bytes(16).hex()

    return new_id
