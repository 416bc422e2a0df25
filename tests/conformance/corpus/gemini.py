"""The Gemini API's wire, after Google's documentation of it."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from google.genai import types

from gateway.providers.registry import adapters, built_in_rows
from gateway.view.plan import place_of
from shared.crypto.secret import Secret
from tests.conformance.corpus.said import Said
from tests.conformance.corpus.wire import Wire

_STOP = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}
_ERRORS = {
    "auth": (401, "UNAUTHENTICATED"),
    "permission": (403, "PERMISSION_DENIED"),
    "not found": (404, "NOT_FOUND"),
    "rate limit": (429, "RESOURCE_EXHAUSTED"),
    "overloaded": (503, "UNAVAILABLE"),
    "too long": (400, "INVALID_ARGUMENT"),
    "invalid": (400, "INVALID_ARGUMENT"),
    "server": (500, "INTERNAL"),
}
_DETAILS = [
    {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaMetric": "requests"}]},
    {
        "@type": "type.googleapis.com/google.rpc.Help",
        "links": [{"description": "Limits", "url": "https://example.org"}],
    },
    {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17.25s"},
]
_ROLES = {"user": "user", "model": "assistant"}
_MODES = {"AUTO": "auto", "NONE": "none", "ANY": "required"}


class Answers:
    def validate(self, sent: dict[str, Any]) -> None:
        beside = {name: value for name, value in sent.items() if name not in ("contents", "generationConfig")}
        types.GenerateContentConfig.model_validate({**beside, **sent.get("generationConfig", {})}, strict=False)
        # A signature is base64; that of the corpus is a mark.
        contents = orjson.loads(orjson.dumps(sent["contents"]).decode().replace("§sig", "c2ln"))
        for content in contents:
            types.Content.model_validate(content)

    def whole(self, said: Said) -> bytes:
        return orjson.dumps(_answer(_parts(said), said.word or _STOP[said.finish], said))

    def frames(self, said: Said, cut: int = 3) -> list[bytes]:
        return [b"data: %b\n\n" % orjson.dumps(answer) for answer in _stream(said, cut)]

    def at_once(self, said: Said) -> list[bytes]:
        answers = (_answer(_parts(said), None, said), _answer([], _STOP[said.finish], said))
        return [b"data: %b\n\n" % orjson.dumps(answer) for answer in answers]

    def error(self, kind: str, why: str) -> tuple[int, Mapping[str, str], bytes] | None:
        if kind not in _ERRORS:
            return None
        status, word = _ERRORS[kind]
        error = _error(status, word, why)
        if kind == "rate limit":
            error["details"] = _DETAILS
        if kind == "too long":
            error["message"] = f"The input token count (9) exceeds the maximum number of tokens allowed (8). {why}"
        return status, {"content-type": "application/json"}, orjson.dumps({"error": error})

    def error_frame(self, why: str) -> bytes:
        return b"data: %b\n\n" % orjson.dumps({"error": _error(503, "UNAVAILABLE", why)})

    def back(self, sent: dict[str, Any]) -> dict[str, Any]:
        config, body = sent.get("generationConfig", {}), {"messages": list(_messages(sent))}
        for name, own in {
            "temperature": "temperature",
            "top_p": "topP",
            "max_completion_tokens": "maxOutputTokens",
            "stop": "stopSequences",
        }.items():
            if own in config:
                body[name] = config[own]
        if tools := sent.get("tools"):
            body["tools"] = [_tool(declared) for declared in tools[0]["functionDeclarations"]]
        if calling := sent.get("toolConfig", {}).get("functionCallingConfig"):
            named = calling.get("allowedFunctionNames")
            choice: Any = {"type": "function", "function": {"name": named[0]}} if named else _MODES[calling["mode"]]
            body["tool_choice"] = choice
        return body


def _error(status: int, word: str, why: str) -> dict[str, Any]:
    return {"code": status, "message": why, "status": word}


def _answer(parts: list[dict[str, Any]], finish: str | None, said: Said) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    usage = _usage(said)
    if finish is None:
        usage = {"promptTokenCount": usage["promptTokenCount"], "totalTokenCount": usage["promptTokenCount"]}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-1", "responseId": "r1"}


def _usage(said: Said) -> dict[str, Any]:
    counts = said.counts
    usage: dict[str, Any] = {
        "promptTokenCount": counts.input,
        "candidatesTokenCount": counts.output - (counts.reasoning or 0),
        "totalTokenCount": counts.input + counts.output,
    }
    if counts.cache_read is not None:
        usage["cachedContentTokenCount"] = counts.cache_read
    if counts.reasoning is not None:
        usage["thoughtsTokenCount"] = counts.reasoning
    if counts.audio_input is not None:
        usage["promptTokensDetails"] = [_by_kind("AUDIO", counts.audio_input), _by_kind("TEXT", 1)]
    if counts.audio_output is not None:
        usage["candidatesTokensDetails"] = [_by_kind("AUDIO", counts.audio_output)]
    return usage


def _by_kind(kind: str, count: int) -> dict[str, Any]:
    return {"modality": kind, "tokenCount": count}


def _parts(said: Said) -> list[dict[str, Any]]:
    thoughts = [{"text": said.thought, "thought": True}] if said.thought else []
    texts: list[dict[str, Any]] = [{"text": said.text}] if said.text else []
    calls: list[dict[str, Any]] = [
        {"functionCall": {"id": call.id, "name": call.name, "args": call.input}} for call in said.calls
    ]
    if said.signature:
        (calls or texts)[0]["thoughtSignature"] = said.signature
    return [*thoughts, *texts, *calls]


def _stream(said: Said, cut: int) -> Iterator[dict[str, Any]]:
    yield _answer([{"text": ""}], None, said)
    for part in _parts(said):
        if "functionCall" in part:
            yield _answer([part], None, said)
            continue
        text = part.pop("text")
        signature = {"thoughtSignature": part.pop("thoughtSignature")} if "thoughtSignature" in part else {}
        for start in range(0, len(text), cut):
            yield _answer([{"text": text[start : start + cut], **part}], None, said)
        if signature:
            yield _answer([{"text": "", **signature}], None, said)
    yield _answer([{"text": ""}], None, said)
    yield _answer([], said.word or _STOP[said.finish], said)


def _messages(sent: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for part in sent.get("systemInstruction", {}).get("parts", ()):
        yield {"role": "system", "content": part["text"]}
    for content in sent["contents"]:
        parts = content["parts"]
        for part in parts:
            if result := part.get("functionResponse"):
                yield {"role": "tool", "tool_call_id": result["id"], "content": result["response"]["output"]}
        said = [_said(part) for part in parts if "text" in part or "inlineData" in part]
        calls = [
            {
                "id": part["functionCall"]["id"],
                "type": "function",
                "function": {
                    "name": part["functionCall"]["name"],
                    "arguments": orjson.dumps(part["functionCall"]["args"]).decode(),
                },
            }
            for part in parts
            if "functionCall" in part
        ]
        if said or calls:
            message = {"role": _ROLES[content["role"]], "content": said or None}
            yield {**message, "tool_calls": calls} if calls else message


def _said(part: dict[str, Any]) -> dict[str, Any]:
    if "text" in part:
        return {"type": "text", "text": part["text"]}
    data = part["inlineData"]
    return {"type": "image_url", "image_url": {"url": f"data:{data['mimeType']};base64,{data['data']}"}}


def _tool(declared: dict[str, Any]) -> dict[str, Any]:
    function = {name: declared[name] for name in ("name", "description") if name in declared}
    return {"type": "function", "function": {**function, "parameters": declared["parametersJsonSchema"]}}


class _Embeddings:
    model = "embed-1"
    cannot: Mapping[str, str] = {"tokens": "/input"}

    def validate(self, sent: dict[str, Any]) -> None:
        for request in sent["requests"]:
            assert request["model"] == "models/embed-1"
            types.Content.model_validate(request["content"])
            settings = {name: value for name, value in request.items() if name not in ("model", "content")}
            types.EmbedContentConfig.model_validate(settings)

    def answer(self, sent: dict[str, Any]) -> bytes:
        vectors = [{"values": [0.5, -0.25, 1.0]} for _ in sent["requests"]]
        return orjson.dumps({"embeddings": vectors, "usageMetadata": {"promptTokenCount": 7}})


CANNOT = {
    "begun answer": "/messages/1/prefix",
    "one tool at a time": "/parallel_tool_calls",
    "several answers": "/n",
    "logit bias": "/logit_bias",
    "made up field": "/zzz_param",
}
LEFT_OUT = {
    "document": frozenset({"filename"}),
    "end user": frozenset({"user"}),
    "strict tool": frozenset({"strict"}),
    "thoughts of before, another's": frozenset({"signature"}),
}

WIRE = Wire(
    "gemini",
    adapters()["gemini"],
    place_of(built_in_rows()["google"]),
    Secret("k"),
    Answers(),
    cannot=CANNOT,
    left_out=LEFT_OUT,
    mark="gatehouse:google:",
    unsaid=frozenset({"cached"}),
    overloaded=503,
    limited_s=17.25,
    embeddings=_Embeddings(),
    ends={
        "STOP": "stop",
        "MAX_TOKENS": "length",
        "SAFETY": "content_filter",
        "RECITATION": "content_filter",
        "LANGUAGE": "content_filter",
        "BLOCKLIST": "content_filter",
        "PROHIBITED_CONTENT": "content_filter",
        "SPII": "content_filter",
        "IMAGE_SAFETY": "content_filter",
        "OTHER": "stop",
    },
)
