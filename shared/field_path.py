"""Places in a JSON body as configs write them: `a.b`, `a[0]`, `a[*].b`. What stands there is found, or left out."""

import re
from collections.abc import Mapping
from typing import Any

PATH_CHARS_MAX = 200
STEPS_MAX = 16

ANY = -1
"""The step `[*]`: every element of a list."""

_STEP = re.compile(r"\.([^.\[\]]+)|\[([0-9]{1,6}|\*)\]")

Step = str | int
FieldPath = tuple[Step, ...]


class _Missing:
    """Nothing is there; not even null."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()


def parse_path(text: str) -> FieldPath:
    """Raises ValueError with a sentence that names what is wrong."""
    if len(text) > PATH_CHARS_MAX:
        raise ValueError(f"a path has at most {PATH_CHARS_MAX} characters")
    steps: list[Step] = []
    rest = "." + text
    while rest:
        step = _STEP.match(rest)
        if step is None:
            raise ValueError(
                "a path is names joined by dots, with `[0]` or `[*]` behind a list's name: `messages[0].name`"
            )
        steps.append(step[1] if step[1] is not None else ANY if step[2] == "*" else int(step[2]))
        rest = rest[step.end() :]
    if len(steps) > STEPS_MAX:
        raise ValueError(f"a path has at most {STEPS_MAX} steps")
    return tuple(steps)


def find(body: Any, path: FieldPath) -> Any:
    """What stands at `path`, or MISSING. In a list a name of digits counts from 0; `[*]` finds nothing."""
    for step in path:
        if isinstance(body, Mapping):
            body = body.get(step, MISSING)
        elif isinstance(body, list) and (index := _index(step)) is not None and 0 <= index < len(body):
            body = body[index]
        else:
            return MISSING
    return body


def dropped(body: Any, path: FieldPath) -> Any:
    """`body` without what stands at `path`. What is on the way is copied, the rest is shared; `body` stays as it is."""
    step, rest = path[0], path[1:]
    if isinstance(body, Mapping):
        if step not in body:
            return body
        if not rest:
            return {key: value for key, value in body.items() if key != step}
        return {**body, step: dropped(body[step], rest)}
    if not isinstance(body, list):
        return body
    if step == ANY:
        return [dropped(element, rest) for element in body] if rest else []
    index = _index(step)
    if index is None or not 0 <= index < len(body):
        return body
    if not rest:
        return [*body[:index], *body[index + 1 :]]
    return [*body[:index], dropped(body[index], rest), *body[index + 1 :]]


def _index(step: Step) -> int | None:
    if isinstance(step, int):
        return step if step != ANY else None
    return int(step) if step.isascii() and step.isdecimal() and len(step) <= 6 else None
