"""Chunks of a body that can be seen to be whole and plain without a parser (pure).

Plain: a size in hexadecimal digits that is not 0 and does not begin with one, and nothing more in its line. Whatever
else there is, the last chunk and what follows it among it, is the parser's to read, and to refuse.
Source: RFC 9112, section 7.1.
"""

import re
from functools import lru_cache

DIGITS_MAX = 7
_LINE_END = b"\r\n"
_NO_CHUNK = b"\0"
_SIZE_LINE = re.compile(rb"([1-9A-Fa-f][0-9A-Fa-f]{0,%d})\r\n" % (DIGITS_MAX - 1))


@lru_cache(maxsize=1_024)
def size_line(length: int) -> bytes:
    """How a piece of `length` bytes has to begin in order to be one whole chunk, if it also ends in a line end.

    Such a chunk is framed as we frame our own. A stream's pieces have the same few lengths again and again.
    """
    for digits in range(1, DIGITS_MAX + 1):
        line = b"%x\r\n" % max(length - digits - 2 * len(_LINE_END), 0)
        if len(line) == digits + len(_LINE_END) and line != b"0\r\n":
            return line
    return _NO_CHUNK


def whole_chunks(data: bytes, start: int) -> tuple[bytes, int, int]:
    """What the whole chunks hold that `data` has from `start`, where a chunk begins; where they end; and how many bytes
    behind `data` the chunk ends that begins there: 0 if none does, -1 if that cannot be told.
    """
    found: list[bytes] = []
    while line := _SIZE_LINE.match(data, start):
        begin = line.end()
        end = begin + int(line[1], 16)
        if end + len(_LINE_END) > len(data):
            return b"".join(found), start, end + len(_LINE_END) - len(data)
        if not data.startswith(_LINE_END, end):
            break
        found.append(data[begin:end])
        start = end + len(_LINE_END)
    return b"".join(found), start, 0 if start == len(data) else -1
