"""What passes through the corridor as it came: where it goes, what goes with it, what comes back, what it cost."""

from typing import Any

import orjson
import pytest

from gateway.providers.base import Door, Passage
from gateway.serve.head import read_passage
from gateway.upstream.errors import ConnectFailed, Cut
from shared.crypto.api_keys import new_api_key
from shared.models.noun import Kind
from tests.fakes.upstream import answers, streams
from tests.fakes.world import AMOUNTS, STORED_KEY, World
from tests.gateway.pipeline.test_pipeline import FALLBACK, ID, Run

FREE = ("none", 0, 0)
NOT_SAID = ("unknown", None, None)
IMAGE = {"model": "sim-chat", "prompt": "A cat"}
MAIN = {"x-portkey-virtual-key": "main"}
cases = pytest.mark.parametrize


def asked(line: str) -> Passage:
    """`GET /v1/files?limit=2` as the gateway reads it."""
    passage = read_passage(f"{line} HTTP/1.1\r\n\r\n".encode())
    assert passage is not None
    return passage


def run(*script: Any, line: str, body: Any = None, headers: dict[str, str] | None = None, **options: Any) -> Run:
    passage = asked(line)
    raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
    if "config" not in options:
        headers = {**MAIN, **(headers or {})}
    return Run(*script, raw=raw, door=passage.door, passage=passage, headers=headers, **options)


def priced() -> World:
    world = World()
    world.price("pr0", provider="sim", model="sim-chat", amounts=AMOUNTS, valid_from="2025-01-01")
    return world


def limited(*models: str) -> World:
    """A world whose caller may use these models only."""
    world = World()
    world.api_key("k1", world.key, models=list(models))
    return world


@cases(
    ("line", "door", "target"),
    [
        ("GET /v1/files?limit=2&after=file-1", Door.FILES, "/v1/files?limit=2&after=file-1"),
        ("DELETE /v1/files/file-1", Door.FILES, "/v1/files/file-1"),
        ("GET /v1/responses/resp_1/input_items", Door.RESPONSES, "/v1/responses/resp_1/input_items"),
        ("POST /v1/batches/b-1/cancel", Door.BATCHES, "/v1/batches/b-1/cancel"),
        ("GET /v1/assistants/a%20b?x=%2F..%2F", Door.PROXY, "/v1/assistants/a%20b?x=%2F..%2F"),
        ("PUT /v1/things/1?", Door.PROXY, "/v1/things/1?"),
        ("PATCH /v1/things/@x:1", Door.PROXY, "/v1/things/@x:1"),
    ],
)
async def test_method_path_and_query_go_on_behind_the_providers_address(line: str, door: Door, target: str) -> None:
    done = await run(answers(200, b"{}"), line=line)()
    (sent,) = done.requests
    assert (sent.head.method, sent.head.target, sent.body) == (line.split(maxsplit=1)[0], target, b"")
    assert (sent.origin.host, sent.origin.port) == ("sim.test", 8000)
    assert (done.record.door, done.record.way, done.record.status) == (door, "virtual_key", 200)
    assert (done.record.provider, done.record.model, done.record.ending) == ("sim", None, "complete")


async def test_headers_go_on_by_the_list_and_the_callers_credentials_never() -> None:
    given = {
        "x-portkey-virtual-key": "main",
        "content-type": 'application/json; x="ü"',
        "accept": "audio/mpeg",
        "openai-beta": "assistants=v2",
        "cookie": "a=b",
        "x-api-key": "sk-caller",
        "x-stainless-lang": "python",
        "user-agent": "someone",
    }
    done = await run(answers(200, b"{}"), line="POST /v1/audio/speech", body=IMAGE, headers=given)()
    lines = done.requests[0].head.headers.decode().split("\r\n")[:-1]
    assert sorted(lines) == sorted(
        [
            'content-type: application/json; x="ü"',
            "accept: audio/mpeg",
            "openai-beta: assistants=v2",
            "user-agent: gatehouse",
            "x-gatehouse-hop: 1",
            f"authorization: Bearer {STORED_KEY}",
        ]
    )


async def test_what_is_answered_comes_back_as_it_is_by_the_list() -> None:
    name = 'attachment; filename="Grüße.bin"'
    answer = answers(
        200,
        b"\x00\x01",
        b"\xff" * 70_000,
        content_type="application/octet-stream",
        headers={
            "content-length": "70002",
            "content-disposition": name.encode().decode("latin-1"),
            "set-cookie": "a=b",
            "location": "https://elsewhere.test",
            "x-request-id": "p-1",
        },
    )
    done = await run(answer, line="GET /v1/files/f-1/content")()
    assert (done.answer.status, done.answer.length) == (200, 70_002)
    assert done.answer.body == b"\x00\x01" + b"\xff" * 70_000
    assert done.answer.headers["content-type"] == "application/octet-stream"
    assert done.answer.headers["content-disposition"] == name
    assert done.answer.headers["x-request-id"] == "p-1"
    assert done.answer.headers["x-portkey-request-id"] == ID
    assert not {"set-cookie", "location", "content-length"} & done.answer.headers.keys()
    assert (done.record.response_bytes, done.record.ending) == (70_002, "complete")


@pytest.mark.parametrize(("length", "body"), [("0" * 5_000, b""), ("0" * 5_000 + "3", b"one")])
async def test_a_length_behind_any_number_of_zeros_is_one(length: str, body: bytes) -> None:
    answer = answers(200, body, content_type="audio/mpeg", headers={"content-length": length})
    done = await run(answer, line="POST /v1/audio/speech", body=IMAGE)()
    assert (done.answer.status, done.answer.length, done.answer.body) == (200, len(body), body)


async def test_an_answer_of_unknown_length_passes_piece_by_piece() -> None:
    done = await run(
        answers(200, b"one", b"two", content_type="audio/mpeg"), line="POST /v1/audio/speech", body=IMAGE
    )()
    assert (done.answer.length, done.answer.chunks) == (None, [b"one", b"two"])
    assert done.record.response_bytes == 6


async def test_an_answer_that_breaks_off_is_cut_and_says_so_in_its_record() -> None:
    pieces = (b"one", Cut("scripted"))
    done = await run(answers(200, *pieces, content_type="audio/mpeg"), line="POST /v1/audio/speech", body=IMAGE)()
    assert (done.answer.body, done.answer.was_cut) == (b"one", True)
    assert (done.record.ending, done.record.error) == ("broken", "upstream_broken")
    assert done.spent == NOT_SAID
    assert done.record.unsettled_count == 1


async def test_an_answer_that_breaks_off_before_its_first_byte_is_seen_to_have_begun() -> None:
    script = answers(200, Cut("scripted"), content_type="audio/mpeg", headers={"content-length": "3"})
    done = await run(script, line="POST /v1/audio/speech", body=IMAGE)()
    assert (done.answer.status, done.answer.body, done.answer.was_cut) == (200, b"", True)
    assert (done.record.ending, done.record.error) == ("broken", "upstream_broken")


async def test_json_that_breaks_off_is_tried_again_and_else_a_502() -> None:
    retried = {"virtual_key": "main", "retry": {"attempts": 1, "on_status_codes": [502]}}
    script = answers(200, b'{"a', Cut("scripted")), answers(200, b"{}")
    done = await run(*script, line="POST /v1/images/generations", body=IMAGE, config=retried)()
    assert (done.answer.status, done.answer.body, done.record.retry_count) == (200, b"{}", 1)
    done = await run(answers(200, b'{"a', Cut("scripted")), line="GET /v1/batches")()
    assert (done.answer.status, done.error["code"]) == (502, "upstream_broken")


@cases("status", [204, 205])
async def test_an_answer_without_a_body_has_none(status: int) -> None:
    done = await run(answers(status), line="DELETE /v1/files/f-1")()
    assert (done.answer.status, done.answer.body) == (status, b"")


async def test_whatever_comes_behind_a_205_lies_within_the_length_that_is_told() -> None:
    forged = b"HTTP/1.1 200 OK\r\n\r\n"
    said = answers(205, forged, content_type="text/plain", headers={"content-length": str(len(forged))})
    done = await run(said, line="DELETE /v1/files/f-1")()
    assert (done.answer.status, done.answer.length, done.answer.body) == (205, len(forged), forged)


async def test_json_is_sent_on_byte_for_byte_and_changed_only_where_a_config_says_so() -> None:
    raw = b'{ "model":"sim-chat",  "prompt": "A cat" }'
    done = await run(answers(200, b"{}"), line="POST /v1/images/generations", body=raw)()
    assert done.requests[0].body == raw
    assert done.record.model == "sim-chat"
    config = {
        "virtual_key": "main",
        "override_params": {"n": 1},
        "default_params": {"size": "s", "prompt": "x"},
        "drop_params": ["quality"],
    }
    body = {**IMAGE, "quality": "high"}
    done = await run(answers(200, b"{}"), line="POST /v1/images/generations", body=body, config=config)()
    assert orjson.loads(done.requests[0].body) == {**IMAGE, "n": 1, "size": "s"}


@cases("body", [b"", b"[1, 2]", b'"text"'])
async def test_a_body_that_is_no_object_is_not_made_one(body: bytes) -> None:
    config = {"virtual_key": "main", "override_params": {"model": "x", "n": 1}, "drop_params": ["a"]}
    done = await run(answers(200, b"{}"), line="POST /v1/batches/b/cancel", body=body, config=config)()
    assert done.requests[0].body == body
    assert done.record.model is None


async def test_a_model_may_name_the_target() -> None:
    for model in ("@main/dall-e", "both"):
        world = World()
        world.workspace(model_aliases={"both": {"virtual_key": "main", "model": "dall-e"}})
        done = await Run(
            answers(200, b"{}"),
            raw=orjson.dumps({**IMAGE, "model": model}),
            door=Door.IMAGES,
            passage=asked("POST /v1/images/generations"),
            world=world,
        )()
        assert orjson.loads(done.requests[0].body)["model"] == "dall-e"
        assert done.record.model == "dall-e"


@cases("line", ["GET /v1/files", "POST /v1/things", "DELETE /v1/x/y"])
async def test_nothing_passes_where_no_target_is_named(line: str) -> None:
    passage = asked(line)
    done = await Run(raw=b"", door=passage.door, passage=passage)()
    assert (done.answer.status, done.error["code"], done.requests) == (400, "target_missing", [])
    assert done.spent == FREE


async def test_a_default_config_is_a_target() -> None:
    world = World()
    world.config("mine", {"virtual_key": "main"})
    world.api_key("k1", world.key, default_config="mine")
    passage = asked("GET /v1/files")
    done = await Run(answers(200, b"{}"), raw=b"", door=Door.FILES, passage=passage, world=world)()
    assert (done.record.way, done.record.status) == ("default_config", 200)


@cases(("pathname", "host"), [("/v1/images/generations", "sim.test"), ("/v1/images/edits", "acme.test")])
async def test_a_condition_sees_the_path(pathname: str, host: str) -> None:
    config = {
        "strategy": {
            "mode": "conditional",
            "conditions": [{"query": {"url.pathname": {"$eq": "/v1/images/generations"}}, "then": "a"}],
            "default": "b",
        },
        "targets": [{"name": "a", "virtual_key": "main"}, {"name": "b", "virtual_key": "second"}],
    }
    done = await run(answers(200, b"{}"), line=f"POST {pathname}", body=IMAGE, config=config)()
    assert done.hosts == [host]


async def test_a_call_without_an_upload_is_tried_again_and_elsewhere() -> None:
    done = await run(ConnectFailed("x"), answers(200, b"{}"), line="GET /v1/files", config=FALLBACK)()
    assert (done.hosts, done.record.fallback_count) == (["sim.test", "acme.test"], 1)
    done = await run(answers(503, b"{}"), answers(200, b"{}"), line="POST /v1/rerank", body=IMAGE, config=FALLBACK)()
    assert (done.answer.status, done.record.fallback_count) == (200, 1)


async def test_a_providers_error_is_shaped_as_elsewhere() -> None:
    body = orjson.dumps({"error": {"message": "No such File", "type": "t", "param": None, "code": "c"}})
    done = await run(answers(404, body, headers={"retry-after": "3"}), line="GET /v1/files/f-1")()
    said = orjson.loads(done.answer.body)
    assert (done.answer.status, said["error"]["message"]) == (404, "sim error: No such File")
    assert done.answer.headers["content-type"] == "application/json"
    assert (done.record.error, done.spent) == ("provider_error", FREE)


@cases("status", [301, 302, 307])
async def test_a_redirect_is_not_followed_and_leads_nobody_away(status: int) -> None:
    answer = answers(status, b"", headers={"location": "https://elsewhere.test/?key=1"})
    done = await run(answer, line="GET /v1/files/f-1/content")()
    assert (done.answer.status, len(done.requests)) == (status, 1)
    assert "location" not in done.answer.headers


async def test_nothing_passes_to_a_provider_whose_requests_are_of_its_own_kind() -> None:
    world = World()
    world.put("global", Kind.PROVIDER, id="aws", name="A", base_url="https://aws.test", dialect="bedrock")
    world.virtual_key("aws", "aws", STORED_KEY)
    done = await run(line="GET /v1/files", headers={"x-portkey-virtual-key": "aws"}, world=world)()
    assert (done.answer.status, done.error["code"], done.requests) == (400, "door_unsupported", [])


# Whose models are limited


@cases("world", [limited("sim-*"), None])
@cases(
    ("line", "body", "passes"),
    [
        ("POST /v1/images/generations", {"model": "sim-chat"}, True),
        ("POST /v1/images/generations", {"model": "other"}, False),
        ("POST /v1/moderations", {"input": "x"}, False),
        ("POST /v1/threads/runs", {"assistant_id": "a"}, False),
        ("POST /v1/things", [1], False),
        ("POST /v1/things", None, False),
        ("PUT /v1/batches/b", None, False),
        ("GET /v1/files", None, True),
        ("DELETE /v1/files/f", None, True),
        ("POST /v1/responses/r/cancel", None, True),
    ],
)
async def test_where_models_are_limited_only_what_can_be_checked_passes(
    world: World | None, line: str, body: Any, passes: bool
) -> None:
    if world is None:
        world = World()
        world.virtual_key("main", "sim", STORED_KEY, models=["sim-chat"])
    done = await run(answers(200, b"{}"), line=line, body=body, world=world)()
    assert done.answer.status == (200 if passes else 403)
    if not passes:
        assert done.error["code"] == "model_forbidden"
        assert done.requests == []


async def test_of_two_models_in_one_body_the_checked_one_goes_on() -> None:
    raw = b'{"model": "other", "prompt": "x", "model": "sim-chat"}'
    done = await run(answers(200, b"{}"), line="POST /v1/images/generations", body=raw, world=limited("sim-*"))()
    assert done.requests[0].body.count(b"model") == 1
    assert orjson.loads(done.requests[0].body)["model"] == "sim-chat"


# As in the original (reference/portkey.md 2.4, 2.5, 2.8)

RETRIED = {"virtual_key": "main", "retry": {"attempts": 2, "on_status_codes": [503]}}


@cases(
    ("script", "status", "told"),
    [
        ((answers(503, b"{}"), answers(503, b"{}"), answers(200, b"{}")), 200, "2"),
        ((answers(503, b"{}"), answers(503, b"{}"), answers(503, b"{}")), 503, "-1"),
        ((answers(400, b"{}"),), 400, "0"),
        ((Cut("scripted"), answers(200, b"{}")), 200, "1"),
        ((answers(200, b'{"error": {"message": "No"}}'),), 200, "0"),
        ((answers(200, b'{"broken'),), 200, "0"),
    ],
    ids=["tried again", "used up", "not listed", "reset", "an error inside of a 200", "json that is none"],
)
@cases("line", ["POST /v1/images/generations", "PUT /v1/things/1", "DELETE /v1/files/f", "GET /v1/batches/b"])
async def test_retries_2_5(script: Any, status: int, told: str, line: str) -> None:
    body = IMAGE if line.startswith(("POST", "PUT")) else None
    done = await run(*script, line=line, body=body, config=RETRIED)()
    assert (done.answer.status, done.answer.headers["x-portkey-retry-attempt-count"]) == (status, told)
    assert len({request.head.target for request in done.requests}) == 1


@cases("codes", [None, [429]])
async def test_fallbacks_2_5(codes: list[int] | None) -> None:
    config = {**FALLBACK, "strategy": {"mode": "fallback", **({"on_status_codes": codes} if codes else {})}}
    done = await run(answers(404, b"{}"), answers(200, b"{}"), line="GET /v1/files/f", config=config)()
    assert done.answer.status == (404 if codes else 200)


async def test_weights_decide_as_elsewhere_2_4() -> None:
    config = {
        "strategy": {"mode": "loadbalance"},
        "targets": [{"virtual_key": "main", "weight": 0}, {"virtual_key": "second", "weight": 1}],
    }
    done = await run(answers(200, b"{}"), line="GET /v1/files", config=config)()
    assert done.answer.headers["x-portkey-last-used-option-index"] == "config.targets[1]"


async def test_forwarded_headers_and_a_custom_host_2_4() -> None:
    config = {"provider": "sim", "custom_host": "https://other.test/base", "forward_headers": ["x-mine"]}
    done = await run(
        answers(200, b"{}"), line="GET /v1/files?a=1", config=config, headers={"x-mine": "1", "x-not": "2"}
    )()
    (sent,) = done.requests
    assert (sent.origin.host, sent.head.target) == ("other.test", "/base/files?a=1")
    assert b"x-mine: 1\r\n" in sent.head.headers
    assert b"x-not" not in sent.head.headers


@cases("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
async def test_events_keep_their_names_and_their_line_ends_2_8(end: bytes) -> None:
    events = [b"event: a" + end[: len(end) // 2] + b'data: {"n":1}' + end, b": ping" + end, b"data: [DONE]" + end]
    done = await run(streams(*events), line="POST /v1/audio/speech", body=IMAGE)()
    assert done.answer.body == b"".join(events)
    assert done.record.ending == "complete"


# What is refused


@cases(
    ("line", "body", "code"),
    [
        ("POST /v1/images/generations", b"{", "json_malformed"),
        ("POST /v1/images/generations", {"model": 7}, "body_invalid"),
        ("POST /v1/images/generations", {"model": "m", "stream": "yes"}, "body_invalid"),
        ("GET /v1/files", {"a": 1}, "body_invalid"),
    ],
)
async def test_a_callers_mistake_is_a_400(line: str, body: Any, code: str) -> None:
    done = await run(line=line, body=body)()
    assert (done.answer.status, done.error["code"], done.requests) == (400, code, [])


@cases("place", ["/v1/files?key={}", "/v1/files/{}", "/v1/files?a=gh%5F{}"])
async def test_a_key_of_ours_in_the_address_goes_nowhere(place: str) -> None:
    key = new_api_key().reveal_text()
    given = place.format(key if "%5F" not in place else key.removeprefix("gh_"))
    done = await run(line=f"GET {given}")()
    assert (done.answer.status, done.error["code"], done.requests) == (400, "header_invalid", [])
    assert key.removeprefix("gh_") not in done.answer.body.decode()


# What it cost

MESSAGES_USAGE = {
    "input_tokens": 2,
    "cache_read_input_tokens": 20,
    "cache_creation_input_tokens": 5,
    "output_tokens": 9,
}


@cases(
    ("line", "said", "spent"),
    [
        ("POST /v1/images/generations", {"usage": {"input_tokens": 3, "output_tokens": 5}}, ("provider", 3, 5)),
        ("POST /v1/audio/transcriptions", {"usage": {"type": "duration", "seconds": 7}}, NOT_SAID),
        ("POST /v1/rerank", {"usage": {"prompt_tokens": 9, "total_tokens": 9}}, ("provider", 9, 0)),
        ("POST /v1/rerank", {"meta": {"billed_units": {"search_units": 1}}}, NOT_SAID),
        ("POST /v1/moderations", {"results": []}, NOT_SAID),
        ("POST /v1/things", {"usage": {"prompt_tokens": 2, "completion_tokens": 1}}, ("provider", 2, 1)),
        ("POST /v1/things", {"usage": "much"}, NOT_SAID),
        ("POST /v1/things", {"usage": MESSAGES_USAGE}, ("provider", 27, 9)),
        ("POST /v1/batches", {"id": "b"}, NOT_SAID),
        ("POST /v1/batches", {"id": "b", "usage": {"input_tokens": 0, "output_tokens": 0}}, NOT_SAID),
        ("POST /v1/batches/b/cancel", {"usage": {"input_tokens": 3, "output_tokens": 5}}, FREE),
        ("GET /v1/responses/r", {"usage": {"input_tokens": 3, "output_tokens": 5}}, FREE),
        ("DELETE /v1/responses/r", {"deleted": True}, FREE),
        ("POST /v1/files", {"id": "f"}, FREE),
    ],
)
async def test_what_was_used_is_what_the_provider_says_and_else_unknown(line: str, said: Any, spent: Any) -> None:
    body = None if line.startswith(("GET", "DELETE")) else {"model": "sim-chat"}
    done = await run(answers(200, orjson.dumps(said)), line=line, body=body, world=priced())()
    assert done.spent == spent
    usage, read, written = spent
    money = {"provider": (read or 0) * 1_000_000 + (written or 0) * 2_000_000, "none": 0, "unknown": None}
    assert done.record.cost_picousd == money[usage]


async def test_the_parts_of_what_was_used_are_read_in_either_spelling() -> None:
    usage = {
        "input_tokens": 9,
        "input_token_details": {"text_tokens": 2, "audio_tokens": 7, "cached_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 1},
    }
    done = await run(answers(200, orjson.dumps({"usage": usage})), line="POST /v1/audio/x", body=IMAGE)()
    assert (done.record.audio_input_tokens, done.record.reasoning_tokens) == (7, 1)


async def test_tokens_of_pictures_are_counted_and_not_charged_as_text() -> None:
    usage = {"input_tokens": 9, "input_tokens_details": {"image_tokens": 7}, "output_tokens": 5}
    answer = answers(200, orjson.dumps({"usage": usage}))
    done = await run(answer, line="POST /v1/images/edits", body=IMAGE, world=priced())()
    assert done.spent == ("provider", 9, 5)
    assert done.record.cost_picousd is None


@cases("body", [b"", b"not json", b"[]", b'{"a": "' + b"x" * 20_000 + b'"}'])
async def test_whatever_a_provider_calls_json_passes(body: bytes) -> None:
    done = await run(answers(200, body), line="POST /v1/images/generations", body=IMAGE)()
    assert (done.answer.status, done.answer.body) == (200, body)
    assert done.spent == NOT_SAID


# Streams

EVENTS = (
    b'event: image_generation.partial_image\ndata: {"type":"image_generation.partial_image","b64_json":"x"}\n\n',
    b'data: {"type":"image_generation.completed","usage":{"input_tokens":3,"output_tokens":5}}\n\n',
)


async def test_events_pass_one_by_one_and_what_was_used_is_read_in_passing() -> None:
    body = {**IMAGE, "stream": True}
    done = await run(streams(*EVENTS), line="POST /v1/images/generations", body=body)()
    assert done.answer.body == b"".join(EVENTS)
    assert done.answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (done.record.stream, done.record.ending, done.spent) == (True, "complete", ("provider", 3, 5))


@cases("at", range(1, len(EVENTS[0]) + 3, 17))
async def test_a_stream_that_breaks_ends_with_an_error_event_behind_the_last_whole_one(at: int) -> None:
    data = b"".join(EVENTS)[:at]
    done = await run(streams(data, Cut("scripted")), line="POST /v1/images/generations", body=IMAGE)()
    if done.answer.status == 502:
        return  # Nothing whole had come.
    whole, _, event = done.answer.body.rpartition(b"event: error\ndata: ")
    assert whole in (b"", EVENTS[0])
    assert orjson.loads(event)["error"]["code"] == "upstream_broken"
    assert (done.record.ending, done.spent) == ("broken", NOT_SAID)


async def test_an_error_before_anything_else_in_a_stream_is_an_answer_and_falls_back() -> None:
    failed = streams(b'event: error\ndata: {"type":"error","code":"rate_limit_exceeded","message":"No"}\n\n')
    done = await run(failed, answers(200, b"{}"), line="POST /v1/images/generations", body=IMAGE, config=FALLBACK)()
    assert (done.answer.status, done.record.fallback_count) == (200, 1)
    failed = streams(b'event: error\ndata: {"type":"error","code":"rate_limit_exceeded","message":"No"}\n\n')
    done = await run(failed, line="POST /v1/images/generations", body=IMAGE)()
    assert (done.answer.status, orjson.loads(done.answer.body)["error"]["message"]) == (429, "sim error: No")
