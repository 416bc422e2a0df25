"""A request of the responses dialect as a chat: each thing it can say, and by name each that a chat cannot."""

from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.dialects.responses.request import to_chat
from gateway.providers.base import Untranslatable
from tests.gateway.dialects.chats import PLACE, fuzz, inputs, names, texts

HELLO = {"role": "user", "content": "Hello"}
FUNCTION = {"type": "function", "name": "f", "description": "Does f", "parameters": {"type": "object"}, "strict": True}
FUNCTION_TOOL = {"type": "function", "function": {name: value for name, value in FUNCTION.items() if name != "type"}}
GRAMMAR = {"type": "grammar", "syntax": "regex", "definition": "a+"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": '{"x":1}'}
TOOL_CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}
IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "low"}
IMAGE_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}}
FILE = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}
FILE_PART = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}}
SCHEMA = {"name": "s", "schema": {"type": "object"}, "strict": True, "description": "d"}
table = pytest.mark.parametrize


def chat(**fields: Any) -> dict[str, Any]:
    return to_chat({"model": "m", "input": "Hello", **fields}, PLACE).body


def turns(*items: Any) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = chat(input=list(items))["messages"]
    return made


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


@table(
    ("fields", "made"),
    [
        ({}, {}),
        ({"max_output_tokens": 5}, {"max_tokens": 5}),
        ({"temperature": 0.5, "top_p": 0.9, "user": "u"}, {"temperature": 0.5, "top_p": 0.9, "user": "u"}),
        ({"stream": True, "stream_options": {"include_obfuscation": False}}, {"stream": True}),
        ({"service_tier": "flex", "prompt_cache_key": "k"}, {"service_tier": "flex", "prompt_cache_key": "k"}),
        (
            {"parallel_tool_calls": False, "tools": [FUNCTION]},
            {"parallel_tool_calls": False, "tools": [FUNCTION_TOOL]},
        ),
        # What is said of tools where there are none: hosts of chats refuse it.
        ({"parallel_tool_calls": False, "tool_choice": "auto", "tools": []}, {}),
        ({"parallel_tool_calls": True, "tool_choice": "none"}, {}),
        ({"top_logprobs": 3}, {"top_logprobs": 3, "logprobs": True}),
        ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
        ({"include": ["reasoning.encrypted_content"]}, {}),
        ({"reasoning": {"effort": "high", "summary": "auto"}}, {"reasoning_effort": "high"}),
        ({"text": {"verbosity": "low", "format": {"type": "text"}}}, {"verbosity": "low"}),
        ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
        (
            {"text": {"format": {"type": "json_schema", **SCHEMA}}},
            {"response_format": {"type": "json_schema", "json_schema": SCHEMA}},
        ),
        ({"tools": [FUNCTION]}, {"tools": [FUNCTION_TOOL]}),
        (
            {"tools": [{"type": "function", "name": "f", "parameters": None, "strict": None}]},
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
        ),
        (
            {"tools": [{"type": "custom", "name": "c", "format": GRAMMAR}]},
            {
                "tools": [
                    {
                        "type": "custom",
                        "custom": {
                            "name": "c",
                            "format": {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a+"}},
                        },
                    }
                ]
            },
        ),
        ({"tool_choice": "required"}, {"tool_choice": "required"}),
        (
            {"tool_choice": {"type": "function", "name": "f"}},
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        ),
        (
            {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}},
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
                }
            },
        ),
        ({"metadata": {"a": "b"}}, {}),
        ({"store": False, "background": False, "truncation": "disabled"}, {}),
        (
            {"store": None, "previous_response_id": None, "conversation": None, "prompt": None, "max_tool_calls": None},
            {},
        ),
    ],
    ids=str,
)
def test_each_field_has_its_counterpart(fields: dict[str, Any], made: dict[str, Any]) -> None:
    assert chat(**fields) == {"model": "m", "messages": [HELLO], **made}


def test_instructions_are_the_first_message() -> None:
    assert chat(instructions="Be brief")["messages"] == [{"role": "system", "content": "Be brief"}, HELLO]


@table(
    ("item", "message"),
    [
        (HELLO, HELLO),
        ({"role": "developer", "content": "x"}, {"role": "system", "content": "x"}),
        ({"role": "system", "content": [{"type": "input_text", "text": "x"}]}, {"role": "system", "content": "x"}),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}, IMAGE, FILE]},
            {"role": "user", "content": [text("x"), IMAGE_PART, FILE_PART]},
        ),
        ({"role": "assistant", "content": "x"}, {"role": "assistant", "content": "x"}),
        (
            {
                "type": "message",
                "id": "msg_1",
                "status": "completed",
                "role": "assistant",
                "content": [
                    {"type": "output_text", "text": "x", "annotations": [], "logprobs": []},
                    {"type": "refusal", "refusal": "no"},
                ],
            },
            {"role": "assistant", "content": [text("x"), {"type": "refusal", "refusal": "no"}]},
        ),
        (CALL, {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]}),
        (
            {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}}],
            },
        ),
        (OUTPUT, {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}),
        (
            {**OUTPUT, "output": [{"type": "input_text", "text": "x"}, IMAGE]},
            {"role": "tool", "tool_call_id": "call_1", "content": [text("x"), IMAGE_PART]},
        ),
        ({**OUTPUT, "output": []}, {"role": "tool", "tool_call_id": "call_1", "content": ""}),
        (
            {"type": "custom_tool_call_output", "call_id": "c", "output": "x"},
            {"role": "tool", "tool_call_id": "c", "content": "x"},
        ),
        (
            {"type": "reasoning", "id": "rs", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
            {"role": "assistant", "content": "", "reasoning_content": "hm"},
        ),
        (
            {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"role": "assistant", "content": "", "reasoning_content": "hm"},
        ),
        (
            {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "gatehouse:sealed:x"},
            {"role": "assistant", "content": "", "content_blocks": [{"type": "redacted_thinking", "data": "x"}]},
        ),
    ],
    ids=str,
)
def test_each_item_has_its_message(item: dict[str, Any], message: dict[str, Any]) -> None:
    assert turns(HELLO, item)[1:] == [message]


def test_what_the_model_did_in_one_go_is_one_message() -> None:
    thought = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me see"}]}
    made = turns(
        HELLO, thought, said, CALL, {**CALL, "call_id": "call_2"}, OUTPUT, {**OUTPUT, "call_id": "call_2"}, HELLO
    )
    assert [message["role"] for message in made] == ["user", "assistant", "tool", "tool", "user"]
    assert made[1] == {
        "role": "assistant",
        "content": "Let me see",
        "reasoning_content": "hm",
        "tool_calls": [TOOL_CALL, {**TOOL_CALL, "id": "call_2"}],
    }


def test_an_empty_reasoning_item_says_nothing() -> None:
    assert turns(HELLO, {"type": "reasoning", "id": "rs", "summary": []}) == [HELLO]


def test_advice_goes_on_where_the_host_takes_it_and_else_the_caller_is_told() -> None:
    part = {"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}
    body = {"model": "m", "input": [{"role": "user", "content": [part]}, {"role": "assistant", "content": "x"}]}
    assert to_chat(body, replace(PLACE, cache_hints=True)).body["messages"][0]["content"] == [
        {**text("x"), "prompt_cache_breakpoint": {"mode": "explicit"}}
    ]
    assert to_chat(body, PLACE).left_out == {"prompt_cache_breakpoint"}
    body["input"][1]["phase"] = "commentary"  # type: ignore[index]
    assert to_chat(body, PLACE).left_out == {"phase", "prompt_cache_breakpoint"}


@table(
    ("fields", "pointer"),
    [
        ({"previous_response_id": "resp_1"}, "/previous_response_id"),
        ({"conversation": "conv_1"}, "/conversation"),
        ({"prompt": {"id": "p"}}, "/prompt"),
        ({"store": True}, "/store"),
        ({"background": True}, "/background"),
        ({"truncation": "auto"}, "/truncation"),
        ({"max_tool_calls": 1}, "/max_tool_calls"),
        ({"context_management": []}, "/context_management"),
        ({"moderation": {}}, "/moderation"),
        ({"stream_options": {"include_obfuscation": True}}, "/stream_options/include_obfuscation"),
        ({"include": ["file_search_call.results"]}, "/include/0"),
        ({"reasoning": {"summary": "detailed"}}, "/reasoning/summary"),
        ({"reasoning": {"other": 1}}, "/reasoning/other"),
        ({"text": {"other": 1}}, "/text/other"),
        ({"tools": [{"type": "web_search"}]}, "/tools/0/type"),
        ({"tools": [FUNCTION, {"type": "mcp"}]}, "/tools/1/type"),
        ({"tools": [{**FUNCTION, "defer_loading": True}]}, "/tools/0/defer_loading"),
        ({"tools": [{**FUNCTION, "output_schema": {}}]}, "/tools/0/output_schema"),
        ({"tool_choice": {"type": "web_search_preview"}}, "/tool_choice/type"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "/input/0/type"),
        ({"input": [{"type": "web_search_call"}]}, "/input/0/type"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "/input/0/content/0/type"),
        ({"input": [{"role": "user", "content": [{**IMAGE, "file_id": "f"}]}]}, "/input/0/content/0/file_id"),
        ({"input": [{"role": "user", "content": [{**FILE, "file_url": "u"}]}]}, "/input/0/content/0/file_url"),
        ({"input": [{"role": "user", "content": [{**FILE, "detail": "high"}]}]}, "/input/0/content/0/detail"),
        ({"input": [{**CALL, "namespace": "n"}]}, "/input/0/namespace"),
        ({"input": [{**CALL, "caller": {"type": "program"}}]}, "/input/0/caller"),
    ],
    ids=str,
)
def test_what_a_chat_cannot_say_is_refused_by_its_name(fields: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Untranslatable) as refusal:
        chat(**fields)
    assert (refusal.value.pointer, refusal.value.unsupported) == (pointer, True)


@table(
    ("fields", "pointer"),
    [
        ({"input": None}, "/input"),
        ({"input": 7}, "/input"),
        ({"input": ["x"]}, "/input/0"),
        ({"input": [{"role": "boss", "content": "x"}]}, "/input/0/role"),
        ({"input": [{"role": "user"}]}, "/input/0/content"),
        ({"input": [{"role": "assistant"}]}, "/input/0/content"),
        ({"input": [{"role": "user", "content": ["x"]}]}, "/input/0/content/0"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "/input/0/content/0/text"),
        ({"input": [{"type": 7}]}, "/input/0/type"),
        ({"input": [{**CALL, "arguments": {}}]}, "/input/0/arguments"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "/input/0/call_id"),
        ({"input": [{**OUTPUT, "output": 7}]}, "/input/0/output"),
        ({"input": [{"type": "reasoning", "summary": ["x"]}]}, "/input/0/summary/0"),
        ({"input": [{"type": "reasoning", "summary": [{"type": "x"}]}]}, "/input/0/summary/0/type"),
        ({"max_output_tokens": "5"}, "/max_output_tokens"),
        ({"metadata": {"a": 1}}, "/metadata/a"),
        ({"metadata": {"a": {"b": [[]]}}}, "/metadata/a"),
        ({"instructions": []}, "/instructions"),
        ({"tools": [{"type": "function"}]}, "/tools/0/name"),
        ({"tool_choice": "maybe"}, "/tool_choice"),
        ({"tool_choice": 7}, "/tool_choice"),
        ({"text": {"format": {"type": "yaml"}}}, "/text/format/type"),
        ({"text": {"format": {"type": "json_schema", "name": "s"}}}, "/text/format/schema"),
        ({"reasoning": "high"}, "/reasoning"),
        ({"include": "x"}, "/include"),
    ],
    ids=str,
)
def test_what_is_malformed_is_refused_with_its_place(fields: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Untranslatable) as refusal:
        chat(**fields)
    assert refusal.value.pointer == pointer


# There and back


parts = (
    st.builds(lambda words: {"type": "input_text", "text": words}, texts)
    | st.just(IMAGE)
    | st.builds(lambda name: {**FILE, "filename": name}, names)
)
asked_items = (
    st.builds(lambda words: {"type": "message", "role": "user", "content": words}, texts)
    | st.builds(
        lambda list_: {"type": "message", "role": "user", "content": list_}, st.lists(parts, min_size=2, max_size=3)
    )
    | st.builds(lambda place, words: {**OUTPUT, "call_id": f"call_{place}", "output": words}, st.integers(0, 9), texts)
)


@st.composite
def turns_of_the_model(draw: st.DrawFn) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if draw(st.booleans()):
        item = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": draw(texts)}]}
        items.append(
            {**item, **draw(st.just({}) | st.builds(lambda seal: {"encrypted_content": f"gatehouse::{seal}"}, names))}
        )
    if draw(st.booleans()) or not items:
        said = [{"type": "output_text", "text": words} for words in draw(st.lists(texts, min_size=1, max_size=2))]
        items.append({"type": "message", "role": "assistant", "content": said})
    for place in range(draw(st.integers(0, 2))):
        arguments = orjson.dumps(draw(inputs)).decode()
        items.append({**CALL, "call_id": f"call_{place}", "arguments": arguments})
    if draw(st.booleans()):
        items.append({"type": "custom_tool_call", "call_id": "call_c", "name": "c", "input": draw(texts)})
    return items


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(1, 3))):
        items += [*draw(st.lists(asked_items, min_size=1, max_size=3)), *draw(turns_of_the_model())]
    return items


def back(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items that a chat's messages came from, read by rules of this test's own."""
    items: list[dict[str, Any]] = []
    for message in messages:
        content = message.get("content")
        if message["role"] == "user":
            said = content if isinstance(content, str) else [_part(part) for part in content or ()]
            items.append({"type": "message", "role": "user", "content": said})
        elif message["role"] == "tool":
            items.append({**OUTPUT, "call_id": message["tool_call_id"], "output": content})
        else:
            items += _done(message)
    return items


def _done(message: dict[str, Any]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    blocks = message.get("content_blocks") or []
    thought = message.get("reasoning_content") or "".join(block["thinking"] for block in blocks)
    if thought:
        item = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": thought}]}
        items.append({**item, **({"encrypted_content": f"gatehouse::{blocks[0]['signature']}"} if blocks else {})})
    content = message.get("content")
    words = [content] if isinstance(content, str) and content else [part["text"] for part in content or ()]
    if words:
        said = [{"type": "output_text", "text": word} for word in words]
        items.append({"type": "message", "role": "assistant", "content": said})
    for call in message.get("tool_calls", ()):
        detail = call[call["type"]]
        kind = "function_call" if call["type"] == "function" else "custom_tool_call"
        items.append({"type": kind, "call_id": call["id"], **detail})
    return items


def _part(part: dict[str, Any]) -> dict[str, Any]:
    if part["type"] == "image_url":
        return {"type": "input_image", "image_url": part["image_url"]["url"], "detail": part["image_url"]["detail"]}
    if part["type"] == "file":
        return {"type": "input_file", **part["file"]}
    return {"type": "input_text", "text": part["text"]}


@fuzz
@given(items=conversations())
def test_there_and_back_nothing_that_both_sides_can_say_is_lost(items: list[dict[str, Any]]) -> None:
    assert back(turns(*items)) == items


@fuzz
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from("role content type text summary output call_id name arguments format tools".split()),
                inner | st.sampled_from("user assistant input_text function_call reasoning message refusal".split()),
                max_size=5,
            )
        ),
        max_leaves=25,
    )
)
def test_whatever_is_asked_is_said_or_refused_and_never_a_fault_of_ours(value: Any) -> None:
    for fields in ({"input": value}, {"input": [value]}, {"tools": value}, {"text": value}, {"tool_choice": value}):
        with suppress(Untranslatable):
            orjson.dumps(chat(**fields))
