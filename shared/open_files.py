"""How many files, connections among them, a process may have open: as many as its system lets it."""

import resource
from contextlib import suppress


def allow_all() -> int:
    """Raise this process's limit, and that of those it forks, as far as it may by itself; what it is then.

    systemd and shells begin with 1,024, for programs that cannot count further, and let others have more.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # Some systems say more than they let one have.
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit
