"""Where an INSERT ends and its data begin. Pure.

The engine finds that out by itself, but takes a blank line inside of the data for their end, and what follows it for a
further statement. Data that are handed to it apart stay data.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from embedded.clickhouse.refusal import not_supported

_TOKEN = re.compile(
    rb"""
      (?P<blank> \s+ | --[^\n]* | \#[ !][^\n]* | /\*.*?(?:\*/|\Z) )
    | (?P<quoted> ' (?:[^'\\]|\\.|'')* (?:'|\Z) | " (?:[^"\\]|\\.|"")* (?:"|\Z) | ` (?:[^`\\]|\\.|``)* (?:`|\Z) )
    | (?P<word> [A-Za-z_][A-Za-z0-9_]* )
    | (?P<other> . )
    """,
    re.DOTALL | re.VERBOSE,
)
_AFTER_FORMAT = re.compile(rb"[ \t\f]*\r?\n?")


@dataclass(frozen=True, slots=True)
class Insert:
    """An INSERT with data in a format: between `before` and `after` the statement may name a file."""

    before: bytes
    after: bytes
    data_at: int
    """Where in the text its data begin."""

    def reading(self, file: str) -> bytes:
        """The statement, taking its data from a file."""
        return b"%b FROM INFILE '%b' %b" % (self.before, file.encode(), self.after)


def insert_with_data(text: bytes) -> Insert | None:
    """What `text` is, if it is an INSERT with data in a format; None: something that the engine reads whole.

    Raises Refusal if it would read a file of ours.
    """
    tokens = _significant(text)
    if _word(next(tokens, None)) != b"INSERT":
        return None
    depth, before, file_at = 0, b"", None
    for token in tokens:
        word = _word(token)
        if depth == 0 and before not in (b"INTO", b"TABLE", b"."):
            if word == b"FORMAT":
                name = next(tokens, None)
                if name is None or name.lastgroup != "word":
                    return None
                begins = _AFTER_FORMAT.match(text, name.end())
                assert begins is not None
                at = token.start() if file_at is None else file_at
                return Insert(text[:at], text[at : name.end()], begins.end())
            if word == b"INFILE":
                raise not_supported("INFILE is")
            if word in (b"VALUES", b"SELECT", b"WITH"):
                return None
            if word == b"SETTINGS":
                file_at = token.start()
        depth += (token.group() == b"(") - (token.group() == b")")
        before = word or token.group()
    return None


def is_insert(text: bytes) -> bool:
    return first_word(text) == b"INSERT"


def first_word(text: bytes) -> bytes:
    """In capitals; empty if it begins with something else."""
    return _word(next(_significant(text), None))


def _significant(text: bytes) -> Iterator[re.Match[bytes]]:
    return (token for token in _TOKEN.finditer(text) if token.lastgroup != "blank")


def _word(token: re.Match[bytes] | None) -> bytes:
    return token.group().upper() if token is not None and token.lastgroup == "word" else b""
