"""What the system lets a process do: open as many files as it may, and leave no dump of the keys that it holds."""

from contextlib import suppress
from resource import RLIMIT_CORE, RLIMIT_NOFILE, getrlimit, setrlimit

_NO_DUMP = 1
"""Bytes, and the kernel's own word for no dump at all: where a program takes dumps (`|` in core_pattern), it gets one
under every other limit, also 0."""


def forbid_core_dumps() -> None:
    """Of this process and all that it forks, for good."""
    _, hard = getrlimit(RLIMIT_CORE)
    limit = 0 if hard == 0 else _NO_DUMP
    setrlimit(RLIMIT_CORE, (limit, limit))


def allow_open_files() -> int:
    """Raise this process's limit of open files, connections among them, and that of those it forks, as far as it may
    by itself; what it is then.

    systemd and shells begin with 1,024, for programs that cannot count further, and let others have more.
    """
    _, most = getrlimit(RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # Some systems say more than they let one have.
        setrlimit(RLIMIT_NOFILE, (most, most))
    limit, _ = getrlimit(RLIMIT_NOFILE)
    return limit
