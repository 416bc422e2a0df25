"""The head of a provider's answer. A provider writes most heads in one form: the same names in the same order, with
other values. What is of a known form is read by one expression, and no further than somebody asks.

Sources: RFC 9112, sections 2 to 5, as llhttp reads them: what is found here, it would find too.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import msgspec

SHORT_HEAD_BYTES = 4 * 1024
"""A longer head has no form."""
LINES_MAX = 64
NAMES_BYTES_MAX = 1024
"""With more, a form would take much memory: whoever answers chooses his names."""
FORMS_MAX = 2
"""Of one connection."""

_FIRST_LINE = re.compile(rb"HTTP/1\.1 200 [\x20-\x7e]*")
_FIXED = frozenset((b"connection", b"transfer-encoding"))
"""What they say decides how the body is read and whether the connection stays, so in one form it is the same."""
_FORMLESS = frozenset((b"content-encoding", b"upgrade", b"proxy-connection", b"trailer"))
_FIXED_VALUES = frozenset((b"connection: keep-alive", b"transfer-encoding: chunked"))
_BLANKS = b" \t"


class Form(msgspec.Struct, frozen=True, eq=False):
    """Of answers with status 200 on HTTP/1.1."""

    places: Mapping[str, int]
    """Name in lower case → the group of `lines` that is its line, with the break that ends it; of a name that repeats
    the first. Neighbours have neighbouring numbers.
    """
    length_at: int | None
    """The group that is the digits of the content length; None: the body comes in chunks."""
    lines: "re.Pattern[bytes]"


class Fields(Mapping[str, str]):
    """An answer's headers by name in lower case; of a repeated name the first value."""

    __slots__ = ("_match", "form")

    def __init__(self, form: Form, match: "re.Match[bytes]") -> None:
        self.form = form
        self._match = match

    def __getitem__(self, name: str) -> str:
        line: bytes = self._match[self.form.places[name]]
        return line[line.index(b":") + 1 : -2].strip(_BLANKS).decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return iter(self.form.places)

    def __len__(self) -> int:
        return len(self.form.places)

    @property
    def end(self) -> int:
        """Where the body begins."""
        return self._match.end()

    def body(self, data: bytes) -> bytes | None:
        """The body, if it stands whole behind the head, and nothing behind it. `data`: what the head was read from."""
        length_at = self.form.length_at
        if length_at is None:
            return None
        match = self._match
        end = match.end()
        return data[end:] if len(data) == end + int(match[length_at]) else None

    def lines(self, runs: Sequence[tuple[int, int]]) -> bytes:
        """Lines as they came, each with its break. `runs`: from which place to which."""
        match = self._match
        if len(runs) == 1:
            ((first, last),) = runs
            return match.string[match.start(first) : match.end(last)]
        return b"".join([match.string[match.start(first) : match.end(last)] for first, last in runs])


class Forms:
    """Those of one connection: what comes on it is mostly whole answers and streams by turns."""

    __slots__ = ("_known", "_seen", "_tried")

    def __init__(self) -> None:
        self._known: tuple[Form, ...] = ()
        self._seen: tuple[int, ...] = ()
        """Hashes of names that came."""
        self._tried: tuple[int, ...] = ()
        """Of those that have a form, or are known to have none."""

    def fields(self, data: bytes) -> Fields | None:
        """Of the head that `data` begins with; None if it is of no known form, or not all there."""
        for form in self._known:
            match = form.lines.match(data, 0, SHORT_HEAD_BYTES)
            if match is not None:
                return Fields(form, match)
        return None

    def learn(self, names: tuple[str, ...], head: bytes) -> None:
        """Know the form of a head with status 200 if its names come again. `head` was found to be sound, and ends with
        its blank line.
        """
        # To make a form takes a thousand times as long as to use it: of names that never come again there is none.
        name = hash(names)
        if name not in self._seen:
            self._seen = (name, *self._seen[: FORMS_MAX - 1])
        elif name not in self._tried and len(head) <= SHORT_HEAD_BYTES:
            self._tried = (name, *self._tried[: FORMS_MAX - 1])
            form = form_of(head)
            if form is not None:
                self._known = (form, *self._known[: FORMS_MAX - 1])


def form_of(head: bytes) -> Form | None:
    first, *lines = head[:-4].split(b"\r\n")
    if len(lines) > LINES_MAX or not _FIRST_LINE.fullmatch(first):
        return None
    names = tuple([line.partition(b":")[0] for line in lines])
    if sum(map(len, names)) > NAMES_BYTES_MAX:
        return None
    return _form(first, names, tuple([line for name, line in zip(names, lines, strict=True) if name.lower() in _FIXED]))


@lru_cache(maxsize=64)
def _form(first: bytes, names: tuple[bytes, ...], fixed: tuple[bytes, ...]) -> Form | None:
    """`fixed`: the lines that are the same in every head of the form, in the order of their names.

    Rarely a value holds more than visible ASCII and spaces: such a head is of no form.
    """
    keys = [name.lower() for name in names]
    is_sized = keys.count(b"content-length") == 1 and b"transfer-encoding" not in keys
    is_chunked = keys.count(b"transfer-encoding") == 1 and b"content-length" not in keys
    if not (is_sized or is_chunked) or not _FORMLESS.isdisjoint(keys) or keys.count(b"connection") > 1:
        return None
    if not _FIXED_VALUES.issuperset(map(bytes.lower, fixed)):
        return None
    rest = iter(fixed)
    pattern = re.escape(first) + rb"\r\n"
    places: dict[str, int] = {}
    place = 0
    length_at: int | None = None
    for name, key in zip(names, keys, strict=True):
        place += 1
        places.setdefault(key.decode("latin-1"), place)
        if key in _FIXED:
            pattern += rb"(%b\r\n)" % re.escape(next(rest))
        elif key == b"content-length":
            place = length_at = place + 1
            pattern += rb"(%b: ?([0-9]{1,12})\r\n)" % re.escape(name)
        else:
            pattern += rb"(%b:[ -~]*+\r\n)" % re.escape(name)
    return Form(places, length_at, re.compile(pattern + rb"\r\n"))
