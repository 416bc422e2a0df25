"""No process that holds keys leaves its memory on a disk when it dies."""

from resource import RLIMIT_CORE, getrlimit, setrlimit

_NONE = 1
"""Bytes, and the kernel's own word for no dump at all: where a program takes dumps (`|` in core_pattern), it gets one
under every other limit, also 0."""


def forbid() -> None:
    """For this process and all that it forks, for good."""
    _, hard = getrlimit(RLIMIT_CORE)
    limit = 0 if hard == 0 else _NONE
    setrlimit(RLIMIT_CORE, (limit, limit))
