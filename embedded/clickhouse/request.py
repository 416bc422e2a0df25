"""What a request asks for, read from the names beside its body. Pure.

Settings stand in SQL, so their names are identifiers and nothing else, and their values are quoted.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from embedded.clickhouse.refusal import malformed, not_supported, unknown_setting

PARAMETER = "param_"
TAB_SEPARATED = "TabSeparated"
OURS = frozenset({"database", "default_format", "query", "query_id"})
IGNORED = frozenset(
    """
    session_id session_timeout session_check quota_key wait_end_of_query buffer_size client_protocol_version
    send_progress_in_http_headers http_headers_progress_interval_ms enable_http_compression
    """.split()
)
"""They steer the transport, and the answer is right without them."""
REFUSED = frozenset({"role", "user", "password", "compress", "decompress", "stacktrace"})
"""Left out, they would mean something else than was asked for."""

_IN_HEADER = re.compile(r"[A-Za-z0-9_-]{0,128}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


@dataclass(frozen=True, slots=True)
class Asked:
    """A statement's surroundings: everything but the statement and its data."""

    database: str | None = None
    format: str = TAB_SEPARATED
    """Of an answer whose statement names none."""
    query: str = ""
    """Stands before the body."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    id: str | None = None
    """What the caller calls it."""


def read(pairs: Iterable[tuple[str, str]]) -> Asked:
    """Of several with one name the last counts. Raises Refusal."""
    given = dict(pairs)
    parameters, settings = {}, {}
    for name, value in given.items():
        if name in OURS or name in IGNORED:
            continue
        if name in REFUSED:
            if value not in ("", "0"):
                raise not_supported(f"{name!r} is")
        elif not _NAME.fullmatch(name):
            raise unknown_setting(name)
        elif name.startswith(PARAMETER):
            parameters[name.removeprefix(PARAMETER)] = value
        else:
            settings[name] = value
    for name in ("default_format", "query_id"):
        if not _IN_HEADER.fullmatch(given.get(name, "")):
            raise malformed(f"{name} is wanted as letters, digits, underscores and dashes")
    return Asked(
        database=given.get("database") or None,
        format=given.get("default_format") or TAB_SEPARATED,
        query=given.get("query", ""),
        parameters=parameters,
        settings=settings,
        id=given.get("query_id") or None,
    )


def set_clause(settings: Mapping[str, str]) -> str:
    """`SET a = '1', b = '2'`."""
    return "SET " + ", ".join(f"{name} = {quoted(value)}" for name, value in settings.items())


def quoted(value: str) -> str:
    """A string literal of SQL."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def identifier(name: str) -> str:
    """A quoted identifier of SQL."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
