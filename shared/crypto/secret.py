"""The type of a secret: it does not print, compare by `==`, pickle or serialise (law 7)."""

import hmac
from typing import NoReturn


class Secret:
    """Bytes that must not leave by accident. `reveal()` is the one way out, so it can be found by name."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes | str) -> None:
        self._value = value.encode() if isinstance(value, str) else bytes(value)

    def reveal(self) -> bytes:
        """The secret itself. Call it where the bytes are used, and nowhere else."""
        return self._value

    def reveal_text(self) -> str:
        """The secret as text, for a header or a form. Raises UnicodeDecodeError if it is not UTF-8."""
        return self._value.decode()

    def matches(self, other: bytes) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(self._value, other)

    def __repr__(self) -> str:
        return "Secret(****)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("a Secret is compared with matches(), in constant time")

    def __hash__(self) -> NoReturn:
        raise TypeError("a Secret is no dictionary key")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not serialised")
