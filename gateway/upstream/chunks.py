"""Chunks of a body that can be seen to be whole and plain without a parser (pure).

Plain: a size in hexadecimal digits that is not 0 and does not begin with one, and nothing more in its line. Whatever
else there is, the last chunk and what follows it among it, is the parser's to read, and to refuse.
Source: RFC 9112, section 7.1.
"""

import re
from functools import lru_cache

DIGITS_MAX = 7
CHUNKS_MAX = 64
"""So many are seen at one look: in what a provider sends line ends may stand as close as it likes."""
LINE_END = b"\r\n"
_SIZE_LINE = re.compile(rb"([1-9A-Fa-f][0-9A-Fa-f]{0,%d})\r\n" % (DIGITS_MAX - 1))


def framed_as_ours(data: bytes) -> bytes:
    """What `data` holds, if it is nothing but whole chunks, each framed as we frame our own; else nothing."""
    line, size = frame_of(len(data))
    body = data.removeprefix(line).removesuffix(LINE_END)
    if len(body) == size:
        return body
    parts = data.split(LINE_END, 2 * CHUNKS_MAX)
    bodies = parts[1::2]
    if parts[:-1:2] == [*map(_size, map(len, bodies))] and not parts[-1]:
        return b"".join(bodies)
    return b""


# A stream's pieces have the same few lengths again and again.
@lru_cache(maxsize=1_024)
def frame_of(length: int) -> tuple[bytes, int]:
    """How so many bytes have to begin in order to be one chunk, and how many it then holds; -1: they are none."""
    for digits in range(1, DIGITS_MAX + 1):
        size = length - digits - 2 * len(LINE_END)
        if size > 0 and len(b"%x" % size) == digits:
            return _size(size) + LINE_END, size
    return b"", -1


@lru_cache(maxsize=1_024)
def _size(length: int) -> bytes:
    """As it stands before a chunk."""
    return b"%x" % length if length else LINE_END  # The last chunk is none of these: in no part is a line end.


def whole_chunks(data: bytes, start: int) -> tuple[bytes, int, int]:
    """What the whole chunks hold that `data` has from `start`, where a chunk begins; where they end; and how many bytes
    behind `data` the chunk ends that begins there: 0 if none does, -1 if that cannot be told.
    """
    found: list[bytes] = []
    while line := _SIZE_LINE.match(data, start):
        begin = line.end()
        end = begin + int(line[1], 16)
        if end + len(LINE_END) > len(data):
            return b"".join(found), start, end + len(LINE_END) - len(data)
        if not data.startswith(LINE_END, end):
            break
        found.append(data[begin:end])
        start = end + len(LINE_END)
    return b"".join(found), start, 0 if start == len(data) else -1
