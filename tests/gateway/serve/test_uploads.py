"""Uploads through the lane: they pass while they come, bounded, and what goes wrong with one ends it alone."""

import asyncio
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.providers.form import start_of
from gateway.serve.lane import UPLOAD_BYTES_PER_WAIT_MIN
from gateway.upstream.errors import Cut
from gateway.upstream.upload import AHEAD_BYTES_MAX, KEPT_BYTES_MAX
from shared.clock import FakeClock
from tests.fakes.front import LIMITS, Front, front, opened
from tests.fakes.taker import Early, Taker
from tests.fakes.transport import MemoryTransport
from tests.fakes.upstream import answers
from tests.fakes.world import World
from tests.fixtures.wire import Wire, request
from tests.gateway.serve.test_lane import AUTH, HANG_S, WORLD, answered, chat, cut, gone, in_chunks, quiet, until

fuzz = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FILES = "/v1/files"
TO_MAIN = {**AUTH, "x-portkey-virtual-key": "main"}
SOUND = {**TO_MAIN, "content-type": "audio/wav"}
DATA = bytes(range(256)) * 12
MANY = b"\r\n\r\n\x00" * 200_000
framings = pytest.mark.parametrize("framing", ["sized", "chunked"])


def upload(data: bytes = DATA, *, framing: str = "sized", path: str = FILES, headers: Any = None) -> bytes:
    whole = request("POST", path, SOUND if headers is None else headers, data)
    return whole if framing == "sized" else in_chunks(whole)


def form(*fields: tuple[str, bytes], boundary: str = "b0und", **headers: str) -> bytes:
    """A request with a form of these fields; one called `file` is a file."""
    body = b""
    for name, value in fields:
        file = '; filename="a.wav"\r\ncontent-type: audio/wav' if name == "file" else ""
        body += (
            f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + value + b"\r\n"
        )
    given = {**AUTH, "content-type": f"multipart/form-data; boundary={boundary}", **headers}
    return request("POST", "/v1/audio/transcriptions", given, body + f"--{boundary}--\r\n".encode())


def taking(*script: Any, world: World = WORLD, **options: Any) -> tuple[Front, Taker, MemoryTransport]:
    taker = Taker(*script)
    behind = front(client=taker, world=world, **options)
    return behind, taker, behind.caller()


async def ended(behind: Front) -> None:
    async with asyncio.timeout(HANG_S):
        await behind.records.ended.wait()


@framings
@pytest.mark.parametrize("data", [DATA, MANY, b"\r\n", b"0"], ids=len)
async def test_an_upload_goes_on_as_it_came_and_the_connection_stays(framing: str, data: bytes) -> None:
    behind, taker, caller = taking()
    caller.feed(upload(data, framing=framing) + chat())
    first, second = await answered(caller, 2)
    assert (first.status, second.status, first.closes) == (200, 200, False)
    assert bytes(taker.taken[0].body) == data
    assert taker.requests[0].upload is not None
    assert taker.requests[0].upload.length == (len(data) if framing == "sized" else None)
    record = behind.records.records[0]
    assert (record.door, record.request_bytes, record.ending, record.usage) == ("files", len(data), "complete", "none")
    await gone(behind, caller)


@fuzz
@given(st.lists(st.integers(0, 100_000), max_size=12), st.sampled_from(["sized", "chunked"]))
async def test_an_upload_cut_anywhere_is_the_same_and_so_is_what_follows(at: list[int], framing: str) -> None:
    behind, taker, caller = taking()
    caller.feed(*cut(upload(framing=framing) + chat() + upload(b"x", framing=framing), at))
    assert [reply.status for reply in await answered(caller, 3)] == [200, 200, 200]
    assert [bytes(taken.body) for taken in taker.taken] == [DATA, b'{"model": "sim-chat"}', b"x"]
    assert len(behind.records.records) == 3
    await gone(behind, caller)


@fuzz
@given(st.integers(0, 10_000), st.sampled_from(["sized", "chunked"]), st.sampled_from(["hang_up", "lose"]))
async def test_a_caller_who_leaves_at_any_byte_takes_the_provider_along_and_is_recorded_once(
    at: int, framing: str, how: str
) -> None:
    behind, taker, caller = taking()
    data = upload(framing=framing)
    head = data.index(b"\r\n\r\n") + 4
    at = head + at % (len(data) - head)
    caller.feed(data[:at])
    await quiet()
    getattr(caller, how)()
    await gone(behind, caller)
    assert [record.ending for record in behind.records.records] == ["left"]
    assert behind.records.last.usage == "none"
    assert all(taken.left and not taken.whole for taken in taker.taken)
    assert all(DATA.startswith(bytes(taken.body)) for taken in taker.taken)


async def test_the_body_is_asked_for_only_when_it_is_known_where_it_goes() -> None:
    for headers, status in (
        ({**SOUND, "authorization": "Bearer gh_nobody"}, 401),
        ({**AUTH, "content-type": "a/b"}, 400),
    ):
        behind, taker, caller = taking()
        whole = upload(headers={**headers, "expect": "100-continue"})
        caller.feed(whole[: whole.index(b"\r\n\r\n") + 4])
        (refused,) = await answered(caller)
        assert (refused.status, refused.closes, taker.taken) == (status, True, [])
        await gone(behind, caller)
    behind, taker, caller = taking()
    whole = upload(headers={**SOUND, "expect": "100-continue"})
    caller.feed(whole[: whole.index(b"\r\n\r\n") + 4])
    (interim,) = await answered(caller)
    assert interim.status == 100
    caller.feed(DATA)
    assert [reply.status for reply in await answered(caller, 2)] == [100, 200]
    await gone(behind, caller)


async def test_a_refused_upload_is_read_no_further_unless_it_has_come() -> None:
    behind, _, caller = taking()
    caller.feed(upload(headers={**AUTH, "content-type": "a/b"}) + chat())
    first, second = await answered(caller, 2)
    assert (first.status, first.code, first.closes, second.status) == (400, "target_missing", False, 200)
    await gone(behind, caller)
    behind, _, caller = taking()
    data = upload(MANY, headers={**AUTH, "content-type": "a/b"})
    caller.feed(data[:5_000])
    (refused,) = await answered(caller)
    assert (refused.status, refused.closes) == (400, True)
    caller.feed(data[5_000:] + chat())
    await quiet()
    assert len(await answered(caller)) == 1
    assert caller.half_closed
    await gone(behind, caller)


async def test_a_provider_who_answers_early_is_heard_and_the_rest_dropped() -> None:
    body = orjson.dumps({"error": {"message": "Too large", "type": "t", "param": None, "code": "c"}})
    behind, taker, caller = taking(Early(1_000, answers(413, body)))
    data = upload(MANY)
    caller.feed(data[:5_000])
    (reply,) = await answered(caller)
    assert (reply.status, reply.closes) == (413, True)
    caller.feed(data[5_000:], chat())
    await quiet()
    assert caller.reading
    assert len(await answered(caller)) == 1
    assert len(behind.records.records) == 1
    assert (behind.records.last.status, behind.records.last.error) == (413, "provider_error")
    assert taker.taken[0].left
    await gone(behind, caller)


async def test_a_caller_who_only_reads_when_all_is_sent_gets_an_early_answer_too() -> None:
    behind, taker, caller = taking(Early(1_000, answers(413, b"x" * 200_000)))
    caller.hold()
    data = upload(MANY)
    for at in range(0, len(data), 50_000):
        caller.feed(data[at : at + 50_000])
        await quiet()
        assert caller.reading, at
    caller.take()
    (reply,) = await answered(caller)
    assert (reply.status, taker.taken[0].whole) == (413, False)
    await gone(behind, caller)


# Backpressure


async def test_no_more_is_read_than_the_provider_takes() -> None:
    behind, taker, caller = taking()
    taker.holds = True
    data, fed = upload(MANY), 0
    while caller.reading:
        caller.feed(data[fed : fed + 16_384])
        fed += 16_384
        await quiet()
    assert AHEAD_BYTES_MAX < fed <= AHEAD_BYTES_MAX + 2 * 16_384
    taker.let_go()
    await quiet()
    assert caller.reading
    caller.feed(data[fed:])
    assert [reply.status for reply in await answered(caller)] == [200]
    assert bytes(taker.taken[0].body) == MANY
    await gone(behind, caller)


# What is malformed, too large, too slow


@pytest.mark.parametrize("broken", [b"zz\r\n", b"5\r\nabcdefgh\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n"])
@pytest.mark.parametrize("before", [b"", b"400\r\n" + bytes(1_024) + b"\r\n"])
async def test_broken_chunks_are_a_400_and_end_it_at_the_provider(before: bytes, broken: bytes) -> None:
    behind, taker, caller = taking()
    head = upload(b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
    caller.feed(head + before)
    await quiet()
    caller.feed(broken, chat())
    (reply,) = await answered(caller)
    await quiet()
    assert (reply.status, reply.code, reply.closes) == (400, "http_malformed", True)
    assert len(await answered(caller)) == 1
    (taken,) = taker.taken
    assert taken.left
    assert not taken.whole
    record = behind.records.last
    assert (len(behind.records.records), record.ending, record.error) == (1, "refused", "http_malformed")
    assert (record.usage, record.unsettled_count) == ("none", 0)
    await gone(behind, caller)


async def test_a_length_that_is_too_short_or_too_long() -> None:
    behind, taker, caller = taking()
    caller.feed(upload().replace(b"content-length: %d" % len(DATA), b"content-length: 100"))
    first, second = await answered(caller, 2)
    assert (first.status, second.status, second.closes) == (200, 400, True)
    assert bytes(taker.taken[0].body) == DATA[:100]
    await gone(behind, caller)
    behind, _, caller = taking()
    caller.feed(upload().replace(b"content-length: %d" % len(DATA), b"content-length: 9999"))
    await quiet()
    caller.hang_up()
    await ended(behind)
    assert behind.records.last.ending == "left"
    await gone(behind, caller)


@framings
async def test_more_than_an_upload_may_have_is_413(framing: str) -> None:
    behind, taker, caller = taking(upload_bytes_max=2_000)
    data = upload(framing=framing)
    caller.feed(data[:1_000])
    await quiet()
    caller.feed(data[1_000:])
    (reply,) = await answered(caller)
    assert (reply.status, reply.code, reply.closes) == (413, "body_too_large", True)
    assert len(taker.taken) == (framing == "chunked")
    assert len(behind.records.records) == 1
    await gone(behind, caller)


@pytest.mark.parametrize("body", [b'{"model": "x"}' + b" " * 1_000, b"{}" * 600])
async def test_json_stays_within_the_usual_limit_on_every_path(body: bytes) -> None:
    behind, _, caller = taking()
    caller.feed(request("POST", "/v1/images/generations", TO_MAIN, body))
    (reply,) = await answered(caller)
    assert (reply.status, reply.code) == (413, "body_too_large")
    await gone(behind, caller)


def turned(taker: Taker) -> tuple[FakeClock, Front, MemoryTransport]:
    clock = FakeClock()
    behind = front(client=taker, world=WORLD, clock=clock, sweep_s=86_400.0)
    return clock, behind, behind.caller()


def after(clock: FakeClock, behind: Front, seconds: float) -> None:
    clock.advance(seconds)
    behind.server.sweep(clock.monotonic_s())


async def test_an_upload_that_trickles_is_408_and_ends_at_the_provider() -> None:
    taker = Taker()
    clock, behind, caller = turned(taker)
    data = upload(bytes(UPLOAD_BYTES_PER_WAIT_MIN * 3))
    caller.feed(data[:1_000])
    await quiet()
    for _ in range(9):
        caller.feed(b"\0")
        after(clock, behind, LIMITS.body_wait_s / 10)
        await quiet()
        assert not caller.written
    after(clock, behind, LIMITS.body_wait_s / 10)
    (reply,) = await answered(caller)
    assert (reply.status, reply.code, reply.closes) == (408, "body_timeout", True)
    assert taker.taken[0].left
    assert behind.records.last.error == "body_timeout"
    await gone(behind, caller)


async def test_an_upload_that_moves_may_take_longer_than_a_body_and_so_may_one_that_we_do_not_read() -> None:
    taker = Taker()
    clock, behind, caller = turned(taker)
    data = upload(bytes(UPLOAD_BYTES_PER_WAIT_MIN * 6))
    step = UPLOAD_BYTES_PER_WAIT_MIN + 300
    for at in range(0, 5 * step, step):
        caller.feed(data[at : at + step])
        await quiet()
        after(clock, behind, LIMITS.body_wait_s)
    assert not caller.written
    caller.feed(data[5 * step :])
    assert [reply.status for reply in await answered(caller)] == [200]
    await gone(behind, caller)

    taker = Taker()
    taker.holds = True
    clock, behind, caller = turned(taker)
    caller.feed(upload(MANY)[:-1])
    await quiet()
    for _ in range(5):
        after(clock, behind, LIMITS.body_wait_s)
    await quiet()
    assert not caller.written
    taker.let_go()
    await quiet()
    caller.feed(MANY[-1:])
    assert [reply.status for reply in await answered(caller)] == [200]
    await gone(behind, caller)


# Tried again


RETRY = orjson.dumps({"virtual_key": "main", "retry": {"attempts": 1, "on_status_codes": [503]}}).decode()
BOTH = orjson.dumps(
    {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "main"}, {"virtual_key": "second"}]}
).decode()


@pytest.mark.parametrize("config", [RETRY, BOTH])
@pytest.mark.parametrize("step", [Early(100, answers(503, b"{}")), answers(503, b"{}"), Cut("scripted")])
async def test_an_upload_that_is_small_still_can_go_elsewhere_and_a_large_one_not(config: str, step: Any) -> None:
    headers = {**AUTH, "content-type": "audio/wav", "x-portkey-config": config}
    behind, taker, caller = taking(step)
    caller.feed(*cut(upload(headers=headers), [400, 2_000]))
    (reply,) = await answered(caller)
    assert reply.status == 200
    assert [bytes(taken.body) for taken in taker.taken][-1] == DATA
    assert len(taker.taken) == 2
    await gone(behind, caller)


@pytest.mark.parametrize("config", [RETRY, BOTH])
async def test_of_a_large_upload_nothing_is_kept_so_it_is_tried_once(config: str) -> None:
    headers = {**AUTH, "content-type": "audio/wav", "x-portkey-config": config}
    behind, taker, caller = taking(answers(503, b"{}"))
    data = upload(bytes(KEPT_BYTES_MAX + 1), headers=headers)
    for at in range(0, len(data), 200_000):
        caller.feed(data[at : at + 200_000])
        await quiet()
    (reply,) = await answered(caller)
    assert (reply.status, len(taker.taken)) == (503, 1)
    await gone(behind, caller)


# Forms


async def test_the_first_fields_of_a_form_name_its_model_and_so_its_target() -> None:
    behind, taker, caller = taking()
    sent = form(("model", b"@main/whisper"), ("language", b"de"), ("file", MANY))
    caller.feed(*cut(sent, [300, 350, 400, 450, 500, 100_000]))
    assert [reply.status for reply in await answered(caller)] == [200]
    body = sent.partition(b"\r\n\r\n")[2]
    assert bytes(taker.taken[0].body) == body.replace(b"@main/whisper", b"whisper", 1)
    upload_ = taker.requests[0].upload
    assert upload_ is not None
    assert upload_.left is not None
    assert upload_.left + len(taker.requests[0].body) == len(body) - len("@main/")
    record = behind.records.last
    assert (record.model, record.way, record.request_bytes, record.usage) == ("whisper", "model", len(body), "unknown")
    await gone(behind, caller)


async def test_a_form_whose_file_comes_first_needs_another_word_on_where_it_goes() -> None:
    behind, taker, caller = taking()
    caller.feed(form(("file", b"x"), ("model", b"@main/whisper")))
    (reply,) = await answered(caller)
    assert (reply.status, reply.code) == (400, "target_missing")
    await gone(behind, caller)
    behind, taker, caller = taking()
    sent = form(("file", b"x"), ("model", b"whisper"), **{"x-portkey-virtual-key": "main"})
    caller.feed(sent)
    assert [reply.status for reply in await answered(caller)] == [200]
    assert bytes(taker.taken[0].body) == sent.partition(b"\r\n\r\n")[2]
    assert behind.records.last.model is None
    await gone(behind, caller)


async def test_a_config_puts_its_model_into_a_form_or_says_why_it_cannot() -> None:
    config = orjson.dumps({"virtual_key": "main", "override_params": {"model": "gpt-transcribe"}}).decode()
    behind, taker, caller = taking()
    caller.feed(form(("model", b"whisper"), ("file", b"x"), **{"x-portkey-config": config}))
    assert [reply.status for reply in await answered(caller)] == [200]
    assert b"\r\n\r\ngpt-transcribe\r\n--" in taker.taken[0].body
    await gone(behind, caller)
    behind, taker, caller = taking()
    caller.feed(form(("file", b"x"), ("model", b"whisper"), **{"x-portkey-config": config}))
    (reply,) = await answered(caller)
    assert (reply.status, reply.code, taker.taken) == (400, "body_invalid", [])
    await gone(behind, caller)


def configured(**fields: object) -> dict[str, str]:
    return {"x-portkey-config": orjson.dumps({"virtual_key": "main", **fields}).decode()}


@pytest.mark.parametrize("at", [[], [300, 500, 700, 60_000]])
async def test_a_config_puts_its_fields_into_a_form_while_it_passes(at: list[int]) -> None:
    fields = {
        "override_params": {"language": "de", "temperature": 0.5, "diarize": True},
        "default_params": {"prompt": "P"},
    }
    behind, taker, caller = taking()
    file = ("file", b"x" * 200_000)
    sent = form(("model", b"whisper"), ("language", b"en"), file, **configured(**fields))
    for piece in cut(sent, at):
        caller.feed(piece)
        await quiet()
    assert [reply.status for reply in await answered(caller)] == [200]
    taken = taker.taken[0]
    assert taken.whole
    read = start_of(bytes(taken.body), b"b0und").fields
    assert read == {"model": "whisper", "language": "de", "temperature": "0.5", "diarize": "true", "prompt": "P"}
    assert bytes(taken.body).count(b"x" * 200_000) == 1
    upload_ = taker.requests[0].upload
    assert upload_ is not None
    assert upload_.left is not None
    assert upload_.left + len(taker.requests[0].body) == len(taken.body)
    await gone(behind, caller)


@pytest.mark.parametrize("name", [b"language", b"Language[]"])
async def test_a_field_behind_the_file_that_a_config_puts_before_it_ends_the_call(name: bytes) -> None:
    behind, taker, caller = taking()
    config = configured(override_params={"language": "de"})
    caller.feed(form(("model", b"whisper"), ("file", b"x" * 200_000), (name.decode(), b"en"), **config))
    (reply,) = (await answered(caller))[:1]
    assert (reply.status, reply.code) == (400, "body_invalid")
    assert not any(taken.whole for taken in taker.taken)
    await gone(behind, caller)


async def test_a_form_that_goes_on_elsewhere_is_held_to_what_is_put_into_it_there_and_to_no_more() -> None:
    first, second = {"virtual_key": "main", "override_params": {"language": "de"}}, {"virtual_key": "main"}
    config = orjson.dumps({"strategy": {"mode": "fallback"}, "targets": [first, second]}).decode()
    behind, taker, caller = taking(Early(1_000, answers(503, b"{}")))
    file = ("file", b"x" * 20_000)
    sent = form(("model", b"whisper"), file, ("language", b"en"), **{"x-portkey-config": config})
    for piece in cut(sent, [5_000]):
        caller.feed(piece)
        await quiet()
    assert [reply.status for reply in await answered(caller)] == [200]
    assert bytes(taker.taken[1].body) == sent.partition(b"\r\n\r\n")[2]
    await gone(behind, caller)


async def test_what_a_form_cannot_say_is_refused_by_name() -> None:
    behind, taker, caller = taking()
    caller.feed(form(("model", b"whisper"), ("file", b"x"), **configured(override_params={"tools": [1]})))
    (reply,) = await answered(caller)
    assert (reply.status, reply.code, taker.taken) == (400, "body_invalid", [])
    assert b"`tools`" in reply.body
    await gone(behind, caller)


async def test_what_runs_no_model_gets_no_field_of_a_config() -> None:
    behind, taker, caller = taking()
    sent = form(("purpose", b"batch"), ("file", b"x"), **configured(override_params={"temperature": 1}))
    caller.feed(sent.replace(b"/v1/audio/transcriptions", b"/v1/files", 1))
    assert [reply.status for reply in await answered(caller)] == [200]
    assert bytes(taker.taken[0].body) == sent.partition(b"\r\n\r\n")[2]
    await gone(behind, caller)


def limited() -> World:
    world = World()
    world.api_key("k1", world.key, models=["whisper*"])
    return world


LIMITED = limited()
LIMITED_AUTH = {"authorization": f"Bearer {LIMITED.key}", "x-portkey-virtual-key": "main"}


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([("model", b"whisper-1"), ("file", b"x" * 200_000)], 200),
        ([("language", b"de"), ("model", b"whisper-1"), ("file", b"x"), ("prompt", b"y")], 200),
        ([("model", b"gpt"), ("file", b"x")], 403),
        ([("file", b"x"), ("model", b"whisper-1")], 403),
        ([("file", b"x")], 403),
        ([("model", b"whisper-1"), ("file", b"x" * 200_000), ("model", b"gpt")], 400),
        ([("model", b"whisper-1"), ("model", b"gpt"), ("file", b"x")], 403),
        ([("model", b"gpt"), ("model", b"whisper-1"), ("file", b"x")], 400),
        ([("model", b"whisper-1"), ("file", b"x"), ("Model ", b"gpt")], 400),
        ([("model", b"whisper-1"), ("file", b"x\n--b0und\ny")], 400),
    ],
)
@pytest.mark.parametrize("at", [[], [700, 701, 900, 60_000]])
async def test_where_models_are_limited_a_form_names_one_and_no_other(
    fields: list[tuple[str, bytes]], status: int, at: list[int]
) -> None:
    behind, taker, caller = taking(world=LIMITED)
    for piece in cut(form(*fields, **LIMITED_AUTH), at):
        caller.feed(piece)
        await quiet()
    (reply,) = (await answered(caller))[:1]
    assert reply.status == status
    assert all(taken.whole is (status == 200) for taken in taker.taken)
    assert len(behind.records.records) == 1
    await gone(behind, caller)


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
@pytest.mark.parametrize("behind_end", [b"", chat()], ids=["alone", "with more behind"])
async def test_a_form_that_is_refused_for_its_last_piece_has_its_connection_closed_in_time(
    chunked: bool, behind_end: bytes
) -> None:
    clock = FakeClock()
    behind, taker, caller = taking(world=LIMITED, clock=clock, sweep_s=86_400.0)
    whole = form(("model", b"whisper-1"), ("file", b"x" * 200_000), ("model", b"gpt"), **LIMITED_AUTH)
    whole = in_chunks(whole) if chunked else whole
    caller.feed(whole[:100_000])
    await quiet()
    assert len(taker.taken) == 1
    caller.feed(whole[100_000:] + behind_end)
    assert [(reply.status, reply.closes) for reply in await answered(caller)] == [(400, True)]
    await quiet()
    after(clock, behind, LIMITS.linger_s)
    assert caller.closed
    await quiet()
    assert behind.is_empty
    assert len(behind.records.records) == 1


async def test_where_models_are_limited_what_is_no_form_sets_none_to_work() -> None:
    for path, status in (("/v1/audio/transcriptions", 403), ("/v1/files", 200)):
        behind, _, caller = taking(world=LIMITED)
        caller.feed(request("POST", path, {**LIMITED_AUTH, "content-type": "audio/wav"}, DATA))
        assert [reply.status for reply in await answered(caller)] == [status]
        await gone(behind, caller)


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", 'multipart/form-data; boundary="a"; boundary=b'],
)
async def test_a_form_without_a_clear_boundary_is_a_400(content_type: str) -> None:
    behind, _, caller = taking()
    caller.feed(upload(headers={**TO_MAIN, "content-type": content_type}))
    (reply,) = await answered(caller)
    assert (reply.status, reply.code) == (400, "content_type_invalid")
    await gone(behind, caller)


async def test_a_get_has_no_body() -> None:
    behind, _, caller = taking()
    caller.feed(upload().replace(b"POST", b"GET", 1))
    (reply,) = await answered(caller)
    assert (reply.status, reply.code) == (400, "body_invalid")
    await gone(behind, caller)


async def test_uploads_have_their_places_among_those_that_run() -> None:
    behind, taker, caller = taking(running_requests_max=1)
    taker.holds = True
    caller.feed(upload())
    await quiet()
    other = behind.caller()
    other.feed(upload(MANY)[:5_000])
    (refused,) = await answered(other)
    assert (refused.status, refused.closes) == (503, True)
    taker.let_go()
    assert [reply.status for reply in await answered(caller)] == [200]
    other.lose()
    await gone(behind, caller)


async def test_an_upload_on_a_socket_and_the_next_request_on_the_same() -> None:
    taker = Taker()
    async with opened(client=taker) as door, await Wire.open(door.port) as wire:
        headers = {**door.auth, "x-portkey-virtual-key": "main", "content-type": "application/octet-stream"}
        for data in (MANY, b"x"):
            await wire.send(request("POST", FILES, headers, data))
            assert (await wire.reply()).status == 200
        assert [bytes(taken.body) for taken in taker.taken] == [MANY, b"x"]


async def test_draining_lets_an_upload_end() -> None:
    behind, taker, caller = taking()
    data = upload()
    caller.feed(data[:1_000])
    await quiet()
    closing = asyncio.ensure_future(behind.server.close(HANG_S))
    await quiet()
    caller.feed(data[1_000:])
    (reply,) = await answered(caller)
    assert (reply.status, reply.closes, taker.taken[0].whole) == (200, True, True)
    await until(caller, lambda: caller.closed)
    await closing
