"""Nothing is dropped in silence: each parameter of each door, through each adapter, changes what is sent, is refused by
its name, or is named as left out.

A parameter is found to be sent by leaving it away: if the provider would then be asked the very same, nobody told it.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import orjson
import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from openai.types.embedding_create_params import EmbeddingCreateParams
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming

from gateway.dialects.registry import DIALECTS
from gateway.providers.base import Call, Door, Translated, Untranslatable
from shared.models.config import pointer
from tests.conformance.corpus.cases import CLOCK, PDF, PIXEL, SCHEMA, WEATHER
from tests.conformance.corpus.checks import CREATED_S
from tests.conformance.corpus.wire import Wire
from tests.conformance.corpus.wires import WIRES

Body = dict[str, Any]
Path = tuple[str | int, ...]

_TEXTS = st.text("abcdefgh", min_size=1, max_size=8)
_PENALTIES = st.floats(0.1, 2)
_SAMPLING = st.floats(0.1, 0.9)
_FORM = {"name": "place", "schema": SCHEMA}

BASES: Mapping[Door, Body] = {
    Door.CHAT: {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
                ],
            },
            {
                "role": "assistant",
                "content": "I look.",
                "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "get_time"}}],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "noon"},
        ],
        "tools": [WEATHER, CLOCK],
    },
    Door.MESSAGES: {
        "max_tokens": 2_000,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "What is this?"}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "call_1", "name": "get_time", "input": {}}]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "call_1", "content": "noon"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                ],
            },
        ],
        "tools": [{"name": "get_weather", "input_schema": SCHEMA}],
    },
    Door.RESPONSES: {
        "store": False,
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is this?"},
                    {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"},
                ],
            },
            {"type": "function_call", "call_id": "call_1", "name": "get_time", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "noon"},
        ],
        "tools": [{"type": "function", "name": "get_weather", "parameters": SCHEMA}],
    },
    Door.EMBEDDINGS: {"input": "one"},
}
"""What each parameter is put into."""

PARAMETERS: Mapping[Door, Mapping[Path, st.SearchStrategy[Any]]] = {
    Door.CHAT: {
        ("audio",): st.just({"voice": "alloy", "format": "wav"}),
        ("frequency_penalty",): _PENALTIES,
        ("function_call",): st.just({"name": "get_time"}),
        ("functions",): st.just([{"name": "get_time", "parameters": {}}]),
        ("logit_bias",): st.just({"29": 5}),
        ("logprobs",): st.just(True),
        ("max_completion_tokens",): st.integers(1, 10_000),
        ("max_tokens",): st.integers(1, 10_000),
        ("metadata",): st.dictionaries(_TEXTS, _TEXTS, min_size=1, max_size=2),
        ("modalities",): st.just(["text", "audio"]),
        ("moderation",): st.just({"model": "omni-moderation-latest"}),
        ("n",): st.integers(2, 5),
        ("parallel_tool_calls",): st.just(False),
        ("prediction",): st.builds(lambda text: {"type": "content", "content": text}, _TEXTS),
        ("presence_penalty",): _PENALTIES,
        ("prompt_cache_key",): _TEXTS,
        ("prompt_cache_options",): st.just({"mode": "explicit"}),
        ("prompt_cache_retention",): st.just("24h"),
        ("reasoning_effort",): st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh"]),
        ("response_format",): st.sampled_from(
            [{"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}]
        ),
        ("safety_identifier",): _TEXTS,
        ("seed",): st.integers(1, 10_000),
        ("service_tier",): st.sampled_from(["flex", "priority"]),
        ("stop",): _TEXTS | st.lists(_TEXTS, min_size=1, max_size=3),
        ("store",): st.just(True),
        ("temperature",): _SAMPLING,
        ("tool_choice",): st.sampled_from(["none", "required", {"type": "function", "function": {"name": "get_time"}}]),
        ("tools",): st.just([WEATHER]),
        ("top_logprobs",): st.integers(1, 5),
        ("top_p",): _SAMPLING,
        ("user",): _TEXTS,
        ("verbosity",): st.sampled_from(["low", "high"]),
        ("web_search_options",): st.just({"search_context_size": "high"}),
        ("top_k",): st.integers(1, 40),
        ("thinking",): st.just({"type": "enabled", "budget_tokens": 1_500}),
        ("zzz",): _TEXTS,
        ("messages", 0, "name"): _TEXTS,
        ("messages", 1, "name"): _TEXTS,
        ("messages", 1, "zzz"): _TEXTS,
        ("messages", 0, "zzz"): _TEXTS,
        ("messages", 0, "cache_control"): st.just({"type": "ephemeral"}),
        ("messages", 1, "content", 0, "cache_control"): st.just({"type": "ephemeral"}),
        ("messages", 1, "content", 0, "zzz"): _TEXTS,
        ("messages", 1, "content", 1, "image_url", "detail"): st.just("high"),
        ("messages", 1, "content", 1, "image_url", "zzz"): _TEXTS,
        ("messages", 1, "content", 1, "zzz"): _TEXTS,
        ("messages", 1, "content", 2): st.sampled_from(
            [
                {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
                {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}"}},
                {"type": "file", "file": {"file_id": "file-1"}},
                {"type": "zzz", "zzz": "zzz"},
            ]
        ),
        ("messages", 2, "audio"): st.just({"id": "audio-1"}),
        ("messages", 2, "refusal"): _TEXTS,
        ("messages", 2, "function_call"): st.just({"name": "get_time", "arguments": "{}"}),
        ("messages", 2, "prefix"): st.just(True),
        ("messages", 2, "reasoning_content"): _TEXTS,
        ("messages", 2, "content_blocks"): st.just([{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}]),
        ("messages", 2, "zzz"): _TEXTS,
        ("messages", 2, "tool_calls", 0, "function", "arguments"): st.just('{"zone":"utc"}'),
        ("messages", 2, "tool_calls", 0, "zzz"): _TEXTS,
        ("messages", 2, "tool_calls", 0, "function", "zzz"): _TEXTS,
        ("messages", 3, "zzz"): _TEXTS,
        ("tools", 0, "cache_control"): st.just({"type": "ephemeral"}),
        ("tools", 0, "zzz"): _TEXTS,
        ("tools", 0, "function", "description"): _TEXTS,
        ("tools", 0, "function", "strict"): st.just(True),
        ("tools", 0, "function", "zzz"): _TEXTS,
        ("response_format", "json_schema", "description"): _TEXTS,
        ("response_format", "json_schema", "name"): _TEXTS,
        ("response_format", "json_schema", "strict"): st.just(True),
        ("response_format", "json_schema", "zzz"): _TEXTS,
        ("response_format", "zzz"): _TEXTS,
        ("thinking", "zzz"): _TEXTS,
    },
    Door.MESSAGES: {
        ("cache_control",): st.just({"type": "ephemeral"}),
        ("container",): _TEXTS,
        ("diagnostics",): st.just({"previous_message_id": "msg_1"}),
        ("inference_geo",): st.just("eu"),
        ("max_tokens",): st.integers(2_001, 10_000),
        ("metadata",): st.builds(lambda user: {"user_id": user}, _TEXTS),
        ("output_config",): st.sampled_from([{"effort": "low"}, {"format": {"type": "json_schema", "schema": SCHEMA}}]),
        ("service_tier",): st.just("standard_only"),
        ("speed",): st.just("fast"),
        ("stop_sequences",): st.lists(_TEXTS, min_size=1, max_size=3),
        ("system",): _TEXTS,
        ("temperature",): _SAMPLING,
        ("thinking",): st.just({"type": "enabled", "budget_tokens": 1_500}),
        ("tool_choice",): st.sampled_from([{"type": "any"}, {"type": "none"}, {"type": "tool", "name": "get_weather"}]),
        ("tool_choice", "disable_parallel_tool_use"): st.just(True),
        ("tools",): st.just([{"name": "get_time", "input_schema": SCHEMA}]),
        ("top_k",): st.integers(1, 40),
        ("top_p",): _SAMPLING,
        ("user_profile_id",): _TEXTS,
        ("workspace_id",): _TEXTS,
        ("zzz",): _TEXTS,
        ("messages", 0, "zzz"): _TEXTS,
        ("messages", 0, "content", 0, "cache_control"): st.just({"type": "ephemeral"}),
        ("messages", 0, "content", 0, "citations"): st.just([{"type": "char_location"}]),
        ("messages", 0, "content", 0, "zzz"): _TEXTS,
        ("messages", 1, "content", 0, "zzz"): _TEXTS,
        ("messages", 2, "content", 0, "is_error"): st.just(True),
        ("messages", 2, "content", 0, "zzz"): _TEXTS,
        ("messages", 2, "content", 1, "source", "zzz"): _TEXTS,
        ("messages", 2, "content", 2): st.sampled_from(
            [
                {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
                {"type": "search_result", "source": "https://example.org", "title": "T", "content": []},
                {"type": "zzz"},
            ]
        ),
        ("tools", 0, "description"): _TEXTS,
        ("tools", 0, "strict"): st.just(True),
        ("tools", 0, "zzz"): _TEXTS,
    },
    Door.RESPONSES: {
        ("access_programs",): st.just(["zzz"]),
        ("background",): st.just(True),
        ("context_management",): st.just([{"type": "compaction", "compact_threshold": 1_000}]),
        ("conversation",): _TEXTS,
        ("image",): st.just({"zzz": "zzz"}),
        ("include",): st.sampled_from([["message.output_text.logprobs"], ["file_search_call.results"]]),
        ("instructions",): _TEXTS,
        ("max_output_tokens",): st.integers(1, 10_000),
        ("max_tool_calls",): st.integers(1, 5),
        ("moderation",): st.just({"model": "omni-moderation-latest"}),
        ("parallel_tool_calls",): st.just(False),
        ("previous_response_id",): _TEXTS,
        ("prompt",): st.just({"id": "pmpt_1"}),
        ("prompt_cache_key",): _TEXTS,
        ("prompt_cache_options",): st.just({"mode": "explicit"}),
        ("prompt_cache_retention",): st.just("24h"),
        ("reasoning",): st.sampled_from([{"effort": "low"}, {"effort": "high"}, {"summary": "detailed"}]),
        ("safety_identifier",): _TEXTS,
        ("service_tier",): st.sampled_from(["flex", "priority"]),
        ("store",): st.just(True),
        ("stream_options",): st.just({"include_obfuscation": True}),
        ("temperature",): _SAMPLING,
        ("text",): st.sampled_from(
            [
                {"verbosity": "low"},
                {"format": {"type": "json_object"}},
                {"format": {"type": "json_schema", "name": "place", "schema": SCHEMA}},
            ]
        ),
        ("tool_choice",): st.sampled_from(["none", "required", {"type": "function", "name": "get_weather"}]),
        ("tools",): st.just([{"type": "function", "name": "get_time", "parameters": SCHEMA}]),
        ("top_logprobs",): st.integers(1, 5),
        ("top_p",): _SAMPLING,
        ("truncation",): st.just("auto"),
        ("user",): _TEXTS,
        ("zzz",): _TEXTS,
        ("input", 0, "zzz"): _TEXTS,
        ("input", 0, "content", 0, "zzz"): _TEXTS,
        ("input", 0, "content", 0, "prompt_cache_breakpoint"): st.just({"mode": "explicit"}),
        ("input", 0, "content", 1, "detail"): st.just("high"),
        ("input", 0, "content", 2): st.sampled_from(
            [
                {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
                {"type": "input_file", "file_id": "file-1"},
                {"type": "zzz"},
            ]
        ),
        ("input", 1, "zzz"): _TEXTS,
        ("input", 2, "zzz"): _TEXTS,
        ("tools", 0, "description"): _TEXTS,
        ("tools", 0, "strict"): st.just(True),
        ("tools", 0, "zzz"): _TEXTS,
    },
    Door.EMBEDDINGS: {
        ("dimensions",): st.integers(1, 10),
        ("encoding_format",): st.just("base64"),
        ("input",): _TEXTS | st.lists(_TEXTS, min_size=2, max_size=3) | st.lists(st.integers(1, 9), min_size=1),
        ("user",): _TEXTS,
        ("zzz",): _TEXTS,
    },
}
"""By its place in the body of `BASES`: what a parameter may ask for that does not happen anyway."""

OFFICIAL: Mapping[Door, Any] = {
    Door.CHAT: CompletionCreateParamsNonStreaming,
    Door.MESSAGES: MessageCreateParamsNonStreaming,
    Door.RESPONSES: ResponseCreateParamsNonStreaming,
    Door.EMBEDDINGS: EmbeddingCreateParams,
}
"""What the official client of each door can say."""
EVERYWHERE = {"model", "messages", "input", "stream", "stream_options"}
"""What the corpus tries in all its forms; of a stream's options: that usage comes, which is the gateway's to see to."""
NOT_THE_PROVIDERS: Mapping[Door, set[Path]] = {
    # Whoever answers in a schema's form at all holds to it.
    Door.CHAT: {("response_format", "json_schema", "strict")},
    # It asks for no more than what is paid for, and that is what hosts do that have no word for it.
    Door.MESSAGES: {("service_tier",)},
    # Said again in the answer, from what was asked: no model sees it anywhere.
    Door.RESPONSES: {("metadata",)},
    # The provider is asked for numbers, and the gateway packs them.
    Door.EMBEDDINGS: {("encoding_format",)},
}
"""What happens without the provider being told."""


@pytest.mark.parametrize("door", OFFICIAL)
def test_each_parameter_of_the_official_client_is_tried(door: Door) -> None:
    known: set[str] = set()
    for kind in (OFFICIAL[door], *OFFICIAL[door].__orig_bases__):
        known |= getattr(kind, "__annotations__", {}).keys()
    tried = {str(path[0]) for path in PARAMETERS[door]} | {str(path[0]) for path in NOT_THE_PROVIDERS.get(door, ())}
    assert known - tried - EVERYWHERE == set()


TWO_WORDS: dict[Path, Path] = {("max_tokens",): ("max_completion_tokens",), ("include",): ("top_logprobs",)}
"""Of two that ask for the same the one goes without a trace: what it asked for, the other asks for too."""

every_wire = pytest.mark.parametrize("wire", WIRES, ids=[wire.name for wire in WIRES])


@every_wire
@pytest.mark.parametrize("door", PARAMETERS)
@given(data=st.data())
@settings(deadline=None, max_examples=50)
def test_a_parameter_is_sent_or_refused_or_told(wire: Wire, door: Door, data: st.DataObject) -> None:
    if door is Door.EMBEDDINGS and wire.embeddings is None:
        return
    path = data.draw(st.sampled_from(list(PARAMETERS[door])), "path")
    value = data.draw(PARAMETERS[door][path], "value")
    assert _became(wire, door, {path: value}, path) in ("sent", "refused", "left out")


@every_wire
@pytest.mark.parametrize("door", PARAMETERS)
@given(data=st.data())
@settings(deadline=None, max_examples=30)
def test_none_is_lost_among_others(wire: Wire, door: Door, data: st.DataObject) -> None:
    if door is Door.EMBEDDINGS and wire.embeddings is None:
        return
    paths = data.draw(st.lists(st.sampled_from(list(PARAMETERS[door])), min_size=2, max_size=5, unique=True), "paths")
    asked = {path: data.draw(PARAMETERS[door][path], str(path)) for path in paths}
    for path in paths:
        for at in range(1, len(path)):
            asked.pop(path[:at], None)
    for one, other in TWO_WORDS.items():
        if other in asked:
            asked.pop(one, None)
    for path in asked:
        assert _became(wire, door, asked, path) in ("sent", "refused", "left out")


@every_wire
@pytest.mark.parametrize(
    "schema", [SCHEMA, {**SCHEMA, "title": "A place"}, {"$ref": "#/$defs/Place", "$defs": {"Place": SCHEMA}}]
)
def test_what_a_schema_is_called_arrives_or_is_told(wire: Wire, schema: Body) -> None:
    form = {"name": "found_place", "schema": schema, "strict": True}
    said = _sent(wire, Door.CHAT, {**BASES[Door.CHAT], "response_format": {"type": "json_schema", "json_schema": form}})
    assert b"found_place" in said.body or "name" in said.left_out
    assert "A place" not in str(schema) or b"A place" in said.body


@every_wire
def test_a_schema_that_nobody_named_misses_no_name(wire: Wire) -> None:
    form = {"type": "json_schema", "schema": {**SCHEMA, "title": "A place"}}
    said = _sent(wire, Door.MESSAGES, {**BASES[Door.MESSAGES], "output_config": {"format": form}})
    assert "name" not in said.left_out


@every_wire
@pytest.mark.parametrize("kind", ["text", "json_object"])
def test_a_schema_beside_a_form_without_one_is_not_lost(wire: Wire, kind: str) -> None:
    """Some hosts word it so. Where it is not read, it is refused."""
    body = {**BASES[Door.CHAT], "response_format": {"type": kind, "schema": SCHEMA}}
    said = _tried(wire, Door.CHAT, body)
    if isinstance(said, Untranslatable):
        assert said.pointer in ("/response_format/schema", "/response_format/type")
    else:
        assert b'"schema":' in said.body


def _became(wire: Wire, door: Door, asked: Mapping[Path, Any], path: Path) -> str:
    body = _with(BASES[door], asked)
    if path in NOT_THE_PROVIDERS.get(door, ()):
        return "sent"
    said = _tried(wire, door, body)
    if isinstance(said, Untranslatable):
        places = [pointer(one) for one in asked]
        assert any(said.pointer.startswith(f"/{one[0]}") for one in asked), f"{said.pointer} is none of {places}"
        assert said.pointer in str(said)
        return "refused"
    words = {str(word) for word in path} | _words(asked[path])
    if said.left_out & words:
        return "left out"
    without = _tried(wire, door, _with(BASES[door], asked, but=path))
    if isinstance(without, Untranslatable):
        return "sent"  # It is what made the others right.
    assert _request(said) != _request(without), f"{pointer(path)} is nowhere, and {set(said.left_out)} were left out"
    return "sent"


def _request(said: Translated) -> tuple[str, bytes, Any]:
    return said.target, said.headers, orjson.loads(said.body)


def _tried(wire: Wire, door: Door, body: Body) -> Translated | Untranslatable:
    try:
        return _sent(wire, door, body)
    except Untranslatable as refusal:
        return refusal


def _sent(wire: Wire, door: Door, body: Body) -> Translated:
    assert wire.embeddings is not None or door is not Door.EMBEDDINGS
    model = wire.embeddings.model if door is Door.EMBEDDINGS and wire.embeddings else wire.model
    body = {"model": model, **body}
    dialect = DIALECTS.get(door)
    call = Call(door, orjson.dumps(body), body, stream=False, dialect=dialect, created_s=CREATED_S)
    # Passing as it came has tests of its own: here every door is translated.
    place = structs.replace(wire.place, doors=wire.place.doors - {Door.RESPONSES, Door.MESSAGES})
    adapter = wire.adapter if dialect is None else dialect.between(wire.adapter, place)
    return adapter.request(call, place, wire.key, {}, model)


def _with(base: Body, asked: Mapping[Path, Any], but: Path = ()) -> Body:
    """All of them `but` one. Shorter paths first: what stands inside of something comes behind it."""
    body = deepcopy(base)
    for path in sorted(asked, key=len):
        _put(body, path, deepcopy(asked[path]), only_room=path == but)
    return body


def _put(body: Body, path: Path, value: Any, *, only_room: bool) -> None:
    holder: Any = body
    for at, step in enumerate(path[:-1]):
        if isinstance(holder, dict) and step not in holder:
            holder[step] = deepcopy(_MADE[path[: at + 1]])
        holder = holder[step]
    if only_room:
        return
    if isinstance(holder, list):
        holder.append(value)
    else:
        holder[path[-1]] = value


_MADE: Mapping[Path, Any] = {
    ("response_format",): {"type": "json_schema", "json_schema": _FORM},
    ("thinking",): {"type": "enabled", "budget_tokens": 1_500},
    ("tool_choice",): {"type": "auto"},
}
"""What holds a parameter, where it is not in the base."""


def _words(value: Any) -> set[str]:
    """The names of what stands inside of a parameter."""
    if isinstance(value, dict):
        return set(value) | {word for inner in value.values() for word in _words(inner)}
    if isinstance(value, list):
        return {word for inner in value for word in _words(inner)}
    return set()
