"""Heads of a known form: read by one expression, they must come to what the parser and the slow way come to."""

from hypothesis import assume, example, given
from hypothesis import strategies as st

from gateway.upstream.head import FORMS_MAX, LINES_MAX, NAMES_BYTES_MAX, SHORT_HEAD_BYTES, Fields, Forms, _form, form_of
from tests.gateway.upstream.test_chunks import chunk
from tests.gateway.upstream.test_connection import (
    CHUNKED,
    Call,
    by_the_parser_alone,
    chunked,
    cut,
    cut_answers,
    fuzz,
    ok,
    outcome,
)

NAMES = ("Date", "server", "x-ratelimit-limit", "x-request-id", "set-cookie", "Content-Type", "keep-alive", "via")
plain = st.text("ab9 :;,=", max_size=12)
values = st.one_of(*[plain] * 9, st.text("ab \t\x7f\xe9", max_size=3))
others = st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=6).map(
    lambda pairs: [f"{name}: {value}".encode("latin-1") for name, value in pairs]
)
framings = st.sampled_from(
    [
        [b"content-length: %d"],
        [b"Content-Length:%d"],
        [b"content-length: %d", b"connection: keep-alive"],
        [b"connection: close", b"content-length: %d"],
        [b"content-length: %d", b"content-encoding: identity"],
        [CHUNKED],
        [b"Connection: Keep-Alive", b"Transfer-Encoding: chunked"],
        [b"content-length: %d", CHUNKED],
        [],
    ]
)


def written(lines: list[bytes], framing: list[bytes], body: bytes) -> bytes:
    sized = [line % len(body) if b"%d" in line else line for line in framing]
    is_chunked = any(line.lower() == CHUNKED for line in framing)
    return ok(*lines, *sized, body=chunked(body) if is_chunked and body else b"0\r\n\r\n" if is_chunked else body)


async def after(before: bytes, call: Call) -> bool:
    """Whether the connection is free again after that answer has come on it twice."""
    for _ in range(2):
        call.freed.clear()
        call.feed(before)
        if not call.freed:
            return False
        call.answer = call.send()
    call.freed.clear()
    return True


@fuzz
@given(
    lines=others,
    changed=others,
    framing=framings,
    bodies=st.tuples(st.binary(max_size=30), st.binary(max_size=30)),
    behind=st.sampled_from([b"", b"", b"x", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]),
    damage=st.lists(st.tuples(st.integers(0, 400), st.sampled_from(b"\r\n :\t\x00\x7f\xe90aC")), max_size=2),
    at=st.lists(st.integers(0, 400), max_size=2),
)
@example([], [], [b"content-length: %d"], (b"a", b"ab"), b"", [], [])
@example([b"a: b"], [b"a: c\x7f"], [b"content-length: %d"], (b"a", b"ab"), b"", [], [])
async def test_what_comes_is_read_the_same_whether_its_form_is_known_or_not(
    lines, changed, framing, bodies, behind, damage, at
):
    first = written(lines, framing, bodies[0])
    # Mostly the same names with other values, so that the form is met.
    merged = [
        line.partition(b":")[0] + b":" + new.partition(b":")[2] for line, new in zip(lines, changed, strict=False)
    ]
    second = bytearray(written([*merged, *lines[len(merged) :]], framing, bodies[1]) + behind)
    for place, byte in damage:
        second[place % len(second)] = byte
    known, fresh = Call(), Call()
    assume(await after(first, known))
    for call in (known, fresh):
        call.feed(*cut(bytes(second), at))
        call.end()
    assert await outcome(known) == await outcome(fresh)


@fuzz
@given(pieces=cut_answers())
@example([ok(CHUNKED), b"0\r\n\r\n"])
@example([ok(CHUNKED) + chunk(b"a"), chunk(b"b")[:2], chunk(b"b")[2:], b"0\r\n\r\n"])
@example([ok(CHUNKED) + chunk(b"a") + b"0\r\n\r\n"])
@example([ok(CHUNKED) + chunk(b"a") + b"0\r\n\r\n", b"x"])
@example([ok(CHUNKED), chunk(b"a"), b"0\r\nx-trailer: 1\r\n\r\n"])
@example([ok(CHUNKED), chunk(b"a"), b"1\r\na0\r\n\r\n"])
async def test_an_answer_in_chunks_behind_a_known_head_is_the_same_as_by_the_parser_alone(pieces):
    """And so is the one after it, on the same connection."""

    async def outcomes() -> list[object]:
        call, found = Call(), []
        assert await after(ok(CHUNKED, body=chunked(b"before")), call)
        for answer in (pieces, [ok(CHUNKED) + chunk(b"the"), chunk(b"next") + b"0", b"\r\n\r\n"]):
            call.feed(*answer)
            if not call.freed or call.transport.closed:
                call.end()
                return [*found, await outcome(call)]
            found.append(await outcome(call))
            call.freed.clear()
            call.answer = call.send()
        return found

    known = await outcomes()
    with by_the_parser_alone():
        assert await outcomes() == known


async def test_answers_in_chunks_of_a_known_form_never_reach_the_parser(monkeypatch):
    call, whole = Call(), ok(*OPENAI, CHUNKED, body=chunked(b"{}"))
    assert await after(whole, call)
    monkeypatch.setattr(call.connection, "_parser", None)
    for pieces in ([whole], [ok(*OPENAI, CHUNKED), chunk(b"{"), chunk(b"}"), b"0\r\n\r\n"], [whole]):
        call.feed(*pieces)
        assert (await outcome(call))[2:] == (b"{}", True)
        call.answer = call.send()
        call.freed.clear()


@given(lines=others, framing=st.sampled_from([[b"content-length: %d"], [b"Connection: Keep-Alive", CHUNKED]]))
async def test_a_form_says_what_its_head_says(lines, framing):
    answer = written(lines, framing, b"")
    head = answer[: answer.index(b"\r\n\r\n") + 4]
    form = form_of(head)
    call = Call()
    call.feed(answer)
    call.end()
    result = await outcome(call)
    assert form is not None
    match = form.lines.match(head)
    assume(match is not None)  # A value may hold what no form has.
    fields = Fields(form, match)
    assert (result[0], result[1]) == (200, dict(fields))
    assert len(fields) == len(dict(fields))
    places = [*form.places.values()]
    alone = b"".join(fields.lines([(place, place)]) for place in places)
    assert alone == fields.lines([(place, place) for place in places])
    assert fields.lines([(1, places[-1])]).endswith(fields.lines([(places[-1], places[-1])]))


OPENAI = (b"date: Sun", b"x-request-id: r1", b"Content-Type: application/json")


async def test_the_third_answer_of_a_form_is_taken_whole():
    call = Call()
    assert await after(ok(*OPENAI, b"content-length: 2", body=b"{}"), call)
    call.feed(ok(*OPENAI[:2], b"Content-Type: text/plain", b"content-length: 3", body=b"{ }"))
    assert type(call.answer.headers) is Fields
    assert (await outcome(call))[2:] == (b"{ }", True)


async def test_an_answer_of_a_known_form_that_comes_in_pieces_goes_through_the_parser():
    call = Call()
    assert await after(ok(*OPENAI, b"content-length: 2", body=b"{}"), call)
    call.feed(ok(*OPENAI, b"content-length: 3", body=b"{"), b" }")
    assert type(call.answer.headers) is Fields
    assert (await outcome(call))[2:] == (b"{ }", True)


async def test_whole_answers_and_streams_by_turns_are_both_known():
    whole, stream = ok(*OPENAI, b"content-length: 2", body=b"{}"), ok(*OPENAI, CHUNKED, body=chunked(b"data: 1"))
    call = Call()
    for _ in range(2):
        for answer in (whole, stream):
            call.feed(answer)
            call.answer = call.send()
    for answer in (whole, stream, whole):
        call.feed(answer)
        assert type(call.answer.headers) is Fields
        call.answer = call.send()


def test_names_that_never_come_again_make_no_form():
    _form.cache_clear()
    forms = Forms()
    for count in range(50):
        forms.learn((f"x-{count}",), ok(b"x-%d: 1" % count, b"content-length: 0"))
    assert _form.cache_info().currsize == 0


def test_a_connection_knows_but_a_few_forms():
    forms = Forms()
    for count in range(3 * FORMS_MAX):
        for _ in range(2):
            forms.learn((f"x-{count}",), ok(b"x-%d: 1" % count, b"content-length: 0"))
    known = [forms.fields(ok(b"x-%d: 2" % count, b"content-length: 0")) is not None for count in range(3 * FORMS_MAX)]
    assert sum(known) == FORMS_MAX
    assert known[-1]


def test_what_has_no_form():
    sized = b"content-length: 0"
    assert form_of(ok(sized)) is not None
    for head in (
        ok(),
        ok(sized, sized),
        ok(sized, CHUNKED),
        ok(CHUNKED, CHUNKED),
        ok(sized, b"content-encoding: gzip"),
        ok(sized, b"connection: close"),
        ok(sized, b"connection: keep-alive", b"connection: keep-alive"),
        ok(sized, *(b"x: 1" for _ in range(LINES_MAX))),
        ok(sized, b"x" * NAMES_BYTES_MAX + b": 1"),
        ok(sized).replace(b"200", b"201"),
        ok(sized).replace(b"/1.1", b"/1.0"),
    ):
        assert form_of(head) is None


def test_a_long_head_has_none():
    forms = Forms()
    long = ok(b"content-length: 0", b"x: " + b"y" * SHORT_HEAD_BYTES)
    for _ in range(3):
        forms.learn(("content-length", "x"), long)
    assert forms.fields(long) is None
    forms = Forms()
    for _ in range(3):
        forms.learn(("content-length", "x"), ok(b"content-length: 0", b"x: y"))
    assert forms.fields(ok(b"content-length: 0", b"x: y")) is not None
    assert forms.fields(long) is None
