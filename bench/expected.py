"""What an answer has to be, as the load wants it: 0 stands for any byte, a run of 1 for the time an event was sent."""

import re

_STAMP = re.compile(rb"@[0-9]{19}@")
_OWN = re.compile(rb'("id": ?")([^"]*)(")|("created": ?)(\d+)()')


class WrongAnswer(Exception):
    """A system does not answer as it should, so there is nothing to measure."""


def passed_on(answer: bytes) -> bytes:
    """Of a system that passes on what the upstream says."""
    return _STAMP.sub(lambda stamp: b"@" + b"\x01" * (len(stamp[0]) - 2) + b"@", answer)


def translated(seen: bytes) -> bytes:
    """Of a system that says it in its own way, from one answer that was `seen`: each has another id and time."""

    def any_of(found: re.Match[bytes]) -> bytes:
        before, value, behind = (part for part in found.groups() if part is not None)
        return before + b"\x00" * len(value) + behind

    return passed_on(_OWN.sub(any_of, seen))
