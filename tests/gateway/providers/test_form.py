"""Forms as they pass: what their first fields say, and that a second model is found wherever the pieces are cut."""

from itertools import pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from gateway.providers.base import Untranslatable
from gateway.providers.form import FIELDS_BYTES_MAX, PART_HEAD_BYTES_MAX, FormGuard, boundary_in, start_of

MARK = b"--b0und"
BOUNDARY = b"b0und"
cases = pytest.mark.parametrize
names = st.text("abcdefgmodel_", min_size=1, max_size=8)
values = st.binary(max_size=60).filter(lambda value: MARK not in b"\r\n" + value + b"\r\n")
fields = st.lists(st.tuples(names, values, st.booleans()), max_size=6)


def form(parts: list[tuple[str, bytes, bool]]) -> bytes:
    """Name, value, and whether it is a file."""
    body = b""
    for name, value, is_file in parts:
        file = '; filename="a b.wav"\r\nContent-Type: audio/wav' if is_file else ""
        body += MARK + f'\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + value + b"\r\n"
    return body + MARK + b"--\r\n"


def verdict(data: bytes, at: list[int]) -> Untranslatable | None:
    guard = FormGuard(BOUNDARY, {"model": 1})
    edges = [0, *sorted({edge % (len(data) + 1) for edge in at}), len(data)]
    for begin, end in pairwise(edges):
        if begin < end and (found := guard(data[begin:end])) is not None:
            return found
    return None


@given(fields)
def test_the_fields_before_the_first_file_are_read(parts: list[tuple[str, bytes, bool]]) -> None:
    start = start_of(form(parts), BOUNDARY)
    read = dict[str, str]()
    for name, value, is_file in parts:
        if is_file:
            break
        read[name] = value.decode("utf-8", "surrogateescape")
    assert start.fields == read
    assert not start.is_open
    if "model" in read:
        begin, end = start.places["model"]
        assert form(parts)[begin:end].decode("utf-8", "surrogateescape") == read["model"]
        assert form(parts).startswith(start.begun)


@given(fields, st.integers(0, 1_000))
def test_of_a_beginning_nothing_is_read_that_is_not_there(parts: list[tuple[str, bytes, bool]], cut: int) -> None:
    whole = form(parts)
    seen = start_of(whole[: cut % len(whole)], BOUNDARY)
    rest = start_of(whole, BOUNDARY)
    if not seen.is_open:
        assert seen.fields == rest.fields
    else:
        assert list(rest.fields)[: len(seen.fields)] == list(seen.fields)


@given(fields, st.lists(st.integers(0, 2_000), max_size=20))
@example([("model", b"a", False), ("file", b"x", True), ("model", b"b", False)], list(range(0, 300, 3)))
@example([("file", b"\r\n--b0un\r\n--", True)], list(range(300)))
def test_the_guard_says_the_same_wherever_a_form_is_cut(parts: list[tuple[str, bytes, bool]], at: list[int]) -> None:
    models = [is_file for name, _, is_file in parts if name == "model"]
    is_doubtful = len(models) > 1 or any(models)
    assert (verdict(form(parts), at) is not None) == is_doubtful


HEAD = b'\r\nContent-Disposition: form-data; name="model"\r\n\r\n'


@cases(
    "data",
    [
        b"preamble\r\n" + form([]),
        MARK + HEAD + b"a\n" + MARK + HEAD + b"b\r\n" + MARK + b"--",
        MARK + HEAD + b"a\r\n" + MARK + b"--\r\n" + MARK + HEAD + b"b\r\n" + MARK + b"--",
        MARK + HEAD + b"a\r\n" + MARK + b" \r\n" + HEAD + b"b\r\n" + MARK + b"--",
        MARK + b"\r\nContent-Disposition: form-data; name=model\r\n\r\na\r\n" + MARK + b"--",
        MARK + b'\r\nContent-Disposition: form-data; name="a"; name="model"\r\n\r\na\r\n' + MARK + b"--",
        MARK
        + b'\r\nContent-Disposition: form-data; name="a"; filename="\\"; name=\\"model"\r\n\r\na\r\n'
        + MARK
        + b"--",
        MARK + b'\r\nContent-Disposition: form-data;\r\n name="model"\r\n\r\na\r\n' + MARK + b"--",
        MARK + b'\r\nX: y\r\nContent-Disposition: form-data; name="a"\r\n\r\na\r\n' + MARK + b"--",
        MARK + b'\r\nContent-Disposition: form-data; name="a"\r\ncontent-disposition: form-data; name="b"\r\n\r\na\r\n',
        MARK + HEAD[:-2] + b"Content-Transfer-Encoding: base64\r\n\r\nYQ==\r\n" + MARK + b"--",
        MARK + HEAD[:-2] + b"Content-Type: text/plain; charset=utf-16\r\n\r\na\r\n" + MARK + b"--",
        MARK + b"\r\n" + b"a: b\r\n" * PART_HEAD_BYTES_MAX,
        MARK + HEAD + b"x" + MARK + b"x",
    ],
)
@cases("at", [[], list(range(0, 400, 7)), list(range(400))])
def test_what_two_readers_could_read_differently_is_not_let_through(data: bytes, at: list[int]) -> None:
    found = verdict(data, at)
    assert found is not None
    assert found.pointer == "/model"


@cases("head", [b"Content-Type: text/plain; charset=utf-8", b"Content-Length: 1", b"Content-Transfer-Encoding: binary"])
def test_what_clients_say_beside_a_name_is_let_through(head: bytes) -> None:
    data = MARK + HEAD[:-2] + head + b"\r\n\r\na\r\n" + MARK + b"--"
    assert start_of(data, BOUNDARY).fields == {"model": "a"}
    assert verdict(data, []) is None


def test_the_guard_keeps_no_more_than_a_head() -> None:
    guard = FormGuard(BOUNDARY, {"model": 1})
    assert guard(form([("file", b"", True)])[:-15]) is None
    for _ in range(1_000):
        assert guard(b"\r\n-" * 1_000) is None
        assert len(guard._tail) <= PART_HEAD_BYTES_MAX


@cases(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('Multipart/Form-Data; charset=utf-8; Boundary="a b"', None),
        ('multipart/form-data; boundary="a=b"', b"a=b"),
        (
            "multipart/form-data;boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
            b"----WebKitFormBoundary7MA4YWxkTrZu0gW",
        ),
        ("multipart/form-data; boundary=" + "a" * 71, None),
        ("multipart/form-data; boundary=a; boundary=a", None),
        ("multipart/form-data", None),
    ],
)
def test_a_form_has_one_boundary(content_type: str, boundary: bytes | None) -> None:
    if boundary is not None:
        assert boundary_in(content_type) == boundary
        return
    with pytest.raises(Untranslatable):
        boundary_in(content_type)


@cases("content_type", ["audio/wav", "application/octet-stream", "multipart/mixed; boundary=a", ""])
def test_what_is_no_form_has_none(content_type: str) -> None:
    assert boundary_in(content_type) is None


def test_a_model_takes_the_place_of_another_and_cannot_be_a_part_of_its_own() -> None:
    start = start_of(form([("a", b"1", False), ("model", b"old", False), ("file", b"x", True)]), BOUNDARY)
    assert start.changed({"model": "new"}) == (start.begun.removesuffix(b"old") + b"new", len(start.begun))
    for model in ("new\r\n--b0und", "a\0"):
        with pytest.raises(Untranslatable):
            start.changed({"model": model})
    with pytest.raises(Untranslatable, match="before the file"):
        start_of(form([("file", b"x", True), ("model", b"old", False)]), BOUNDARY).changed({"model": "new"})
    assert len(start.begun) < FIELDS_BYTES_MAX


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "model"]), st.binary(max_size=9), st.just(False)), unique_by=lambda p: p[0]
    ),
    st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.text(max_size=9) | st.integers() | st.booleans()),
)
def test_what_a_config_puts_in_is_what_a_reader_finds(
    parts: list[tuple[str, bytes, bool]], changes: dict[str, str | int | bool]
) -> None:
    whole = form([*parts, ("file", b"x" * 100, True)])
    assume(all(MARK not in value for _, value, _ in parts))
    begun, skip = start_of(whole, BOUNDARY).changed(changes)
    said = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in changes.items()}
    was = {name: value.decode("utf-8", "surrogateescape") for name, value, _ in parts}
    assert start_of(begun + whole[skip:], BOUNDARY).fields == {**was, **said}
    assert (begun + whole[skip:]).endswith(b"x" * 100 + b"\r\n" + MARK + b"--\r\n")


@cases(
    "changes",
    [{"a": None}, {"a": [1]}, {"a": {"b": 1}}, {'a"': "x"}, {"a\r\nb": "x"}, {"a": "x\r\n--" + BOUNDARY.decode()}],
)
def test_what_a_form_cannot_say_is_refused_by_name(changes: dict[str, object]) -> None:
    with pytest.raises(Untranslatable, match="`a"):
        start_of(form([("model", b"m", False)]), BOUNDARY).changed(changes)
