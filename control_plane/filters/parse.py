"""A filter's text to its tree. Raises FilterFault, which says where the text is wrong and what is wanted there (pure).

    filter    = { condition }                       all of them must hold
    condition = ["-"] field operator value {"," value}
    field     = name | "meta." key                  a key in quotes may hold anything
    operator  = ":" | "=" | "!=" | ">" | ">=" | "<" | "<="
    value     = (bare | quoted) ["*"] | "*"         in quotes `\\"` is a quote and `\\\\` a backslash

`has:field` is another way to write `field:*`, that it is known.
"""

from collections.abc import Callable

from control_plane.filters.faults import FilterFault
from control_plane.filters.fields import EQUALITY, META, METADATA, Field, Operator, Type, Vocabulary
from control_plane.filters.tree import Anything, Condition, Filter, Prefix, StatusClass, Value
from control_plane.filters.values import WANTED, read
from shared.models.record import METADATA_CHARS_MAX

CHARS_MAX = 2_000
CONDITIONS_MAX = 50
VALUES_MAX = 100
"""Of one condition."""

HAS = "has"
_OPERATORS = sorted(Operator, key=len, reverse=True)
_ENDS_NAME = frozenset(':=!<>"')
_FREE = frozenset({Type.TEXT, Type.WORD, Type.NAME})
"""Types whose values are texts, which may be prefixes."""
_TOLD_CHARS_MAX = 60


def parse(text: str, vocabulary: Vocabulary) -> Filter:
    """Raises FilterFault."""
    if len(text) > CHARS_MAX:
        raise FilterFault(f"a filter has at most {CHARS_MAX} characters", CHARS_MAX)
    for place, character in enumerate(text):
        if character == "\0" or "\ud800" <= character <= "\udfff":
            raise FilterFault("a filter holds text, and no NUL", place)
    return _Parser(text, vocabulary).filter()


class _Parser:
    """Reads from `_at` on; each step moves it behind what it has read."""

    __slots__ = ("_at", "_text", "_vocabulary")

    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        self._text = text
        self._at = 0
        self._vocabulary = vocabulary

    def filter(self) -> Filter:
        conditions: list[Condition] = []
        while True:
            self._skip(str.isspace)
            if self._at == len(self._text):
                return Filter(tuple(conditions))
            if len(conditions) == CONDITIONS_MAX:
                raise FilterFault(f"a filter has at most {CONDITIONS_MAX} conditions", self._at)
            conditions.append(self._condition())

    def _condition(self) -> Condition:
        negated = self._take("-")
        start = self._at
        name = self._skip(_in_name)
        if name == HAS and self._vocabulary.find(HAS) is None and self._take(Operator.MATCHES):
            field, key = self._field(self._at, self._skip(_in_name))
            return Condition(field, Operator.MATCHES, (Anything(),), negated, key)
        if name and self._vocabulary.find(name) is None and not self._peek().strip():
            wanted = "a field, an operator and a value are wanted, without blanks between them"
            like = f"`field:{name[:_TOLD_CHARS_MAX]}`"
            raise FilterFault(f"{wanted}, as {like}; there are {self._vocabulary.told()}", start)
        field, key = self._field(start, name)
        operator = self._operator(field, start)
        return Condition(field, operator, self._values(field, operator), negated, key)

    def _field(self, start: int, name: str) -> tuple[Field, str | None]:
        if name.startswith(f"{METADATA}.") and self._vocabulary.metadata:
            return META, self._key(start, name.removeprefix(f"{METADATA}."))
        field = self._vocabulary.find(name)
        if field is not None:
            return field, None
        if not name:
            raise FilterFault(f"a field is wanted here; there are {self._vocabulary.told()}", start)
        like = self._vocabulary.like(name)
        meant = f"did you mean `{like}`? There are" if like else "there are"
        raise FilterFault(f"no field {_told(name)} to filter by; {meant} {self._vocabulary.told()}", start)

    def _key(self, start: int, bare: str) -> str:
        key = self._quoted() if not bare and self._peek() == '"' else bare
        if not key:
            raise FilterFault(f"a metadata key is wanted after `{METADATA}.`", self._at)
        if len(key) > METADATA_CHARS_MAX:
            raise FilterFault(f"a metadata key has at most {METADATA_CHARS_MAX} characters", start)
        return key

    def _operator(self, field: Field, start: int) -> Operator:
        place = self._at
        operator = next((operator for operator in _OPERATORS if self._take(operator)), None)
        if operator is None:
            written = self._text[start : self._at]
            hint = f"`{written}:…`" if written.isascii() else f"`{field.name}:…`"
            raise FilterFault(f"an operator is wanted behind the field, without blanks, as {hint}", place)
        if operator not in field.operators:
            there = ", ".join(f"`{known}`" for known in field.operators)
            raise FilterFault(f"`{field.name}` has no order, so there is no `{operator}`; there are {there}", place)
        return operator

    def _values(self, field: Field, operator: Operator) -> tuple[Value, ...]:
        values = [self._value(field, operator)]
        while self._peek() == ",":
            if operator not in EQUALITY:
                raise FilterFault(f"`{operator}` takes one value", self._at)
            if len(values) == VALUES_MAX:
                raise FilterFault(f"a condition has at most {VALUES_MAX} values", self._at)
            self._at += 1
            values.append(self._value(field, operator))
        return tuple(values)

    def _value(self, field: Field, operator: Operator) -> Value:
        start = self._at
        in_quotes = self._peek() == '"'
        text = self._quoted() if in_quotes else self._skip(_bare)
        star = self._take("*")
        after = self._peek()
        if after and not after.isspace() and after != ",":
            if star:
                raise FilterFault("a `*` stands at the end of a value; in quotes it means itself", self._at - 1)
            raise FilterFault(
                'a blank or a comma is wanted behind a value; a quote in a value is written `"\\""`', self._at
            )
        if star and not text and not in_quotes:
            if operator is not Operator.MATCHES:
                raise FilterFault(f"that `{field.name}` is known is written `{field.name}:*`", start)
            return Anything()
        if not text and (star or not in_quotes):
            raise FilterFault(f"a value is wanted here: {_wanted(field)}", start)
        if star:
            if field.type not in _FREE:
                raise FilterFault(f"`{field.name}` takes no pattern, but {_wanted(field)}", start)
            return Prefix(text)
        if not text and operator is Operator.MATCHES:
            raise FilterFault(f'everything holds the empty text; that it is empty is written `{field.name}=""`', start)
        value = read(field.type, text)
        if value is None:
            raise FilterFault(f"`{field.name}` takes {_wanted(field)}, not {_told(text)}", start)
        if isinstance(value, StatusClass) and operator not in EQUALITY:
            raise FilterFault(f"`{operator}` takes one status, not a class of them", start)
        return value

    def _quoted(self) -> str:
        """What stands in quotes; `_at` is at the first of them."""
        start = self._at
        self._at += 1
        found: list[str] = []
        while character := self._peek():
            self._at += 1
            if character == '"':
                return "".join(found)
            if character == "\\":
                if self._peek() not in ('"', "\\"):
                    raise FilterFault('behind a backslash in quotes stands `"` or `\\`', self._at - 1)
                character = self._text[self._at]
                self._at += 1
            found.append(character)
        raise FilterFault("the quotes that begin here do not end", start)

    def _peek(self) -> str:
        """The next character; empty at the end."""
        return self._text[self._at : self._at + 1]

    def _take(self, expected: str) -> bool:
        taken = self._text.startswith(expected, self._at)
        self._at += len(expected) if taken else 0
        return taken

    def _skip(self, inside: Callable[[str], bool]) -> str:
        start = self._at
        while self._at < len(self._text) and inside(self._text[self._at]):
            self._at += 1
        return self._text[start : self._at]


def _in_name(character: str) -> bool:
    return not character.isspace() and character not in _ENDS_NAME


def _bare(character: str) -> bool:
    return not character.isspace() and character not in '",*'


def _wanted(field: Field) -> str:
    return WANTED.get(field.type, "a text, in quotes if it holds blanks or commas")


def _told(text: str) -> str:
    return repr(text if len(text) <= _TOLD_CHARS_MAX else f"{text[:_TOLD_CHARS_MAX]}…")
