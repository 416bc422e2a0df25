"""The real clock says what the system's says."""

import time

from shared.clock import SystemClock


def test_the_wall_s_time_is_whole_milliseconds_since_1970() -> None:
    before_ms = time.time_ns() // 1_000_000
    now_ms = SystemClock().wall_ms()
    assert type(now_ms) is int
    assert before_ms - 1 <= now_ms <= time.time_ns() // 1_000_000 + 1
