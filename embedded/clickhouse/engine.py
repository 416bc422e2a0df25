"""The engine: one data folder, a handle for each statement, and lanes of threads, since a statement blocks its thread.

This is the one module that loads chdb, and it must be in no process that forks.
"""

import fcntl
import os
import re
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol
from uuid import uuid4

import orjson
from chdb import _chdb

from embedded.clickhouse.limits import (
    ANSWER_BYTES_MAX,
    MARK_CACHE_BYTES_MAX,
    MEMORY_BYTES_MAX,
    READERS,
    STATEMENT_BYTES_MAX,
    STATEMENT_S_MAX,
    TEXT_BYTES_MAX,
    THREADS_MAX,
    WRITERS,
)
from embedded.clickhouse.recovery import take_back_lost_parts
from embedded.clickhouse.refusal import EngineError, Refusal, not_supported
from embedded.clickhouse.request import TAB_SEPARATED, Asked, identifier, quoted, set_clause
from embedded.clickhouse.statement import Insert, first_word, insert_with_data, is_insert

SERVER_OPTIONS = {
    "max_server_memory_usage": MEMORY_BYTES_MAX,
    "mark_cache_size": MARK_CACHE_BYTES_MAX,
    "index_mark_cache_size": MARK_CACHE_BYTES_MAX,
    "primary_index_cache_size": MARK_CACHE_BYTES_MAX,
    "max_threads": THREADS_MAX,
}
SETTINGS = {
    "max_execution_time": str(STATEMENT_S_MAX),
    "max_memory_usage": str(STATEMENT_BYTES_MAX),
    "max_result_bytes": str(ANSWER_BYTES_MAX),
    # A server has these so; chdb does not.
    "implicit_select": "0",
    "allow_introspection_functions": "0",
}
"""What a statement begins with."""

_FORMAT_AT_END = re.compile(rb"\bFORMAT\s+(\w+)(?:\s+SETTINGS\b.*)?[\s;]*\Z", re.IGNORECASE | re.DOTALL)
FORMAT_BYTES_MAX = 4_096
_MARK = "log_comment"
NATIVE = "Native"


class EngineFailed(Exception):
    """The data folder cannot be opened. The text says why."""


class _Handle(Protocol):
    """A connection of chdb's own, as its public wrappers use it."""

    def query(self, query: bytes | str, format: str, *, params: dict[str, str]) -> Any: ...  # noqa: A002

    def classify_query(self, sql: bytes) -> dict[str, Any]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Answer:
    id: str
    body: bytes = b""
    format: str | None = None
    """None: this kind of statement has no result."""
    summary: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Ticket:
    """A statement that was handed in."""

    id: str | None
    """What its caller calls it."""
    mark: str = field(default_factory=lambda: uuid4().hex)
    """By which the engine knows it."""
    future: "Future[Answer]" = field(init=False)
    reads: bool = False
    """Whether it has begun, and does nothing but read."""
    dropped: bool = False


class Engine:
    """`hand_in` and `drop` return at once, and may be called while others run."""

    def __init__(self, data: Path) -> None:
        """Raises EngineFailed."""
        if "?" in str(data):
            raise EngineFailed(f"{data}: the engine takes no data folder with a question mark in its name")
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _locked(data)
        self.taken_back = take_back_lost_parts(data)
        options = "&".join(f"{name}={value}" for name, value in SERVER_OPTIONS.items())
        self._address = f"{data}?{options}"
        try:
            # Held to the end: the engine closes with its last handle.
            self._keeper = self._open()
        except RuntimeError as error:
            raise EngineFailed(str(error)) from error
        self._readers = ThreadPoolExecutor(READERS, "reader")
        self._writers = ThreadPoolExecutor(WRITERS, "writer")
        self._aside = ThreadPoolExecutor(1, "aside")
        version, self.timezone = _text(self._keeper, "SELECT version(), timezone()").split("\t")
        self.version = version

    def hand_in(self, asked: Asked, text: bytes) -> Ticket:
        """`future` of the ticket gives an Answer, or raises EngineError or Refusal."""
        ticket = Ticket(asked.id)
        lane = self._writers if is_insert(text) else self._readers
        ticket.future = lane.submit(self._run, ticket, asked, text)
        return ticket

    def drop(self, ticket: Ticket) -> None:
        """Nobody waits for it any more. If it only reads it is stopped; what may have begun to write goes on."""
        ticket.dropped = True
        if not ticket.future.cancel() and ticket.reads:
            self._aside.submit(self._kill, ticket)

    def close(self) -> None:
        """Wait for what still runs, and close the data folder."""
        for lane in (self._readers, self._writers, self._aside):
            lane.shutdown(cancel_futures=True)
        self._keeper.close()
        self._lock.close()

    def _open(self) -> _Handle:
        handle: _Handle = _chdb.connect(self._address)  # type: ignore[attr-defined]
        return handle

    def _run(self, ticket: Ticket, asked: Asked, text: bytes) -> Answer:
        handle = self._open()
        try:
            return self._answer(handle, ticket, asked, text)
        except RuntimeError as error:
            raise EngineError(str(error)) from None
        finally:
            handle.close()

    def _answer(self, handle: _Handle, ticket: Ticket, asked: Asked, text: bytes) -> Answer:
        handle.query(set_clause({**SETTINGS, _MARK: ticket.mark, **asked.settings}), "Null", params={})
        if asked.database is not None:
            handle.query(f"USE {identifier(asked.database)}", "Null", params={})
        insert = insert_with_data(text)
        if insert is not None:
            return Answer(ticket.id or ticket.mark, summary=_inserted(handle, insert, text[insert.data_at :], asked))
        if len(text) > TEXT_BYTES_MAX and not is_insert(text):
            raise Refusal(400, 62, "SYNTAX_ERROR", f"a statement has at most {TEXT_BYTES_MAX} bytes beside its data")
        kind = handle.classify_query(text)
        if kind["statement_count"] > 1:
            raise Refusal(400, 62, "SYNTAX_ERROR", "one statement to a request, and these are several")
        reads = kind["query_class"].name == "READ_ONLY"
        if not reads and first_word(text) in (b"SELECT", b"WITH", b""):
            # The one such statement that does more than read. A server refuses it as well.
            raise not_supported("INTO OUTFILE is")
        ticket.reads = reads
        if ticket.dropped:
            return Answer(ticket.id or ticket.mark)
        result = handle.query(text, asked.format, params=dict(asked.parameters))
        body = result.bytes() or b""
        if len(body) > ANSWER_BYTES_MAX:
            raise Refusal(
                500, 396, "TOO_MANY_ROWS_OR_BYTES", f"an answer has at most {ANSWER_BYTES_MAX} bytes; ask for less"
            )
        named = _FORMAT_AT_END.search(text[-FORMAT_BYTES_MAX:])
        format_ = named[1].decode() if named else asked.format
        if named and reads and not body and format_ == NATIVE:
            body = _columns(handle, text[: len(text) - len(named[0])], asked)
        return Answer(ticket.id or ticket.mark, body, format_ if body or reads else None, _summary(result))

    def _kill(self, ticket: Ticket) -> None:
        handle = self._open()
        try:
            handle.query(f"KILL QUERY WHERE Settings['{_MARK}'] = {quoted(ticket.mark)} ASYNC", "Null", params={})
        finally:
            handle.close()


def _locked(data: Path) -> IO[str]:
    """Hold the folder, also against another of us that has not opened it yet."""
    file = (data / "front.lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise EngineFailed(f"{data} is in use by another process") from None
    return file


def _inserted(handle: _Handle, insert: Insert, data: bytes, asked: Asked) -> dict[str, str]:
    """The data come from a file that is nowhere but in memory.

    chdb's own stream of data into an insert reports success although writing failed (26.9: a constraint, a view, too
    many partitions), and data inside of the statement end at a blank line.
    """
    file = os.memfd_create("insert", os.MFD_CLOEXEC)
    try:
        with os.fdopen(file, "wb", closefd=False) as memory:
            memory.write(data)
        result = handle.query(insert.reading(f"/proc/self/fd/{file}"), TAB_SEPARATED, params=dict(asked.parameters))
        return _summary(result)
    finally:
        os.close(file)


def _columns(handle: _Handle, question: bytes, asked: Asked) -> bytes:
    """A block without rows: a server names the columns of an empty answer, and this engine says nothing at all."""
    described = b"DESCRIBE TABLE (%b\n) FORMAT JSONCompactEachRow" % question
    try:
        lines = handle.query(described, NATIVE, params=dict(asked.parameters)).bytes().splitlines()
    except RuntimeError:
        # It was no SELECT.
        return b""
    block = bytearray(varint(len(lines)) + varint(0))
    for line in lines:
        for word in orjson.loads(line)[:2]:
            block += varint(len(word.encode())) + word.encode()
    return bytes(block)


def varint(number: int) -> bytes:
    """Seven bits to a byte, the lowest first; the highest bit says that more follow."""
    block = bytearray()
    while number > 0x7F:
        block.append(number & 0x7F | 0x80)
        number >>= 7
    block.append(number)
    return bytes(block)


def _summary(result: Any) -> dict[str, str]:
    return {
        "read_rows": str(result.rows_read()),
        "read_bytes": str(result.bytes_read()),
        "written_rows": str(result.rows_written()),
        "written_bytes": str(result.bytes_written()),
        "elapsed_ns": str(int(result.elapsed() * 1_000_000_000)),
    }


def _text(handle: _Handle, question: str) -> str:
    said: bytes = handle.query(question, TAB_SEPARATED, params={}).bytes()
    return said.decode().rstrip("\n")
