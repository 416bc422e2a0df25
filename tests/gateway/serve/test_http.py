"""The public door on a real loopback socket: what is not as it must be is refused in our shape, by name."""

import asyncio

import orjson
import pytest
from structlog.testing import capture_logs

from gateway.serve.head import HEAD_BYTES_MAX, HEADERS_MAX
from gateway.upstream.errors import Cut
from gateway.upstream.messages import UpstreamRequest, UpstreamResponse
from shared.models.noun import Kind
from shared.paths import ADMIN_NOUNS
from tests.fakes.front import BODY, BODY_BYTES_MAX, CHAT, error, opened
from tests.fakes.upstream import Hang, Step, answers, streams
from tests.fakes.world import World
from tests.fixtures.wire import Wire, request

OK = b'{"id": "1"}'
EVENT = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
FINISH = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


# Answers


async def test_a_plain_answer_and_the_next_on_the_same_connection() -> None:
    async with opened(answers(200, OK), answers(429, b"{}")) as door, await Wire.open(door.port) as wire:
        first = await wire.post(CHAT, BODY, door.auth)
        second = await wire.post(CHAT, BODY, door.auth)
        assert (first.status, first.body, first.headers["content-length"]) == (200, OK, str(len(OK)))
        assert (first.headers["x-portkey-request-id"], second.headers["x-portkey-request-id"]) == (
            f"lg_{1:032x}",
            f"lg_{2:032x}",
        )
        assert second.status == 429
        assert "aiohttp" not in str(first.headers).lower()


@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/embeddings"])
async def test_every_door_opens(path: str) -> None:
    async with opened(answers(200, OK)) as door:
        assert (await door.post(path=path)).body == OK
        assert door.client.requests[0].head.target.endswith(path.removeprefix("/v1"))


async def test_each_event_leaves_at_once_and_the_body_ends_properly() -> None:
    hang = Hang()
    async with opened(streams(EVENT, hang, FINISH, DONE)) as door, await Wire.open(door.port) as wire:
        await wire.send(request("POST", CHAT, door.auth, {**BODY, "stream": True}))
        head = await wire.head()
        assert head.headers["transfer-encoding"] == "chunked"
        assert head.headers["content-type"].startswith("text/event-stream")
        assert await wire.chunk() == EVENT
        hang.released.set()
        assert [await wire.chunk(), await wire.chunk(), await wire.chunk()] == [FINISH, DONE, b""]


async def test_a_cut_upstream_ends_with_an_error_event_and_the_last_chunk() -> None:
    async with opened(streams(EVENT, Cut("x"))) as door:
        reply = await door.post({**BODY, "stream": True})
        assert reply.raw_body.endswith(b"0\r\n\r\n")
        assert orjson.loads(reply.events[-1])["error"]["code"] == "upstream_broken"
        assert "[DONE]" not in reply.events


async def test_http_1_0_is_answered_whole_and_streamed_until_the_connection_ends() -> None:
    async with opened(answers(200, OK), streams(EVENT, FINISH, DONE)) as door:
        for stream, expected in ((False, OK), (True, EVENT + FINISH + DONE)):
            data = request("POST", CHAT, door.auth, {**BODY, "stream": stream}).replace(b"HTTP/1.1", b"HTTP/1.0")
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(data)
            async with asyncio.timeout(20):
                answer = await reader.read()
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.")
            assert b" 200 " in head.split(b"\r\n")[0]
            assert b"transfer-encoding" not in head.lower()
            assert body == expected
            writer.close()
            await writer.wait_closed()


@pytest.mark.parametrize("status", [204, 304, 302, 404, 500])
async def test_whatever_a_provider_answers_the_next_answer_begins_where_it_should(status: int) -> None:
    async with opened(answers(status, b"{}"), answers(200, OK)) as door, await Wire.open(door.port) as wire:
        assert (await wire.post(CHAT, BODY, door.auth)).status == (502 if status in (204, 304) else status)
        assert (await wire.post(CHAT, BODY, door.auth)).body == OK


# The head


@pytest.mark.parametrize(
    "data",
    [
        b"NONSENSE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\nx",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nbad name: x\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\na: b\r\n folded\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\na: \x00\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}",
        b"POST /v1/chat/completions HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_400_in_our_shape(data: bytes) -> None:
    async with opened() as door:
        reply = await door.raw(data)
        assert reply.status == 400
        assert reply.json()["error"]["code"] in ("http_malformed", "header_invalid")
        error(reply, 400, reply.json()["error"]["code"])
        assert door.client.requests == []


async def test_the_server_goes_on_after_what_is_not_http() -> None:
    async with opened(answers(200, OK)) as door:
        await door.raw(b"NONSENSE\r\n\r\n")
        assert (await door.post()).status == 200


async def test_a_transfer_coding_on_http_1_0_ends_the_connection() -> None:
    data = (
        b"POST /v1/chat/completions HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    async with opened() as door, await Wire.open(door.port) as wire:
        await wire.send(data + b"0\r\n\r\n")
        error(await wire.reply(), 400, "http_malformed")
        assert await wire.ended(), "what follows could be read in two ways"


ONCE = [
    *("authorization", "x-api-key", "api-key", "x-goog-api-key"),
    *(f"x-{ours}-{word}" for ours in ("portkey", "gatehouse") for word in ("api-key", "config", "provider")),
    *("x-portkey-virtual-key", "x-gatehouse-virtual-key", "x-portkey-custom-host", "x-gatehouse-custom-host"),
]


@pytest.mark.parametrize("name", ONCE)
async def test_a_header_that_decides_comes_once(name: str) -> None:
    async with opened() as door:
        head = request("POST", CHAT, {**door.auth, name: "application/json"}, BODY)
        twice = head.replace(b"\r\n\r\n", f"\r\n{name.upper()}: application/json\r\n\r\n".encode(), 1)
        assert error(await door.raw(twice), 400, "header_invalid")["error"]["param"] == name


async def test_other_headers_may_repeat() -> None:
    async with opened(answers(200, OK)) as door:
        head = request("POST", CHAT, {**door.auth, "x-forwarded-for": "a"}, BODY)
        assert (await door.raw(head.replace(b"\r\n\r\n", b"\r\nx-forwarded-for: b\r\n\r\n", 1))).status == 200


async def test_more_headers_than_the_limit_are_refused_and_as_many_pass() -> None:
    async with opened(answers(200, OK)) as door:
        # Host, content-length, content-type and authorization come with every request here.
        most = {f"a-{i}": "b" for i in range(HEADERS_MAX - 4)}
        assert (await door.post(headers=most)).status == 200
        assert (await door.post(headers={**most, "one": "more"})).status == 400


@pytest.mark.parametrize("shape", ["one long", "many"])
async def test_a_head_longer_than_the_limit_is_refused(shape: str) -> None:
    sent = {"a": "b" * HEAD_BYTES_MAX} if shape == "one long" else {f"a-{i}": "b" * 400 for i in range(50)}
    async with opened() as door:
        reply = await door.post(headers=sent)
        assert reply.status == 400
        error(reply, 400, reply.json()["error"]["code"])


@pytest.mark.parametrize("given", ["text/plain", "multipart/form-data; boundary=x", "application/jsonx", ""])
async def test_another_content_type_is_refused_by_name(given: str) -> None:
    async with opened() as door:
        body = error(await door.post(headers={"content-type": given}), 400, "content_type_invalid")
        assert body["error"]["param"] == "content-type"


@pytest.mark.parametrize("given", ["application/json; charset=utf-8", "Application/JSON", None])
async def test_json_and_no_content_type_at_all_are_taken(given: str | None) -> None:
    async with opened(answers(200, OK)) as door:
        data = request("POST", CHAT, door.auth, BODY)
        own = b"" if given is None else f"content-type: {given}\r\n".encode()
        assert (await door.raw(data.replace(b"content-type: application/json\r\n", own))).status == 200


async def test_a_content_coding_is_refused_by_name() -> None:
    async with opened() as door:
        body = error(await door.post(headers={"content-encoding": "gzip"}), 400, "content_type_invalid")
        assert body["error"]["param"] == "content-encoding"


# The body


@pytest.mark.parametrize("size", [BODY_BYTES_MAX, BODY_BYTES_MAX + 1])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("pieces", [1, 5])
async def test_a_body_over_the_limit_is_413_and_one_at_it_passes(size: int, chunked: bool, pieces: int) -> None:
    body = b'{"model":"sim-chat","a":"' + b"x" * (size - 27) + b'"}'
    assert len(body) == size
    async with opened(answers(200, OK)) as door, await Wire.open(door.port) as wire:
        head = request("POST", CHAT, door.auth, b"").replace(b"content-length: 0", b"content-length: %d" % size)
        if chunked:
            head = head.replace(b"content-length: %d" % size, b"transfer-encoding: chunked")
        step = -(-size // pieces)
        parts = [body[i : i + step] for i in range(0, size, step)]
        framed = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts] if chunked else parts
        await wire.send(head + framed[0] + (b"0\r\n\r\n" if chunked and pieces == 1 else b""))
        for part in framed[1:]:
            await wire.send(part)
        if chunked and pieces > 1:
            await wire.send(b"0\r\n\r\n")
        reply = await wire.reply()
        if size <= BODY_BYTES_MAX:
            assert reply.status == 200
            assert door.client.requests[0].body == body
        else:
            error(reply, 413, "body_too_large")
            assert str(BODY_BYTES_MAX) in reply.json()["message"]
            assert door.client.requests == []


async def test_a_length_over_the_limit_is_refused_before_its_body_comes() -> None:
    async with opened() as door, await Wire.open(door.port) as wire:
        head = request("POST", CHAT, door.auth, b"").replace(b"content-length: 0", b"content-length: 99999999999")
        await wire.send(head)
        error(await wire.reply(), 413, "body_too_large")


@pytest.mark.parametrize("sent", [b"", b'{"mod'])
async def test_a_body_that_does_not_come_is_408(sent: bytes) -> None:
    async with opened(body_wait_s=0.05) as door, await Wire.open(door.port) as wire:
        head = request("POST", CHAT, door.auth, b"").replace(b"content-length: 0", b"content-length: 100")
        await wire.send(head + sent)
        error(await wire.reply(), 408, "body_timeout")


async def test_broken_chunks_are_400() -> None:
    async with opened() as door, await Wire.open(door.port) as wire:
        head = request("POST", CHAT, door.auth, b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
        await wire.send(head)
        await wire.send(b"zz\r\n")
        error(await wire.reply(), 400, "http_malformed")


async def test_expect_is_answered_before_the_body_comes() -> None:
    async with opened(answers(200, OK)) as door, await Wire.open(door.port) as wire:
        head = request("POST", CHAT, {**door.auth, "expect": "100-continue"}, b"")
        body = orjson.dumps(BODY)
        await wire.send(head.replace(b"content-length: 0", b"content-length: %d" % len(body)))
        assert (await wire.head()).status == 100
        await wire.send(body)
        assert (await wire.reply()).body == OK


async def test_malformed_json_says_where() -> None:
    async with opened() as door:
        body = error(await door.post(b'{\n "model": x}'), 400, "json_malformed")
        assert "line 2, column 11 (byte 12)" in body["message"]


# Paths


@pytest.mark.parametrize("noun", sorted(ADMIN_NOUNS))
@pytest.mark.parametrize("rest", ["", "/x", "/x/y"])
async def test_admin_paths_are_elsewhere(noun: str, rest: str) -> None:
    async with opened() as door:
        assert noun in error(await door.get(f"/v1/{noun}{rest}"), 404, "admin_api_elsewhere")["message"]


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v2/files", "/chat/completions", CHAT + "/", "//v1/models", "/v1/x%2F", "/%ff"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "HEAD"])
async def test_an_unknown_path_is_404_naming_what_there_is(path: str, method: str) -> None:
    async with opened() as door, await Wire.open(door.port) as wire:
        await wire.send(request(method, path, door.auth))
        if method == "HEAD":
            assert (await wire.head()).status == 404
        else:
            assert CHAT in error(await wire.reply(), 404, "path_unknown")["message"]


async def test_strange_request_targets_are_no_500() -> None:
    async with opened() as door:
        for line in (b"OPTIONS *", b"GET http://a/v1/x", b"CONNECT a:443", b"GET /?x=%zz", b"GET /a b"):
            reply = await door.raw(line + b" HTTP/1.1\r\nhost: a\r\n\r\n")
            assert 400 <= reply.status < 500, line


@pytest.mark.parametrize(
    ("path", "method"), [(CHAT, "GET"), (CHAT, "PUT"), ("/v1/models", "POST"), ("/v1/models/x", "DELETE")]
)
async def test_the_wrong_method_is_405(path: str, method: str) -> None:
    async with opened() as door:
        assert method in error(await door.get(path, method), 405, "method_not_allowed")["message"]


@pytest.mark.parametrize(("path", "method"), [("/v1/files", "OPTIONS"), ("/v1/images/x", "TRACE"), ("/v1/x", "get")])
async def test_a_method_that_passes_nowhere_is_405_and_names_those_that_do(path: str, method: str) -> None:
    async with opened() as door:
        assert 400 <= (await door.get(path, method)).status <= 405


async def test_a_path_of_a_provider_passes_and_another_query_than_text_is_400() -> None:
    async with opened(answers(200, b"{}")) as door:
        door.auth["x-portkey-virtual-key"] = "main"
        reply = await door.get("/v1/files?limit=1")
        assert (reply.status, reply.body) == (200, b"{}")
        assert (door.client.requests[0].head.method, door.client.requests[0].head.target) == (
            "GET",
            "/v1/files?limit=1",
        )
        assert door.records.last.door == "files"
        for query in (b"a=\xff", b"a#b", b"a=\x01"):
            reply = await door.raw(b"GET /v1/files?" + query + b" HTTP/1.1\r\nhost: a\r\n\r\n")
            assert reply.status == 400, query


async def test_models_are_listed_and_shown_one_by_one() -> None:
    world = World()
    world.put("global", Kind.MODEL, id="m8", provider="sim", name="org/deep model")
    async with opened(world=world) as door:
        listed = (await door.get("/v1/models")).json()
        assert [row["id"] for row in listed["data"]] == [
            "@main/both",
            "@second/both",
            "acme-chat",
            "org/deep model",
            "sim-chat",
        ]
        for row in listed["data"]:
            path = "/v1/models/" + row["id"].replace(" ", "%20")
            assert (await door.get(path)).json() == row
            assert (await door.get(path.replace("@", "%40"))).json() == row
        missing = await door.get("/v1/models/none")
        assert "none" in error(missing, 404, "model_not_found")["message"]


async def test_models_need_a_key() -> None:
    async with opened() as door:
        error(await door.raw(b"GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n"), 401, "api_key_missing")


async def test_probes_say_alive_and_ready() -> None:
    async with opened() as door:
        assert (await door.raw(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n")).status == 200
        ready = await door.raw(b"GET /readyz HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (ready.status, ready.json()) == (200, {"status": "ready", "sequence": 7})


async def test_without_a_configuration_it_is_alive_not_ready_and_says_when_to_come_back() -> None:
    async with opened(ready=False) as door:
        assert (await door.get("/livez")).status == 200
        assert (await door.get("/readyz")).status == 503
        for reply in (await door.post(), await door.get("/v1/models")):
            error(reply, 503, "not_ready")
            assert reply.headers["retry-after"] == "2"


# Load, leaving, faults


async def test_over_the_limit_of_running_requests_is_503_and_the_place_is_given_back() -> None:
    hang = Hang()
    async with opened(hang, answers(200, OK), answers(200, OK), running_requests_max=1) as door:
        first = asyncio.create_task(door.post())
        await hang.reached.wait()
        second = await door.post()
        error(second, 503, "overloaded")
        assert second.headers["retry-after"] == "1"
        assert (await door.get("/livez")).status == 200
        hang.released.set()
        assert (await first).status == 200
        assert (await door.post()).status == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_who_leaves_cancels_the_provider_and_frees_the_place(stream: bool) -> None:
    hang = Hang()
    step: list[Step] = [streams(EVENT, hang)] if stream else [answers(200, OK[:3], hang)]
    async with opened(*step, answers(200, OK), running_requests_max=1) as door:
        wire = await Wire.open(door.port)
        await wire.send(request("POST", CHAT, door.auth, {**BODY, "stream": stream}))
        await hang.reached.wait()
        await wire.close()
        async with asyncio.timeout(20):
            await door.records.ended.wait()
        assert door.client.responses[0].aborted
        assert door.records.last.ending == "left"
        assert (await door.post()).status == 200


class Faulty:
    """A client with a bug."""

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        raise RuntimeError("sk-marker")

    async def close(self) -> None: ...


async def test_a_fault_of_our_own_is_500_in_our_shape_and_the_server_goes_on() -> None:
    with capture_logs() as logged:
        await meet_a_fault()
    assert [line["event"] for line in logged if line.get("exc_info")] == ["request_failed"], "an operator finds it"


async def meet_a_fault() -> None:
    async with opened(client=Faulty()) as door:
        reply = await door.post()
        assert "marker" not in error(reply, 500, "internal_error")["message"]
        assert len(door.records.records) == 1
        assert (await door.get("/livez")).status == 200


async def test_a_slow_reader_holds_the_provider_back() -> None:
    big = b'data: {"choices":[],"x":"' + b"x" * 200_000 + b'"}\n\n'
    events = 200
    async with opened(streams(*([big] * events), FINISH, DONE)) as door, await Wire.open(door.port) as wire:
        await wire.send(request("POST", CHAT, door.auth, {**BODY, "stream": True}))
        await wire.head()
        response = door.client.responses[0]
        still = -1
        while len(response._pieces) != still:
            still = len(response._pieces)
            for _ in range(50):
                await asyncio.sleep(0.001)
        assert still > events // 4, "the provider was read to its end though nobody reads us"
        total = 0
        while piece := await wire.chunk():
            total += len(piece)
        assert total == len(big) * events + len(FINISH + DONE)
