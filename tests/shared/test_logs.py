"""The log's stream: what it cannot take is lost, and nothing else."""

import io

from shared.logs import Lenient


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def test_a_stream_that_fails_fails_nobody() -> None:
    out = Lenient(Full())
    print("a line", file=out, flush=True)


def test_what_it_takes_is_written() -> None:
    taken = io.StringIO()
    print("a line", file=Lenient(taken), flush=True)
    assert taken.getvalue() == "a line\n"
