"""Contents of parts: what the simulated model says to them, whole or bit by bit; tokens counted; vectors. Pure.

It says what it would say in a chat, and thinks first where it is asked to. Source of the shapes: the API references at
ai.google.dev, generateContent, countTokens and embedContent, and at cloud.google.com, predict.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from embedded.simulator import checks, errors, tokens
from embedded.simulator.chat import TOKENS_PER_IMAGE, Chat, Choice
from embedded.simulator.checks import Body, Rule
from embedded.simulator.embeddings import DIMENSIONS_DEFAULT, vector
from embedded.simulator.messages import SIGNATURE, THOUGHT
from embedded.simulator.misbehaviour import CHAT, EMBED, behaviour_of
from embedded.simulator.replies import Events, Reply, Whole
from embedded.simulator.wire import event

RULES = {
    "contents": checks.ARRAY,
    "systemInstruction": checks.OBJECT,
    "generationConfig": checks.OBJECT,
    "tools": checks.ARRAY,
    "toolConfig": checks.OBJECT,
    "safetySettings": checks.ARRAY,
    "cachedContent": checks.STRING,
    "labels": checks.OBJECT,
}
CONFIG_RULES = {
    "temperature": checks.decimal(0, 2),
    "topP": checks.decimal(0, 1),
    "topK": Rule((int, float), "a number"),
    "candidateCount": checks.integer(1, 8),
    "maxOutputTokens": checks.integer(1, 1_000_000),
    "stopSequences": checks.ARRAY,
    "responseMimeType": checks.STRING,
    "responseSchema": checks.OBJECT,
    "responseJsonSchema": checks.OBJECT,
    "responseModalities": checks.ARRAY,
    "responseLogprobs": checks.BOOLEAN,
    "logprobs": checks.integer(0, 20),
    "seed": checks.integer(-(2**31), 2**31 - 1),
    "presencePenalty": checks.decimal(-2, 2),
    "frequencyPenalty": checks.decimal(-2, 2),
    "thinkingConfig": checks.OBJECT,
    "mediaResolution": checks.STRING,
    "speechConfig": checks.OBJECT,
}
EMBED_RULES = {
    "content": checks.OBJECT,
    "taskType": checks.STRING,
    "title": checks.STRING,
    "outputDimensionality": checks.integer(1, 3_072),
}
PREDICT_RULES = {"instances": checks.ARRAY, "parameters": checks.OBJECT}
CACHED_TOKENS = 32
"""What a cached content holds, whichever it is."""
_SNAKE = re.compile(r"_([a-z])")
_FREE = frozenset(("args", "response", "parametersJsonSchema", "responseJsonSchema", "properties", "labels"))
"""Fields whose value has names of the caller's own."""
_THOUGHT_TOKENS = tokens.count(THOUGHT)
_SAID_COUNTS = ("candidatesTokenCount", "thoughtsTokenCount")
_DATA = ("text", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode", "codeExecutionResult")
_BESIDE = frozenset(("thought", "thoughtSignature", "mediaResolution", "videoMetadata", "partMetadata"))
_ROLES = {"user": "user", "model": "assistant", "function": "user"}
_MODES = {"AUTO": "auto", "VALIDATED": "auto", "ANY": "required", "NONE": "none"}
_MESSAGE = "The model is overloaded. Please try again later."
_ERROR = event(orjson.dumps({"error": {"code": 503, "message": _MESSAGE, "status": "UNAVAILABLE"}}))


def camel(value: Any) -> Any:
    """A body with each field in camel case, as which it may come too; names that are the caller's own stay."""
    if isinstance(value, list):
        return [camel(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    named = {_SNAKE.sub(lambda found: found[1].upper(), name): inner for name, inner in value.items()}
    return {name: inner if name in _FREE else camel(inner) for name, inner in named.items()}


def create(body: Body, words: int | None, *, calls_have_ids: bool) -> Reply:
    """Raises errors.Refused if the body is not a proper request."""
    choice, counts = _said(body, words)
    parts = list(_parts(body, choice, calls_have_ids=calls_have_ids))
    return Whole(_answer(body, parts, _finish(choice), _usage(body, counts)))


def stream(body: Body, words: int | None, *, calls_have_ids: bool, as_list: bool) -> Reply:
    """`as_list`: one list of the bits, as whoever does not ask for events gets it. Raises errors.Refused."""
    choice, counts = _said(body, words)
    bits = _bits(body, choice, counts, calls_have_ids=calls_have_ids)
    if as_list:
        return Whole(b"[%b]" % b",\n".join(bits))
    return Events(((None, bit) for bit in bits), b"", _ERROR)


def count(body: Body) -> Reply:
    """The tokens of contents alone or of a whole request. Raises errors.Refused."""
    asked = body.get("generateContentRequest")
    if asked is not None and not isinstance(asked, dict):
        raise _unfit("generateContentRequest", "an object")
    if asked is None:
        asked = {name: value for name, value in body.items() if name in ("contents", "systemInstruction", "tools")}
    _, counts = _said({**asked, "model": body["model"]}, None)
    total = counts["prompt_tokens"]
    return Whole(orjson.dumps({"totalTokens": total, "promptTokensDetails": _details(body, total)}))


def embed(body: Body) -> Reply:
    """Raises errors.Refused."""
    numbers, spent = _embedded(body, body["model"])
    return Whole(orjson.dumps({"embedding": numbers, "usageMetadata": {"promptTokenCount": spent}}))


def embed_all(body: Body) -> Reply:
    """Raises errors.Refused."""
    asked = body.get("requests")
    if not isinstance(asked, list) or not asked or not all(isinstance(one, dict) for one in asked):
        raise errors.invalid("* BatchEmbedContentsRequest.requests: must not be empty")
    made = [_embedded(one, body["model"]) for one in asked]
    usage = {"promptTokenCount": sum(spent for _, spent in made)}
    return Whole(orjson.dumps({"embeddings": [numbers for numbers, _ in made], "usageMetadata": usage}))


def predict(body: Body) -> Reply:
    """Vectors of instances, each with its own count. Raises errors.Refused."""
    _only(body, PREDICT_RULES)
    dimensions = (body.get("parameters") or {}).get("outputDimensionality") or DIMENSIONS_DEFAULT
    predictions = []
    for instance in body.get("instances") or ():
        text = instance.get("content") if isinstance(instance, dict) else None
        if not isinstance(text, str) or not text:
            raise errors.invalid("The text content is empty.")
        statistics = {"token_count": tokens.count(text), "truncated": False}
        values = vector(text, dimensions).tolist()
        predictions.append({"embeddings": {"values": values, "statistics": statistics}})
    if not predictions:
        raise errors.invalid("Empty instances.")
    return Whole(orjson.dumps({"predictions": predictions}))


def listing() -> bytes:
    return orjson.dumps({"models": [_model(name) for name in (CHAT, EMBED)]})


def single(model: str) -> bytes:
    """Raises errors.Refused for a name that is no model."""
    if behaviour_of(model) is None:
        raise errors.no_model(model)
    return orjson.dumps(_model(model))


def _model(name: str) -> dict[str, Any]:
    methods = ["embedContent", "batchEmbedContents"] if name == EMBED else ["generateContent", "countTokens"]
    return {
        "name": f"models/{name}",
        "version": "1",
        "displayName": name,
        "inputTokenLimit": 1_000_000,
        "outputTokenLimit": 100_000,
        "supportedGenerationMethods": methods,
    }


def _said(body: Body, words: int | None) -> tuple[Choice, dict[str, Any]]:
    if body["model"] == EMBED:
        raise errors.not_a_chat_model(body["model"])
    _only(body, RULES)
    _only(body.get("generationConfig") or {}, CONFIG_RULES, "generationConfig")
    return Chat(_chat(body), words).said()


def _only(body: Mapping[str, Any], rules: Mapping[str, Rule], place: str = "") -> None:
    for name in body:
        if name not in rules and name != "model":
            at = f" at '{place}'" if place else ""
            raise errors.invalid(f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.')
    checks.check(dict(body), rules)


def _unfit(name: str, expected: str) -> errors.Refused:
    return errors.invalid(f"Invalid value at '{name}': expected {expected}")


def _chat(body: Body) -> Body:
    """The chat that asks the same."""
    contents = body.get("contents")
    if not contents:
        raise errors.invalid("* GenerateContentRequest.contents: contents is not specified")
    messages: list[dict[str, Any]] = []
    if system := body.get("systemInstruction"):
        messages.append({"role": "system", "content": _words(_parts_of(system, "system_instruction"))})
    called = 0
    for index, content in enumerate(contents):
        name = f"contents[{index}]"
        parts = _parts_of(content, f"{name}.parts")
        role = _ROLES.get(content.get("role") or "user")
        if role is None:
            raise errors.invalid("Please use a valid role: user, model.", name)
        if (answered := sum("functionResponse" in part for part in parts)) and answered != called:
            raise errors.invalid(
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn."
            )
        called = sum("functionCall" in part for part in parts)
        messages += _turn(role, parts)
    config = body.get("generationConfig") or {}
    if config.get("candidateCount") not in (None, 1):
        raise errors.invalid("Multiple candidates is not enabled for this model")
    functions = [*_functions(body.get("tools") or ())]
    chat = {
        "model": body["model"],
        "messages": messages,
        "tools": functions or None,
        "tool_choice": _choice(body, functions),
        "parallel_tool_calls": True if functions else None,
        "stop": config.get("stopSequences"),
        "max_tokens": config.get("maxOutputTokens"),
        "temperature": config.get("temperature"),
        "top_p": config.get("topP"),
        "seed": config.get("seed"),
        "response_format": _form(config),
    }
    return {name: value for name, value in chat.items() if value is not None}


def _parts_of(content: Any, name: str) -> list[dict[str, Any]]:
    parts = content.get("parts") if isinstance(content, dict) else None
    if not isinstance(parts, list) or not parts:
        raise errors.invalid(f"* GenerateContentRequest.{name}: contents.parts must not be empty.")
    for index, part in enumerate(parts):
        data = [field for field in part if field not in _BESIDE] if isinstance(part, dict) else []
        for field in data:
            if field not in _DATA:
                raise errors.invalid(
                    f"Invalid JSON payload received. Unknown name \"{field}\" at '{name}[{index}]': Cannot find field."
                )
        if len(data) != 1:
            raise errors.invalid(
                f"* GenerateContentRequest.{name}[{index}].data: required oneof field 'data' must have one "
                "initialized field"
            )
        _check_part(part, f"{name}[{index}]")
    return parts


def _check_part(part: dict[str, Any], name: str) -> None:
    match part:
        case {"text": text} if not isinstance(text, str):
            raise _unfit(f"{name}.text", "a string")
        case {"inlineData": data} if not (isinstance(data, dict) and data.get("mimeType") and data.get("data")):
            raise _unfit(f"{name}.inline_data", "a MIME type and data")
        case {"fileData": data} if not (isinstance(data, dict) and data.get("fileUri")):
            raise _unfit(f"{name}.file_data", "an address")
        case {"functionCall": called} if not (isinstance(called, dict) and called.get("name")):
            raise errors.invalid(f"* GenerateContentRequest.{name}.function_call.name: Name cannot be empty.")
        case {"functionResponse": told}:
            if not isinstance(told, dict) or not told.get("name"):
                raise errors.invalid(f"* GenerateContentRequest.{name}.function_response.name: Name cannot be empty.")
            if not isinstance(told.get("response"), dict):
                raise _unfit(f"{name}.function_response.response", "an object")


def _turn(role: str, parts: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    for part in parts:
        match part:
            case {"thought": True}:
                continue
            case {"text": text}:
                said.append({"type": "text", "text": text})
            case {"inlineData": _} | {"fileData": _}:
                said.append({"type": "image_url", "image_url": {"url": "data:"}})
            case {"functionResponse": told}:
                id_ = str(told.get("id") or told["name"])
                yield {"role": "tool", "tool_call_id": id_, "content": orjson.dumps(told["response"]).decode()}
    if said or role == "assistant":
        yield {"role": role, "content": said}


def _words(parts: list[dict[str, Any]]) -> str:
    return " ".join(part["text"] for part in parts if "text" in part)


def _functions(tools: Any) -> Iterator[dict[str, Any]]:
    for index, tool in enumerate(tools):
        if not isinstance(tool, dict):
            raise _unfit(f"tools[{index}]", "an object")
        for declared in tool.get("functionDeclarations") or ():
            if not isinstance(declared, dict) or not declared.get("name"):
                raise errors.invalid(
                    f"* GenerateContentRequest.tools[{index}].function_declarations.name: Name cannot be empty."
                )
            schema = declared.get("parametersJsonSchema") or _plain(declared.get("parameters")) or {"type": "object"}
            yield {"type": "function", "function": {"name": declared["name"], "parameters": schema}}


def _choice(body: Body, functions: list[dict[str, Any]]) -> Any:
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    mode, names = calling.get("mode") or "AUTO", calling.get("allowedFunctionNames")
    if mode not in _MODES:
        raise _unfit("tool_config.function_calling_config.mode", "a mode")
    if names and mode not in ("ANY", "VALIDATED"):
        raise errors.invalid("Allowed function names should be set only when function calling mode is ANY.")
    if not functions:
        return None
    if not names:
        return _MODES[mode]
    allowed = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": allowed}}


def _form(config: dict[str, Any]) -> dict[str, Any] | None:
    if config.get("responseMimeType") != "application/json":
        if config.get("responseSchema") or config.get("responseJsonSchema"):
            raise errors.invalid("Function calling or a schema with a response mime type of text is unsupported")
        return None
    schema = config.get("responseJsonSchema") or _plain(config.get("responseSchema"))
    if not schema:
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


def _plain(schema: Any) -> Any:
    """A schema of this API, whose types are in capitals, as a JSON schema."""
    if isinstance(schema, list):
        return [_plain(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _plain(inner) for name, inner in schema.items()}
    return {**made, "type": made["type"].lower()} if isinstance(made.get("type"), str) else made


def _thinking(body: Body) -> tuple[bool, bool]:
    """Whether it thinks, and whether it shows its thoughts."""
    config = (body.get("generationConfig") or {}).get("thinkingConfig")
    if config is None or config.get("thinkingBudget") == 0:
        return False, False
    return True, config.get("includeThoughts") is True


def _parts(body: Body, choice: Choice, *, calls_have_ids: bool) -> Iterator[dict[str, Any]]:
    thinks, shows = _thinking(body)
    if shows:
        yield {"text": THOUGHT, "thought": True}
    signed = {"thoughtSignature": SIGNATURE} if thinks else {}
    if choice.words:
        yield {"text": "".join(choice.words), **signed}
    for call in choice.calls:
        id_ = {"id": call.id} if calls_have_ids else {}
        yield {"functionCall": {**id_, "name": call.name, "args": orjson.loads(call.arguments)}, **signed}
        signed = {}


def _bits(body: Body, choice: Choice, counts: dict[str, Any], *, calls_have_ids: bool) -> Iterator[bytes]:
    """A token a bit; calls come whole, signatures with the last bit, and the usage so far with each."""
    usage = _usage(body, counts)
    so_far = {name: count for name, count in usage.items() if name not in _SAID_COUNTS}
    so_far["totalTokenCount"] = usage["promptTokenCount"]
    last: list[dict[str, Any]] = []
    for part in _parts(body, choice, calls_have_ids=calls_have_ids):
        if "text" not in part:
            yield _answer(body, [part], None, so_far)
            continue
        signature = part.pop("thoughtSignature", None)
        text = part.pop("text")
        for word in tokens.split(text):
            yield _answer(body, [{"text": word, **part}], None, so_far)
        if signature:
            last = [{"text": "", "thoughtSignature": signature}]
    yield _answer(body, last or [{"text": ""}], _finish(choice), usage)


def _finish(choice: Choice) -> str:
    return "MAX_TOKENS" if choice.finish_reason == "length" else "STOP"


def _answer(body: Body, parts: list[dict[str, Any]], finish: str | None, usage: dict[str, Any]) -> bytes:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    answer = {"modelVersion": body["model"], "responseId": checks.digest(body)[:22], "usageMetadata": usage}
    return orjson.dumps({"candidates": [candidate], **answer})


def _usage(body: Body, counts: dict[str, Any]) -> dict[str, Any]:
    cached = CACHED_TOKENS if body.get("cachedContent") else 0
    prompt, said = counts["prompt_tokens"] + cached, counts["completion_tokens"]
    usage = {"promptTokenCount": prompt, "candidatesTokenCount": said, "promptTokensDetails": _details(body, prompt)}
    if cached:
        usage["cachedContentTokenCount"] = cached
        usage["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": cached}]
    thought = _THOUGHT_TOKENS if _thinking(body)[0] else 0
    if thought:
        usage["thoughtsTokenCount"] = thought
    return {**usage, "totalTokenCount": prompt + said + thought}


def _details(body: Body, total: int) -> list[dict[str, Any]]:
    asked = body.get("generateContentRequest") or body
    seen = sum("inlineData" in part or "fileData" in part for turn in asked["contents"] for part in turn["parts"])
    details = [{"modality": "TEXT", "tokenCount": total - seen * TOKENS_PER_IMAGE}]
    return [*details, {"modality": "IMAGE", "tokenCount": seen * TOKENS_PER_IMAGE}] if seen else details


def _embedded(asked: dict[str, Any], model: str) -> tuple[dict[str, Any], int]:
    """The vector, and the tokens it took."""
    _only(asked, EMBED_RULES)
    if asked.get("model") not in (model, f"models/{model}"):
        raise errors.invalid("* EmbedContentRequest.model: must be that of the path", "model")
    text = _words(_parts_of(asked.get("content"), "content.parts"))
    if not text:
        raise errors.invalid("* EmbedContentRequest.content: content is empty")
    numbers = vector(text, asked.get("outputDimensionality") or DIMENSIONS_DEFAULT)
    return {"values": numbers.tolist()}, tokens.count(text)
