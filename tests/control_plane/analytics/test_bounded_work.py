"""What is short to write is soon read: while a question is read, nobody else's is answered."""

import subprocess
import sys

import pytest

HANG_S = 60
"""A guard: each takes milliseconds."""


@pytest.mark.parametrize(
    ("read", "found"),
    [
        ("analytics.api import listed; print(len(listed('a,' * 200_000)))", "1"),
        ("analytics.api import listed; print(len(listed(',\"' * 200_000)))", "1"),
        (
            "analytics.portkey_filters import read_filter; print(read_filter({'total_units_min': '1e999999999'}))",
            "tokens>=9223372036854775807",
        ),
    ],
)
def test_a_question_that_is_short_to_write_is_soon_read(read: str, found: str) -> None:
    script = [sys.executable, "-c", f"from control_plane.{read}"]
    done = subprocess.run(script, timeout=HANG_S, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == found
