"""Places in a body: read as written, found where they are, left out without touching the body they are left out of."""

import copy
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.field_path import ANY, MISSING, PATH_CHARS_MAX, STEPS_MAX, dropped, find, parse_path

BODY: dict[str, Any] = {
    "model": "m",
    "none": None,
    "messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b", "name": "n"}],
    "deep": {"a": {"b": 1, "c": 2}, "7": "seven"},
    "grid": [[1, 2], [3, 4]],
}
NAMES = st.sampled_from(["a", "b", "0", "1", "7"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=15,
)
PATHS = st.lists(NAMES | st.integers(ANY, 2), min_size=1, max_size=4).map(tuple)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a", ("a",)),
        ("a.b_c-d", ("a", "b_c-d")),
        ("a[0].b", ("a", 0, "b")),
        ("a[*].b", ("a", ANY, "b")),
        ("a[1][2]", ("a", 1, 2)),
        ("a.0", ("a", "0")),
        ("größe.x y", ("größe", "x y")),
    ],
)
def test_a_path_is_names_and_places_in_lists(text: str, path: tuple[Any, ...]) -> None:
    assert parse_path(text) == path


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "a.", ".a", "a..b", "[0]", "a[", "a]", "a[]", "a[b]", "a[-1]", "a[0]b", "a[1234567]", "a[0].[1]"),
        *("a" * (PATH_CHARS_MAX + 1), ".".join("a" * (STEPS_MAX + 1))),
    ],
)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="path"):
        parse_path(text)


@given(st.text())
def test_any_text_is_a_path_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert parse_path(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("model", "m"),
        ("none", None),
        ("lost", MISSING),
        ("model.x", MISSING),
        ("messages[0].role", "user"),
        ("messages.1.name", "n"),
        ("messages[2].role", MISSING),
        ("messages[*].role", MISSING),
        ("messages.role", MISSING),
        ("deep.a.b", 1),
        ("deep.7", "seven"),
        ("deep[7]", MISSING),
        ("grid[1][0]", 3),
        ("grid.1.9", MISSING),
    ],
)
def test_what_stands_at_a_path_is_found(text: str, value: Any) -> None:
    found = find(BODY, parse_path(text))
    assert found is value if value is MISSING else found == value


@pytest.mark.parametrize(
    ("text", "path_of_change", "left"),
    [
        ("model", (), {name: value for name, value in BODY.items() if name != "model"}),
        ("deep.a.b", ("deep", "a"), {"c": 2}),
        ("messages[1].name", ("messages", 1), {"role": "system", "content": "b"}),
        ("messages.1.name", ("messages", 1), {"role": "system", "content": "b"}),
        ("messages[*].content", ("messages",), [{"role": "user"}, {"role": "system", "name": "n"}]),
        ("messages[0]", ("messages",), [BODY["messages"][1]]),
        ("messages[*]", ("messages",), []),
        ("grid[*][0]", ("grid",), [[2], [4]]),
    ],
)
def test_what_stands_at_a_path_is_left_out(text: str, path_of_change: tuple[Any, ...], left: Any) -> None:
    got: Any = dropped(BODY, parse_path(text))
    for step in path_of_change:
        got = got[step]
    assert got == left


@pytest.mark.parametrize(
    "text", ["lost", "model.x", "messages[2]", "messages.role", "deep.a.z", "grid[0][9]", "deep[0]"]
)
def test_what_is_not_there_leaves_the_body_as_it_is(text: str) -> None:
    assert dropped(BODY, parse_path(text)) == BODY


@given(JSON, PATHS)
def test_a_body_is_never_changed_and_what_was_left_out_is_not_found_again(body: Any, path: tuple[Any, ...]) -> None:
    before = copy.deepcopy(body)
    left = dropped(body, path)
    assert body == before
    if find(body, path) is MISSING and ANY not in path:
        assert left == body
    elif isinstance(path[-1], str) and not path[-1].isdecimal():
        assert find(left, path) is MISSING


@given(JSON, PATHS)
def test_leaving_out_a_name_twice_is_leaving_it_out_once(body: Any, path: tuple[Any, ...]) -> None:
    if isinstance(path[-1], str) and not path[-1].isdecimal():
        assert dropped(dropped(body, path), path) == dropped(body, path)
