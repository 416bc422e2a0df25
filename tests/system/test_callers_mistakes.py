"""What callers do wrong: each is told what and where, in both shapes of error, and none of it is a fault of ours."""

import gzip
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from shared.crypto.api_keys import new_api_key
from tests.fixtures.stack import Stack, chat
from tests.fixtures.wire import Reply, Wire, call, look, request

CHAT = "/v1/chat/completions"
MIB = 1024 * 1024


def assert_refused(reply: Reply, status: int, code: str) -> dict[str, Any]:
    """The gateway's own error, as OpenAI's clients and as Portkey's read it. Its `error` object."""
    body = reply.json()
    assert (reply.status, body["error"]["code"]) == (status, code), body
    error: dict[str, Any] = body["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert body["status"] == "failure"
    assert body["message"] == error["message"]
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-portkey-request-id"] == body["request_id"]
    assert body["request_id"].startswith("lg_")
    assert reply.headers.get("x-should-retry") == (None if status in (408, 502, 503, 504) else "false")
    return error


@dataclass(frozen=True, slots=True)
class Mistake:
    status: int
    code: str
    names: str = ""
    """What the message has to name."""
    body: Any = field(default_factory=chat)
    headers: dict[str, str] = field(default_factory=dict)
    key: str | None = "caller"
    """Which of the stack's keys comes along as `authorization`."""
    path: str = CHAT
    method: str = "POST"


def config(body: Any, **rest: Any) -> dict[str, Any]:
    text = body if isinstance(body, str) else json.dumps(body)
    return {"headers": {"x-portkey-config": text, **rest}}


def router(query: Any, then: str = "a", **rest: Any) -> dict[str, Any]:
    """A config with one condition and no default."""
    strategy = {"mode": "conditional", "conditions": [{"query": query, "then": then}]}
    return config({"strategy": strategy, "targets": [{"name": "a", "virtual_key": "simulator"}]}, **rest)


def nested(depth: int) -> dict[str, Any]:
    return {"virtual_key": "simulator"} if depth == 0 else {"targets": [nested(depth - 1)]}


def alien(host: str) -> dict[str, Any]:
    """A call with the caller's own provider key to a host of the caller's own."""
    return {"provider": "openai", "api_key": "sk-own", "custom_host": host}


MISTAKES = {
    # The body.
    "no body": Mistake(400, "json_malformed", "empty", b""),
    "half an object": Mistake(400, "json_malformed", "line 1, column 2", b"{"),
    "wrong bracket": Mistake(400, "json_malformed", "line 1, column 2", b"{]"),
    "half a word": Mistake(400, "json_malformed", "column", b"nul"),
    "leading zero": Mistake(400, "json_malformed", "column 7 (byte 6)", b'{"a": 01}'),
    "comma at the end": Mistake(400, "json_malformed", "line 2, column 6 (byte 16)", '{"ä":\n "東京",\n}'.encode()),
    "more behind the object": Mistake(400, "json_malformed", "column 16", b'{"model": "x"} more'),
    "not a number": Mistake(400, "json_malformed", "column", b'{"temperature": NaN}'),
    "single quotes": Mistake(400, "json_malformed", "column 2", b"{'a': 1}"),
    "no text": Mistake(400, "json_malformed", "column", b"\xff\xfe\x00"),
    "broken text": Mistake(400, "json_malformed", "column", b'{"model": "\xc3("}'),
    "utf-16": Mistake(400, "json_malformed", "column", json.dumps(chat()).encode("utf-16")),
    "half a surrogate": Mistake(400, "json_malformed", "column", b'{"model": "\\ud800"}'),
    "control character in a string": Mistake(400, "json_malformed", "column", b'{"model": "a\nb"}'),
    "very deep": Mistake(400, "json_malformed", "column", b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "form data": Mistake(400, "json_malformed", "column 1", b"model=gpt-4&stream=true"),
    "array": Mistake(400, "body_invalid", "object", []),
    "text": Mistake(400, "body_invalid", "object", "hello"),
    "number": Mistake(400, "body_invalid", "object", 7),
    "null": Mistake(400, "body_invalid", "object", b"null"),
    "true": Mistake(400, "body_invalid", "object", True),
    "model is a number": Mistake(400, "body_invalid", "model", chat(model=7)),
    "model is empty": Mistake(400, "body_invalid", "model", chat(model="")),
    "model is a list": Mistake(400, "body_invalid", "model", chat(model=["a"])),
    "model is an object": Mistake(400, "body_invalid", "model", chat(model={})),
    "no model": Mistake(400, "model_missing", "model", {"messages": []}),
    "model is null": Mistake(400, "model_missing", "model", chat(model=None)),
    "stream is a word": Mistake(400, "body_invalid", "stream", chat(stream="yes")),
    "stream is a number": Mistake(400, "body_invalid", "stream", chat(stream=1)),
    "only an at": Mistake(400, "body_invalid", "@", chat(model="@")),
    "slug without a model": Mistake(400, "body_invalid", "@simulator", chat(model="@simulator")),
    "slug with an empty model": Mistake(400, "body_invalid", "@simulator/", chat(model="@simulator/")),
    "empty slug": Mistake(400, "slug_unknown", "@", chat(model="@/gpt-4o")),
    "unknown slug": Mistake(400, "slug_unknown", "@nowhere", chat(model="@nowhere/gpt-4o")),
    "unknown slug in another script": Mistake(400, "slug_unknown", "@nïrgends", chat(model="@nïrgends/x")),
    "slug with line ends": Mistake(400, "slug_unknown", r"a\r\nb: c", chat(model="@a\r\nb: c/x")),
    # The config.
    "config is half an object": Mistake(400, "config_invalid", "line 1, column 2", **config("{")),
    "config is a list": Mistake(400, "config_invalid", "object", **config("[]")),
    "config of no such name": Mistake(400, "slug_unknown", "pc-none", **config("pc-none")),
    "config with a made-up key": Mistake(400, "config_invalid", "made_up", **config({"made_up": 1})),
    "config with a mode of no such name": Mistake(
        400, "config_invalid", "mode", **config({"strategy": {"mode": "best"}, "targets": [{}]})
    ),
    "config that optimizes without an objective": Mistake(
        400, "config_invalid", "objective", **config({"strategy": {"mode": "optimize"}, "targets": [{}]})
    ),
    "config with a key to come": Mistake(400, "config_invalid", "prompt_id", **config({"prompt_id": "p"})),
    "config with an operator there is not": Mistake(
        400,
        "config_invalid",
        "Unsupported operator used in the query router: $zzz",
        **router({"metadata.x": {"$zzz": 1}}),
    ),
    "config with a pattern that could take for ever": Mistake(
        400, "config_invalid", "RE2", **router({"metadata.x": {"$regex": "(a+)+(?=b)"}})
    ),
    "config with a condition that names nobody": Mistake(
        400, "config_invalid", "Invalid target name found in the query router: other", **router({}, then="other")
    ),
    "config in which no condition holds": Mistake(
        400,
        "target_missing",
        "Query router did not resolve to any valid target",
        **router({"params.model": "other"}),
    ),
    "config that decides by metadata which is none": Mistake(
        400, "header_invalid", "x-portkey-metadata", **router({"metadata.x": 1}, **{"x-portkey-metadata": "{"})
    ),
    "config whose weights are all nothing": Mistake(
        400,
        "config_invalid",
        "weights",
        **config({"strategy": {"mode": "loadbalance"}, "targets": [{"virtual_key": "simulator", "weight": 0}]}),
    ),
    "timeout that is no number": Mistake(
        400, "header_invalid", "x-portkey-request-timeout", headers={"x-portkey-request-timeout": "soon"}
    ),
    "cookie to be forwarded": Mistake(400, "header_invalid", "cookie", headers={"x-portkey-forward-headers": "Cookie"}),
    "call that goes in circles": Mistake(508, "loop_detected", "3 gateways", headers={"x-gatehouse-hop": "3"}),
    "config without targets to choose from": Mistake(
        400, "config_invalid", "targets", **config({"strategy": {"mode": "fallback"}})
    ),
    "config with no target": Mistake(400, "config_invalid", "targets", **config({"targets": []})),
    "config with an empty target": Mistake(400, "target_missing", "provider", **config({"targets": [{}]})),
    "config with too many targets": Mistake(
        400, "config_invalid", "targets", **config({"targets": [{"virtual_key": "a"}] * 101})
    ),
    "config nested too deep": Mistake(400, "config_invalid", "deep", **config(nested(20))),
    "config with two ways": Mistake(
        400, "config_invalid", "not both", **config({"provider": "openai", "virtual_key": "simulator"})
    ),
    "config with a key for nobody": Mistake(400, "config_invalid", "provider", **config({"api_key": "sk-x"})),
    "config with an unknown virtual key": Mistake(400, "slug_unknown", "@none", **config({"virtual_key": "none"})),
    "config with an unknown provider": Mistake(400, "provider_unknown", "acme", **config({"provider": "acme"})),
    "config with parameters that are none": Mistake(
        400, "config_invalid", "override_params", **config({"virtual_key": "simulator", "override_params": [1]})
    ),
    "config with a host that is none": Mistake(400, "config_invalid", "host", **config(alien("not a host"))),
    "config with a host that carries a password": Mistake(
        400, "config_invalid", "password", **config(alien("http://user:secret@example.org/v1"))
    ),
    "config with a host in the metadata network": Mistake(
        400, "custom_host_forbidden", "host", **config(alien("http://169.254.169.254/latest"))
    ),
    "config with a private host": Mistake(400, "custom_host_forbidden", "host", **config(alien("http://10.0.0.1/v1"))),
    "config with this machine by another name": Mistake(
        400, "custom_host_forbidden", "host", **config(alien("http://[::ffff:10.0.0.1]/v1"))
    ),
    "config with the unspecified address": Mistake(
        400, "custom_host_forbidden", "host", **config(alien("http://0.0.0.0/v1"))
    ),
    # Other headers.
    "unknown virtual key": Mistake(400, "slug_unknown", "@none", headers={"x-portkey-virtual-key": "none"}),
    "unknown provider slug": Mistake(400, "slug_unknown", "@none", headers={"x-portkey-provider": "@none"}),
    "unknown provider": Mistake(400, "provider_unknown", "acme", headers={"x-portkey-provider": "acme"}),
    "provider without its key": Mistake(
        400, "provider_key_missing", "openai", headers={"x-portkey-provider": "openai"}
    ),
    "host that is none": Mistake(400, "config_invalid", "host", headers={"x-portkey-custom-host": "::::"}),
    "host for a stored key": Mistake(
        400,
        "inline_custom_host_blocked",
        "@simulator",
        headers={"x-portkey-virtual-key": "simulator", "x-portkey-custom-host": "https://evil.example/v1"},
    ),
    "door the provider has not": Mistake(
        400,
        "door_unsupported",
        "groq",
        {"model": "m", "input": "x"},
        path="/v1/embeddings",
        **config({"provider": "groq", "api_key": "k"}),
    ),
    "text instead of JSON": Mistake(400, "content_type_invalid", "text/plain", headers={"content-type": "text/plain"}),
    "form instead of JSON": Mistake(
        400, "content_type_invalid", "multipart", headers={"content-type": "multipart/form-data; boundary=x"}
    ),
    "packed body": Mistake(
        400,
        "content_type_invalid",
        "content-encoding",
        gzip.compress(json.dumps(chat()).encode()),
        headers={"content-encoding": "gzip"},
    ),
    # Who calls.
    "no key": Mistake(401, "api_key_missing", "Authorization", key=None),
    "a provider's key": Mistake(
        401, "api_key_missing", "Authorization", key=None, headers={"authorization": "Bearer sk-x"}
    ),
    "basic authorization": Mistake(
        401, "api_key_missing", "Authorization", key=None, headers={"authorization": "Basic dXNlcjpwdw=="}
    ),
    "half a key": Mistake(401, "invalid_api_key", "valid", key=None, headers={"x-portkey-api-key": "gh_abc"}),
    "key that nobody made": Mistake(
        401, "invalid_api_key", "valid", key=None, headers={"x-api-key": new_api_key().reveal_text()}
    ),
    "key of another kind": Mistake(
        401, "api_key_missing", "gh_", key=None, headers={"x-api-key": new_api_key("gha").reveal_text()}
    ),
    "two keys": Mistake(400, "api_keys_conflict", "two", headers={"x-portkey-api-key": new_api_key().reveal_text()}),
    "expired key": Mistake(401, "api_key_expired", "expired", key="expired"),
    "revoked key": Mistake(401, "invalid_api_key", "valid", key="revoked"),
    "key without the scope": Mistake(403, "scope_missing", "completions.write", key="unscoped"),
    "model the key may not use": Mistake(403, "model_forbidden", "gpt-4o", chat(model="gpt-4o"), key="narrow"),
    "model the key may not use, by slug": Mistake(
        403, "model_forbidden", "sim-embed", chat(model="@simulator/sim-embed"), key="narrow"
    ),
    "config where none may be brought": Mistake(
        400, "inline_config_blocked", "config", key="strict", **config({"virtual_key": "simulator"})
    ),
    "provider key where none may be brought": Mistake(
        400,
        "inline_provider_blocked",
        "virtual key",
        key="strict",
        headers={"x-portkey-provider": "simulator", "x-api-key": "sk-own"},
    ),
    "provider the workspace may not call": Mistake(
        403, "provider_forbidden", "other", chat(model="@forbidden/x"), key="strict"
    ),
    "model that several reach": Mistake(400, "model_ambiguous", "@second/sim-chat", key="strict"),
    "model that nobody lists": Mistake(400, "target_missing", "gpt-4o", chat(model="gpt-4o"), key="strict"),
    # Where to.
    "reading a chat": Mistake(405, "method_not_allowed", "POST", method="GET"),
    "putting a chat": Mistake(405, "method_not_allowed", "POST", method="PUT"),
    "asking for options": Mistake(405, "method_not_allowed", "POST", method="OPTIONS"),
    "posting to the models": Mistake(405, "method_not_allowed", "GET", path="/v1/models"),
    "no such path": Mistake(404, "path_unknown", "/v2/chatter", path="/v2/chatter"),
    "slash at the end": Mistake(404, "path_unknown", "completions/", path=CHAT + "/"),
    "root": Mistake(404, "path_unknown", "/", path="/", method="GET"),
    "percent signs": Mistake(404, "path_unknown", "", path="/v1/%00%ff%2e%2e/x", method="GET"),
    "admin path": Mistake(404, "admin_api_elsewhere", "/v1/configs", path="/v1/configs", method="GET"),
    "model that is not there": Mistake(404, "model_not_found", "none", path="/v1/models/none", method="GET"),
    "models without a key": Mistake(401, "api_key_missing", "Authorization", key=None, path="/v1/models", method="GET"),
}


def test_mistakes_are_as_many_as_promised() -> None:
    assert len(MISTAKES) >= 60


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
async def test_mistake_is_told_by_name(stack: Stack, mistake: Mistake) -> None:
    key = {"authorization": f"Bearer {stack.keys[mistake.key]}"} if mistake.key else {}
    async with await Wire.open(stack.port) as wire:
        body = mistake.body if mistake.method == "POST" else None
        await wire.send(request(mistake.method, mistake.path, {**key, **mistake.headers}, body))
        error = assert_refused(await wire.reply(), mistake.status, mistake.code)
        assert mistake.names in error["message"]
        assert (await wire.get("/livez")).status == 200  # One mistake does not cost the connection.


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
NO_HTTP = {
    "no request line": b"hello\r\n\r\n",
    "lower-case method": b"post / HTTP/1.1\r\nhost: x\r\n\r\n",
    "version of no HTTP": b"GET / HTTP/9.9\r\nhost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 32 + b"\r\n\r\n",
    "header without a name": HEAD + b": x\r\n\r\n",
    "header with a space": HEAD + b"a b: c\r\n\r\n",
    "header with a null": HEAD + b"a: \x00\r\n\r\n",
    "folded header": HEAD + b"a: b\r\n c\r\n\r\n",
    "length that is no number": HEAD + b"content-length: seven\r\n\r\n",
    "negative length": HEAD + b"content-length: -1\r\n\r\n",
    "two lengths": HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    "length and chunks": HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding of no such name": HEAD + b"transfer-encoding: magic\r\n\r\n",
    "line too long": b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    "header too long": HEAD + b"a: " + b"b" * 70_000 + b"\r\n\r\n",
    "too many headers": HEAD + b"".join(b"h%d: 1\r\n" % number for number in range(200)) + b"\r\n",
}


@pytest.mark.parametrize("data", NO_HTTP.values(), ids=NO_HTTP)
async def test_what_is_not_http_is_a_400_in_our_shape(stack: Stack, data: bytes) -> None:
    async with await Wire.open(stack.port) as wire:
        await wire.send(data)
        reply = await wire.reply()
        assert reply.status in (400, 405, 431)
        body = reply.json()
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert body["status"] == "failure"
    assert (await look(stack.port, "/livez")).status == 200


async def test_malformed_chunk_is_a_400(stack: Stack) -> None:
    head = request("POST", CHAT, {**stack.authorization, "transfer-encoding": "chunked"})
    async with await Wire.open(stack.port) as wire:
        await wire.send(head + b"zz\r\n{}\r\n0\r\n\r\n")
        assert (await wire.reply()).status == 400


@pytest.mark.parametrize("name", ["authorization", "x-portkey-api-key", "x-portkey-config", "x-portkey-virtual-key"])
async def test_deciding_header_that_comes_twice_is_refused(stack: Stack, name: str) -> None:
    data = request("POST", CHAT, stack.authorization, chat())
    twice = f"{name}: a\r\n{name}: b\r\n".encode()
    async with await Wire.open(stack.port) as wire:
        await wire.send(data.replace(b"host: ", twice + b"host: ", 1))
        error = assert_refused(await wire.reply(), 400, "header_invalid")
    assert name in error["message"]


async def test_body_announced_too_large_is_refused_before_it_is_sent(stack: Stack) -> None:
    head = request("POST", CHAT, {**stack.authorization, "content-length": str(33 * MIB)})
    async with await Wire.open(stack.port) as wire:
        await wire.send(head)
        assert_refused(await wire.reply(), 413, "body_too_large")


async def test_body_that_grows_too_large_is_refused(stack: Stack) -> None:
    head = request("POST", CHAT, {**stack.authorization, "transfer-encoding": "chunked"})
    piece = b"%x\r\n%b\r\n" % (MIB, b" " * MIB)
    async with await Wire.open(stack.port) as wire:
        await wire.send(head)
        for _ in range(33):
            await wire.send(piece)
        assert_refused(await wire.reply(), 413, "body_too_large")


async def test_body_as_large_as_allowed_goes_through(stack: Stack) -> None:
    frame = len(json.dumps(chat("")))
    body = json.dumps(chat("x" * (32 * MIB - frame))).encode()
    assert len(body) == 32 * MIB
    assert (await stack.call(body)).status == 200
    assert_refused(await stack.call(body + b" "), 413, "body_too_large")


async def test_error_of_the_provider_keeps_its_words_and_says_whose_it_is(stack: Stack) -> None:
    reply = await stack.call(messages="Hello")
    assert reply.status == 400
    body = reply.json()
    assert body["provider"] == "simulator"
    assert body["error"]["param"] == "messages"
    assert body["error"]["message"].startswith("simulator error: ")


async def test_stored_key_that_the_provider_refuses_is_not_shown(stack: Stack) -> None:
    reply = await stack.call(model="@refused/sim-chat")
    assert reply.status == 401
    assert b"not-the-simulator" not in reply.body


async def test_no_mistake_was_a_fault_of_the_gateway(stack: Stack) -> None:
    """Last in this file: what came before has left no error in the log."""
    await call(stack.port, CHAT, chat(), stack.authorization)
    assert [line for line in stack.logs() if line["level"] in ("error", "critical")] == []
    assert "Traceback" not in stack.log_text()
