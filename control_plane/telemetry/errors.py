"""What ClickHouse can answer instead of doing its work: its client's errors, renamed here and nowhere else.

Unavailable (control_plane)
└── AnalyticsUnavailable   no address is set, away, full, or its tables are not there yet
    └── AnalyticsTooMuch   the question takes more time or memory than there is; a smaller one may not

Whatever is not listed is a fault of ours and flies on as it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from control_plane.errors import Unavailable

_AWAY = {
    60: "UNKNOWN_TABLE",  # With the next one: its data is another's, or not there yet.
    81: "UNKNOWN_DATABASE",
    75: "CANNOT_WRITE_TO_FILE_DESCRIPTOR",  # With the next one: its disk is full, or broken.
    76: "CANNOT_OPEN_FILE",
    164: "READONLY",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    203: "NO_FREE_CONNECTION",
    209: "SOCKET_TIMEOUT",
    210: "NETWORK_ERROR",
    225: "NO_ZOOKEEPER",
    236: "ABORTED",  # It is shutting down.
    242: "TABLE_IS_READ_ONLY",
    243: "NOT_ENOUGH_SPACE",
    252: "TOO_MANY_PARTS",
    279: "ALL_CONNECTION_TRIES_FAILED",
    285: "TOO_FEW_LIVE_REPLICAS",
    286: "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
    319: "UNKNOWN_STATUS_OF_INSERT",
    394: "QUERY_WAS_CANCELLED",
    497: "ACCESS_DENIED",
    516: "AUTHENTICATION_FAILED",
    999: "KEEPER_EXCEPTION",
}
"""ClickHouse's own names, by code: whoever runs it looks for these."""
_TOO_MUCH = frozenset(
    {
        158,  # TOO_MANY_ROWS
        159,  # TIMEOUT_EXCEEDED
        160,  # TOO_SLOW
        241,  # MEMORY_LIMIT_EXCEEDED
        307,  # TOO_MANY_BYTES
        396,  # TOO_MANY_ROWS_OR_BYTES
    }
)
_NO_TABLES = frozenset({60, 81})


class AnalyticsUnavailable(Unavailable):
    """Whether an insert that was under way counts is not known."""

    code = "analytics_unavailable"

    def __init__(self, detail: str, *, without_tables: bool = False) -> None:
        """`without_tables`: it answers, and has not what the migrations made."""
        super().__init__(detail)
        self.without_tables = without_tables


class AnalyticsTooMuch(AnalyticsUnavailable):
    """Nothing of it counts."""


@contextmanager
def renamed() -> Iterator[None]:
    """Around a use of the client. A TimeoutError that leaves it counts as ClickHouse's."""
    try:
        yield
    except (OperationalError, TimeoutError) as error:
        # Of what the server says itself only the code is known to be no caller's text.
        code = getattr(error, "code", None)
        raise _by_code(code) or AnalyticsUnavailable("ClickHouse is away or took too long") from error
    except DatabaseError as error:
        known = _by_code(error.code)
        if known is None:
            raise
        raise known from error


def _by_code(code: int | None) -> AnalyticsUnavailable | None:
    if code in _TOO_MUCH:
        return AnalyticsTooMuch("the question takes more time or memory than there is for one; ask for less at once")
    if code is not None and (name := _AWAY.get(code)) is not None:
        told = f"ClickHouse cannot do it now ({name}, its code {code})"
        return AnalyticsUnavailable(told, without_tables=code in _NO_TABLES)
    return None
