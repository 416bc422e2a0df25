"""What a database can answer instead of doing its work: asyncpg's errors, renamed here and nowhere else.

DatabaseUnfit             not a database this build can work with; nothing to wait for
Conflict (control_plane)
└── Clash                 something with this name, or nothing with that id, is there
Unavailable (control_plane)
└── DatabaseUnavailable   away, too slow, or full
    └── Contended         lost against another transaction; the same again may succeed (`pool.retrying`)

Whatever is not listed is a fault of ours and flies on as it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from control_plane.errors import Conflict, Unavailable

_CLASHES = (asyncpg.UniqueViolationError, asyncpg.ForeignKeyViolationError)
_LOST_RACES = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # Shutting down, starting up, or a statement over its time.
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
_NO_AUTHORITIES = "root certificate file "
"""How asyncpg begins what it says of an address with `sslmode=verify-full` and without a file to check by."""


class DatabaseUnfit(Exception):
    """The address, the role or the server's version will not do. The text says which."""


class Clash(Conflict):
    """`constraint` is its name in the schema. The text holds none of the values: they may be somebody else's."""

    def __init__(self, constraint: str) -> None:
        super().__init__("it clashes with what is there")
        self.constraint = constraint


class DatabaseUnavailable(Unavailable):
    """Whether a transaction that was being committed at that moment counts is not known."""


class Contended(DatabaseUnavailable):
    """Nothing of the transaction counts."""


@contextmanager
def renamed_while_connecting() -> Iterator[None]:
    try:
        yield
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
        raise DatabaseUnfit(f"the database refuses: {error}") from error
    except (*_AWAY, OSError) as error:
        raise DatabaseUnavailable("the database cannot be reached") from error
    except ValueError as error:
        if str(error).startswith(_NO_AUTHORITIES):
            raise DatabaseUnfit(
                "the database's certificate cannot be checked: add sslrootcert=FILE, its authority's, to the address"
            ) from None
        # Neither told nor chained: an address that is cut at the wrong place shows its password as something else.
        raise DatabaseUnfit("the database's address is not of the form postgresql://role:password@host/name") from None


@contextmanager
def renamed(connection: asyncpg.Connection, *, readonly: bool = False) -> Iterator[None]:
    """Around a transaction on `connection`. A TimeoutError that leaves it counts as the database's.

    `readonly`: it was begun to change nothing, so a change in it is a fault of ours.
    """
    try:
        yield
    except _CLASHES as error:
        raise Clash(error.constraint_name) from error
    except _LOST_RACES as error:
        raise Contended("too many changes of the same thing at once") from error
    except asyncpg.ReadOnlySQLTransactionError as error:
        if readonly:
            raise
        # After a failover its name may have led to the server that was left behind. A connection to that would be used
        # for ever: the next one is to look up the name again.
        connection.terminate()
        raise DatabaseUnavailable("the database takes no changes: it is a standby, or was made read-only") from error
    except (*_AWAY, TimeoutError) as error:
        raise DatabaseUnavailable("the database is away or took too long") from error
    except (OSError, asyncpg.InterfaceError) as error:
        # Also what somebody else's socket, or a misuse of the library, would raise.
        if _is_lost(connection):
            raise DatabaseUnavailable("the connection to the database was lost") from error
        raise


def _is_lost(connection: asyncpg.Connection) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        # The pool takes a lost connection back at once, and from then on it answers nothing.
        return True
