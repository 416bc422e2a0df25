"""Whether an error says that a SQLite file of the node's own is damaged. Pure.

SQLite notices pages that cannot be. A changed byte elsewhere shows otherwise: the file is of a format to come, a table
lacks a column that it was made with, a text is no UTF-8 (in a value, or in the very words of an error), a value is one
that nobody wrote. Whoever took that for a fault that passes would never use the file again, nor make another.
"""

import re
import sqlite3

_PRIMARY_CODE = 0xFF
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_OTHER = re.compile(r"no such (table|column)|has no column named|unsupported file format")


def primary_code(error: Exception) -> int | None:
    """SQLite's result code without its details; None for an error that is none of SQLite's own."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & _PRIMARY_CODE


def is_damage(error: Exception) -> bool:
    """Of an error that came of statements that fit the file as it was made."""
    code = primary_code(error)
    if code is None:  # By Python's module: what it read is no UTF-8. Or by whoever was given a value.
        return isinstance(error, sqlite3.OperationalError | ValueError | TypeError)
    return code in _DAMAGED or (code == sqlite3.SQLITE_ERROR and _OTHER.search(str(error)) is not None)
