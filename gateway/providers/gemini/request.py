"""A chat as a request of `generateContent` (pure). Source: https://ai.google.dev/api/generate-content."""

import mimetypes
import re
from collections.abc import Mapping
from typing import Any

from gateway.providers.chat import (
    Audio,
    Conversation,
    File,
    Image,
    Part,
    Text,
    Thought,
    ToolResult,
    ToolUse,
    conversation,
    described_schema,
    function_tool,
    hints_in,
    is_json_object,
    json_schema,
    refuse,
    refuse_all,
    stops,
    strictness_in,
    thinking,
    tokens_max,
    tool_choice,
)
from gateway.providers.fields import Path, given, malformed, of
from gateway.providers.signatures import GOOGLE

BUDGETS = {"none": 0, "minimal": 1_024, "low": 1_024, "medium": 8_192, "high": 24_576, "xhigh": 24_576, "max": 24_576}
"""What a word for effort is in tokens of thought, as in the original (reference/portkey.md 4.4)."""
LEVELS = {"minimal": "minimal", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
"""The same for models that are told a level."""
_BY_LEVEL = re.compile(r"gemini-(?!1|2)\d")
_NEVER_MINIMAL = re.compile(r"gemini-(?:\d(?:\.\d+)?-pro|3\.[7-9]|[4-9])")
"""Of these, models whose least level is `low`."""
_SIGNS = re.compile(r"gemini-(?:(?!1|2)\d|[a-z-]+-latest$)")
"""Models that take no call of a tool without a signature: the same, and names of whichever is the newest."""
UNSIGNED = "skip_thought_signature_validator"
"""What Google has newer models told in place of a signature, in conversations that come from elsewhere."""

_READ = frozenset(
    "model messages stream stream_options stop max_tokens max_completion_tokens tools tool_choice parallel_tool_calls "
    "response_format reasoning_effort thinking modalities logprobs top_logprobs web_search_options".split()
)
_SETTINGS = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "media_resolution": "mediaResolution",
    "speech_config": "speechConfig",
}
_OWN = {"safety_settings": "safetySettings", "cached_content": "cachedContent", "labels": "labels"}
"""Words that only this provider knows."""
_LEFT_OUT = frozenset(
    "user safety_identifier metadata prompt_cache_key prompt_cache_retention prediction service_tier cache_control "
    "store".split()
)
"""Advice on caches, speed and bookkeeping: it changes no answer."""
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "logit_bias": ({},),
    "audio": (),
    "functions": (),
    "function_call": (),
    "verbosity": ("medium",),
    "parallel_tool_calls": (True,),
    "web_search_options": ({},),
}
"""What this provider cannot do, and the values that ask for nothing."""
_CHOICES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_TIERS = ("auto", "default")


def to_content(body: Mapping[str, Any], model: str) -> tuple[dict[str, Any], frozenset[str]]:
    """The request, and the names of what was left out of it. Raises Untranslatable."""
    refuse_all(body, _NEUTRAL)
    if body.get("store") not in (None, False):
        raise refuse(("store",))
    if body.get("service_tier") not in (None, *_TIERS):
        raise refuse(("service_tier",))
    left_out: set[str] = set()
    for name, value in body.items():
        if value is None or name in _READ or name in _SETTINGS or name in _OWN or name in _NEUTRAL:
            continue
        if name not in _LEFT_OUT:
            raise refuse((name,))
        if name not in ("store", "service_tier"):
            left_out.add(name)
    said = conversation(body, maker=GOOGLE)
    asked: dict[str, Any] = {own: value for name, own in _OWN.items() if (value := body.get(name)) is not None}
    if said.system:
        asked["systemInstruction"] = {"parts": [{"text": text.text} for text in said.system]}
    asked["contents"] = _Contents(model, left_out).of(said)
    asked |= _tools(body)
    if config := _config(body, model, left_out):
        asked["generationConfig"] = config
    return asked, frozenset(left_out | said.left_out | hints_in(said, body) | strictness_in(body))


class _Contents:
    """A conversation's turns; which tool a result is of is known from the turns before it."""

    def __init__(self, model: str, left_out: set[str]) -> None:
        self._signs = _SIGNS.match(model) is not None
        self._left_out = left_out
        self._names: dict[str, str] = {}

    def of(self, said: Conversation) -> list[dict[str, Any]]:
        return [
            {"role": "model", "parts": self._model(turn.parts)}
            if turn.role == "assistant"
            else {"role": "user", "parts": [self._part(part) for part in turn.parts]}
            for turn in said.turns
        ]

    def _model(self, parts: list[Part]) -> list[dict[str, Any]]:
        """A signature stands where it came from: at the first call, at the text, else at the thought itself."""
        made = [self._part(part) for part in parts if not isinstance(part, Thought) or part.text]
        calls = [part for part in made if "functionCall" in part]
        rest = [part for part in made if "text" in part and not part.get("thought")]
        signature = next((part.signature for part in parts if isinstance(part, Thought) and part.signature), "")
        if signature and not made:
            made.append({"text": ""})  # As it came: no turn may be without parts.
        signed = (calls or rest or made)[:1]
        if signed and "thoughtSignature" not in signed[0]:
            if signature:
                signed[0]["thoughtSignature"] = signature
            elif self._signs and calls:
                signed[0]["thoughtSignature"] = UNSIGNED
        return made

    def _part(self, part: Part) -> dict[str, Any]:
        match part:
            case Text():
                return {"text": part.text}
            case Image():
                return _media(part.media_type, part.data) if part.data else _linked(part.url)
            case File():
                return self._file(part)
            case Audio():
                return _media(f"audio/{part.format}", part.data)
            case ToolUse():
                self._names[part.id] = part.name
                called = {"functionCall": {"id": part.id, "name": part.name, "args": part.input}}
                return {**called, "thoughtSignature": part.signature} if part.signature else called
            case ToolResult():
                return {"functionResponse": self._result(part)}
            case Thought():
                return {"text": part.text, "thought": True}

    def _file(self, file: File) -> dict[str, Any]:
        if file.name is not None:
            self._left_out.add("filename")
        return {"fileData": {"fileUri": file.id}} if file.id else _media(file.media_type, file.data)

    def _result(self, result: ToolResult) -> dict[str, Any]:
        name = self._names.get(result.id)
        if name is None:
            raise malformed((*result.path, "tool_call_id"), "names no tool call that was made before")
        texts = [part.text for part in result.parts if isinstance(part, Text)]
        seen = [self._part(part) for part in result.parts if not isinstance(part, Text)]
        made: dict[str, Any] = {"id": result.id, "name": name, "response": {"output": "".join(texts)}}
        return {**made, "parts": seen} if seen else made


def _media(media_type: str, data: str) -> dict[str, Any]:
    return {"inlineData": {"mimeType": media_type, "data": data}}


def _linked(url: str) -> dict[str, Any]:
    media_type, _ = mimetypes.guess_type(url.partition("?")[0])
    linked = {"fileUri": url}
    return {"fileData": linked if media_type is None else {"mimeType": media_type, **linked}}


def _tools(body: Mapping[str, Any]) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    own: list[dict[str, Any]] = []
    functions: list[dict[str, Any]] = []
    for at, value in enumerate(given(list, body, "tools", ()) or ()):
        if isinstance(value, dict) and value and "type" not in value:
            own.append(value)  # The provider's own, such as `{"googleSearch": {}}`.
        else:
            functions.append(_declared(value, ("tools", at)))
    if given(dict, body, "web_search_options", ()) is not None:
        own.append({"googleSearch": {}})
    if functions:
        own.insert(0, {"functionDeclarations": functions})
    if own:
        asked["tools"] = own
    if (choice := tool_choice(body)) is not None:
        calling: dict[str, Any] = {"mode": _CHOICES[choice.mode]}
        if choice.name is not None:
            calling["allowedFunctionNames"] = [choice.name]
        asked["toolConfig"] = {"functionCallingConfig": calling}
    return asked


def _declared(value: Any, path: Path) -> dict[str, Any]:
    tool = function_tool(value, path)
    made: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        made["description"] = tool.description
    return {**made, "parametersJsonSchema": tool.parameters}


def _config(body: Mapping[str, Any], model: str, left_out: set[str]) -> dict[str, Any]:
    config: dict[str, Any] = {own: value for name, own in _SETTINGS.items() if (value := body.get(name)) is not None}
    if (limit := tokens_max(body)) is not None:
        config["maxOutputTokens"] = limit
    if stop := stops(body):
        config["stopSequences"] = stop
    if given(bool, body, "logprobs", ()):
        config["responseLogprobs"] = True
        if (count := given(int, body, "top_logprobs", ())) is not None:
            config["logprobs"] = count
    elif given(int, body, "top_logprobs", ()):
        raise malformed(("top_logprobs",), "needs `logprobs` to be true")
    if (modalities := given(list, body, "modalities", ())) not in (None, ["text"]):
        config["responseModalities"] = [
            of(str, kind, ("modalities", at)).upper() for at, kind in enumerate(modalities or ())
        ]
    if is_json_object(body):
        config["responseMimeType"] = "application/json"
    elif (schema := json_schema(body)) is not None:
        config |= {"responseMimeType": "application/json", "responseJsonSchema": described_schema(schema, left_out)}
    if thought := _thinking(body, model, left_out):
        config["thinkingConfig"] = thought
    return config


def _thinking(body: Mapping[str, Any], model: str, left_out: set[str]) -> dict[str, Any]:
    asked = thinking(body, left_out)
    if asked is not None:
        if body.get("reasoning_effort") is not None:
            left_out.add("reasoning_effort")
        if asked.get("type") == "disabled":
            return {"thinkingBudget": 0}
        budget = given(int, asked, "budget_tokens", ("thinking",))
        return {"includeThoughts": True, **({} if budget is None else {"thinkingBudget": budget})}
    effort = given(str, body, "reasoning_effort", ())
    if effort is None:
        return {}
    if effort not in BUDGETS:
        raise malformed(("reasoning_effort",), f"must be one of {', '.join(f'`{word}`' for word in BUDGETS)}")
    if _BY_LEVEL.match(model) is None:
        budget = BUDGETS[effort]
        return {"includeThoughts": budget > 0, "thinkingBudget": budget}
    if effort not in LEVELS:
        raise refuse(("reasoning_effort",), "cannot be switched off at this model")
    level = "low" if effort == "minimal" and _NEVER_MINIMAL.match(model) else LEVELS[effort]
    return {"includeThoughts": True, "thinkingLevel": level}
