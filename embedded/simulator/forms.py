"""A form's fields as a body of JSON would have them, so that one set of rules checks both."""

from typing import Any

from embedded.simulator import errors
from embedded.simulator.checks import Body
from embedded.simulator.upload import Part

_NUMBERS = {"n": int, "temperature": float, "partial_images": int}
_FLAGS = {"stream"}


class Form:
    def __init__(self, parts: list[Part]) -> None:
        self._parts = parts

    def file(self, name: str) -> Part:
        """Raises errors.Refused if there is none."""
        found = self.files(name)
        if not found:
            raise errors.missing(name)
        return found[0]

    def files(self, name: str) -> list[Part]:
        return [part for part in self._parts if part.filename is not None and part.name in (name, f"{name}[]")]

    def body(self) -> Body:
        """The fields; of one that comes more than once, the last. Raises errors.Refused."""
        return {part.name: _value(part) for part in self._parts if part.filename is None}


def _value(part: Part) -> Any:
    text = part.data.decode("utf-8", "replace")
    if part.name in _FLAGS:
        if text.lower() not in ("true", "false"):
            raise errors.wrong_type(part.name, "a boolean", text)
        return text.lower() == "true"
    kind = _NUMBERS.get(part.name)
    if kind is None:
        return text
    try:
        return kind(text)
    except ValueError:
        raise errors.wrong_type(part.name, "a number", text) from None
