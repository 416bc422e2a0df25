"""A request of the messages dialect as a chat: each thing it can say, and by name each that a chat cannot."""

from contextlib import suppress
from hashlib import sha256
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.dialects.messages.request import to_chat
from gateway.providers.base import Untranslatable
from tests.gateway.dialects.chats import PLACE, fuzz, inputs, names, texts

HINTED = replace(PLACE, cache_hints=True, limit_name="max_completion_tokens")
HINT = {"type": "ephemeral"}
PNG = {"type": "base64", "media_type": "image/png", "data": "aGk="}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "aGk="}
IMAGE = {"type": "image", "source": PNG}
IMAGE_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
TOOL = {"name": "f", "description": "Does f", "input_schema": {"type": "object"}}
USE = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"x": 1}}
CALL = {"id": "toolu_1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
HELLO = {"role": "user", "content": "Hello"}
table = pytest.mark.parametrize


def asked(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 5, "messages": [HELLO], **fields}


def chat(**fields: Any) -> dict[str, Any]:
    return to_chat(asked(**fields), PLACE).body


def turns(*messages: Any) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = chat(messages=list(messages))["messages"]
    return made


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def text(words: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **fields}


def result(content: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "toolu_1", "content": content, **fields}


@table(
    ("fields", "made"),
    [
        ({}, {"max_tokens": 5}),
        ({"temperature": 0.5, "top_p": 0.9, "top_k": 3}, {"temperature": 0.5, "top_p": 0.9, "top_k": 3}),
        ({"stop_sequences": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"stream": True}, {"stream": True}),
        ({"stop_sequences": []}, {}),
        ({"metadata": {"user_id": "u" * 64}}, {"user": "u" * 64}),
        ({"metadata": {"user_id": "u" * 65}}, {"user": sha256(b"u" * 65).hexdigest()}),
        ({"metadata": {"user_id": None}}, {}),
        ({"service_tier": "standard_only"}, {"service_tier": "default"}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1024}},
            {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        ),
        ({"output_config": {"effort": "xhigh"}}, {"reasoning_effort": "xhigh"}),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "output", "schema": {"type": "object"}, "strict": True},
                }
            },
        ),
        (
            {"tools": [{**TOOL, "strict": True, "type": "custom"}]},
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {
                            "name": "f",
                            "description": "Does f",
                            "parameters": {"type": "object", "properties": {}},
                            "strict": True,
                        },
                    }
                ]
            },
        ),
        ({"tool_choice": {"type": "auto"}}, {"tool_choice": "auto"}),
        ({"tool_choice": {"type": "any"}}, {"tool_choice": "required"}),
        ({"tool_choice": {"type": "none"}}, {"tool_choice": "none"}),
        (
            {"tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True}},
            {"tool_choice": {"type": "function", "function": {"name": "f"}}, "parallel_tool_calls": False},
        ),
        ({"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}}, {}),
        ({"container": None, "mcp_servers": None, "system": None, "tools": None, "thinking": None}, {}),
    ],
    ids=str,
)
def test_each_field_has_its_counterpart(fields: dict[str, Any], made: dict[str, Any]) -> None:
    assert chat(**fields) == {"model": "m", "messages": [HELLO], "max_tokens": 5, **made}


@table(
    ("system", "content"),
    [
        ("Be brief", "Be brief"),
        ([text("Be brief")], "Be brief"),
        ([text("Be"), text("brief")], [text("Be"), text("brief")]),
    ],
)
def test_system_is_the_first_message(system: Any, content: Any) -> None:
    assert chat(system=system)["messages"] == [{"role": "system", "content": content}, HELLO]


def test_an_empty_system_is_no_message() -> None:
    assert chat(system=[])["messages"] == [HELLO]


@table(
    ("block", "part"),
    [
        (IMAGE, IMAGE_PART),
        (
            {"type": "image", "source": {"type": "url", "url": "https://a.test/x.png"}},
            {"type": "image_url", "image_url": {"url": "https://a.test/x.png"}},
        ),
        (
            {"type": "document", "source": PDF, "title": "x.pdf", "citations": {"enabled": False}},
            {"type": "file", "file": {"filename": "x.pdf", "file_data": "data:application/pdf;base64,aGk="}},
        ),
        (
            {"type": "document", "source": PDF},
            {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,aGk="}},
        ),
        ({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}, text("x")),
        ({"type": "document", "source": {"type": "content", "content": "x"}}, text("x")),
        ({"type": "document", "source": {"type": "content", "content": [text("x")]}}, text("x")),
    ],
    ids=str,
)
def test_each_block_has_its_part(block: dict[str, Any], part: dict[str, Any]) -> None:
    assert turns(user(text("Look:"), block)) == [user(text("Look:"), part)]


@table(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "object"}}, "required": ["a"]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}},
        {},
    ],
)
def test_a_schema_that_needs_no_more_is_as_it_came(schema: dict[str, Any]) -> None:
    assert chat(tools=[{**TOOL, "input_schema": schema}])["tools"][0]["function"]["parameters"] == schema


def test_results_of_tools_are_messages_of_their_own_in_their_place() -> None:
    second = {**result([text("b"), IMAGE]), "tool_use_id": "toolu_2"}
    made = turns(HELLO, {"role": "assistant", "content": [USE]}, user(result("a"), second, text("And?")))
    assert made == [
        HELLO,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "toolu_1", "content": "a"},
        {"role": "tool", "tool_call_id": "toolu_2", "content": [text("b"), IMAGE_PART]},
        {"role": "user", "content": "And?"},
    ]


@table("content", [None, [], ""])
def test_a_result_of_nothing_is_an_empty_text(content: Any) -> None:
    assert turns(user(result(content)))[0]["content"] == ""


def test_a_tool_that_failed_is_said_in_words() -> None:
    assert turns(user(result("no such file", is_error=True)))[0]["content"] == [
        text("The tool failed:"),
        text("no such file"),
    ]
    assert turns(user(result("fine", is_error=False)))[0]["content"] == "fine"


def test_what_the_assistant_said_thought_and_called_is_one_message() -> None:
    blocks = [{"type": "thinking", "thinking": "hm", "signature": ""}, text("Let me see"), USE]
    assert turns({"role": "assistant", "content": blocks}) == [
        {"role": "assistant", "content": "Let me see", "reasoning_content": "hm", "tool_calls": [CALL]}
    ]


def test_sealed_and_signed_thoughts_go_on_as_they_are() -> None:
    thoughts = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "x"},
    ]
    (made,) = turns({"role": "assistant", "content": [*thoughts, text("Hi")]})
    assert made == {"role": "assistant", "content": "Hi", "content_blocks": thoughts}


def test_a_system_message_among_the_turns_stays_where_it_is() -> None:
    assert turns(HELLO, {"role": "system", "content": [text("Be brief")]}, HELLO)[1] == {
        "role": "system",
        "content": "Be brief",
    }


def test_advice_on_caching_goes_on_where_the_host_takes_it() -> None:
    body = asked(
        system=[text("a", cache_control=HINT)],
        messages=[
            user(text("b", cache_control=HINT), {**IMAGE, "cache_control": HINT}),
            {"role": "assistant", "content": [{**USE, "cache_control": HINT}]},
            user(result("c", cache_control=HINT)),
        ],
        tools=[{**TOOL, "cache_control": HINT}],
    )
    made = to_chat(body, HINTED)
    assert made.left_out == frozenset()
    assert orjson.dumps(made.body).count(b'"cache_control"') == orjson.dumps(body).count(b'"cache_control"') == 6
    assert "max_completion_tokens" in made.body
    elsewhere = to_chat(body, PLACE)
    assert b"cache_control" not in orjson.dumps(elsewhere.body)
    assert elsewhere.left_out == {"cache_control"}, "and the caller is told"
    assert to_chat(asked(cache_control=HINT), HINTED).left_out == {"cache_control"}


@table(
    ("fields", "pointer"),
    [
        ({"container": "c"}, "/container"),
        ({"mcp_servers": [{}]}, "/mcp_servers"),
        ({"context_management": {}}, "/context_management"),
        ({"inference_geo": "eu"}, "/inference_geo"),
        ({"speed": "fast"}, "/speed"),
        ({"some~new/field": 1}, "/some~0new~1field"),
        ({"max_tokens": 0}, "/max_tokens"),
        ({"metadata": {"other": 1}}, "/metadata/other"),
        ({"output_config": {"other": 1}}, "/output_config/other"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "/tools/0/type"),
        ({"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}, "/context_management"),
        ({"tools": [TOOL, {**TOOL, "defer_loading": True}]}, "/tools/1/defer_loading"),
        ({"tools": [{**TOOL, "allowed_callers": ["code_execution_20250825"]}]}, "/tools/0/allowed_callers"),
        ({"tools": [{**TOOL, "input_examples": [{}]}]}, "/tools/0/input_examples"),
        ({"messages": [user({"type": "search_result"})]}, "/messages/0/content/0/type"),
        ({"messages": [user(text("x", citations=[{}]))]}, "/messages/0/content/0/citations"),
        (
            {"messages": [user({"type": "image", "source": {"type": "file", "file_id": "f"}})]},
            "/messages/0/content/0/source/type",
        ),
        ({"messages": [user({**IMAGE, "transformations": {}})]}, "/messages/0/content/0/transformations"),
        (
            {"messages": [user({"type": "document", "source": {"type": "url", "url": "https://a.test"}})]},
            "/messages/0/content/0/source/type",
        ),
        (
            {"messages": [user({"type": "document", "source": PDF, "citations": {"enabled": True}})]},
            "/messages/0/content/0/citations/enabled",
        ),
        ({"messages": [user({"type": "document", "source": PDF, "context": "x"})]}, "/messages/0/content/0/context"),
        (
            {
                "messages": [
                    user(
                        {
                            "type": "document",
                            "title": "t",
                            "source": {"type": "text", "media_type": "text/plain", "data": "x"},
                        }
                    )
                ]
            },
            "/messages/0/content/0/title",
        ),
        (
            {"messages": [HELLO, {"role": "assistant", "content": [{"type": "server_tool_use"}]}]},
            "/messages/1/content/0/type",
        ),
        (
            {"messages": [{"role": "assistant", "content": [{**USE, "caller": {"type": "other"}}]}]},
            "/messages/0/content/0/caller",
        ),
        ({"messages": [user(result([{"type": "tool_reference"}]))]}, "/messages/0/content/0/content/0/type"),
    ],
    ids=str,
)
def test_what_a_chat_cannot_say_is_refused_by_its_name(fields: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Untranslatable) as refusal:
        chat(**fields)
    assert (refusal.value.pointer, refusal.value.unsupported) == (pointer, True)
    assert f"`{pointer}`" in str(refusal.value)


@table(
    ("fields", "pointer"),
    [
        ({"max_tokens": None}, "/max_tokens"),
        ({"max_tokens": "5"}, "/max_tokens"),
        ({"max_tokens": True}, "/max_tokens"),
        ({"messages": None}, "/messages"),
        ({"messages": {}}, "/messages"),
        ({"messages": ["x"]}, "/messages/0"),
        ({"messages": [{"role": "boss", "content": "x"}]}, "/messages/0/role"),
        ({"messages": [{"role": "user"}]}, "/messages/0/content"),
        ({"messages": [user("x")]}, "/messages/0/content/0"),
        ({"messages": [user({"text": "x"})]}, "/messages/0/content/0/type"),
        ({"messages": [user({"type": "text"})]}, "/messages/0/content/0/text"),
        ({"messages": [user({"type": "image"})]}, "/messages/0/content/0/source"),
        ({"messages": [user({"type": "tool_result"})]}, "/messages/0/content/0/tool_use_id"),
        ({"messages": [user(result(7))]}, "/messages/0/content/0/content"),
        ({"messages": [{"role": "assistant", "content": [{**USE, "input": "x"}]}]}, "/messages/0/content/0/input"),
        ({"system": 7}, "/system"),
        ({"system": [IMAGE]}, "/system/0/type"),
        ({"stop_sequences": "x"}, "/stop_sequences"),
        ({"stop_sequences": [7]}, "/stop_sequences/0"),
        ({"tools": {}}, "/tools"),
        ({"tools": [{"input_schema": {}}]}, "/tools/0/name"),
        ({"tools": [{"name": "f"}]}, "/tools/0/input_schema"),
        ({"tool_choice": "auto"}, "/tool_choice"),
        ({"tool_choice": {"type": "maybe"}}, "/tool_choice/type"),
        ({"tool_choice": {"type": "tool"}}, "/tool_choice/name"),
        ({"metadata": []}, "/metadata"),
        ({"service_tier": "gold"}, "/service_tier"),
        ({"output_config": {"format": {"type": "yaml"}}}, "/output_config/format/type"),
    ],
    ids=str,
)
def test_what_is_malformed_is_refused_with_its_place(fields: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Untranslatable) as refusal:
        chat(**fields)
    assert refusal.value.pointer == pointer


def test_to_count_tokens_no_limit_is_needed() -> None:
    body = {"model": "m", "messages": [HELLO]}
    assert to_chat(body, PLACE, counts_only=True).body == body


# There and back


blocks = (
    st.builds(text, texts)
    | st.just(IMAGE)
    | st.builds(lambda words: {"type": "document", "title": words, "source": PDF}, names)
)
results = st.builds(
    lambda place, content: {"type": "tool_result", "tool_use_id": f"toolu_{place}", "content": content},
    st.integers(0, 9),
    texts | st.lists(blocks, min_size=2, max_size=3),
)
thoughts = st.builds(
    lambda words, seal: [{"type": "thinking", "thinking": words, "signature": seal}], texts, st.just("") | names
)


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """In the form that says each thing in one way: turns that alternate, results of tools before a user's words."""
    messages: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(1, 4))):
        replies = draw(st.lists(results, max_size=2))
        words = draw(st.lists(blocks, min_size=0 if replies else 1, max_size=3))
        messages.append(user(*replies, *words))
        said: list[dict[str, Any]] = [
            *draw(st.just([]) | thoughts),
            *(text(w) for w in draw(st.lists(texts, max_size=2))),
        ]
        said += [{**USE, "id": f"toolu_{place}", "input": draw(inputs)} for place in range(draw(st.integers(0, 2)))]
        messages.append({"role": "assistant", "content": said or [text(draw(texts))]})
    return messages


def back(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The turns that a chat's messages came from, read by rules of this test's own."""
    made: list[dict[str, Any]] = []
    for message in messages:
        content = message.get("content")
        parts = [text(content)] if isinstance(content, str) and content else content or []
        said = [_block(part) for part in parts]
        if message["role"] == "tool":
            answer = content if isinstance(content, str) else said
            said = [{"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": answer}]
        if message["role"] == "assistant":
            thought = [{"type": "thinking", "thinking": message.get("reasoning_content"), "signature": ""}]
            before = message.get("content_blocks") or (thought if "reasoning_content" in message else [])
            calls = [
                {**USE, "id": call["id"], "input": orjson.loads(call["function"]["arguments"])}
                for call in message.get("tool_calls", ())
            ]
            said = [*before, *said, *calls]
        role = "assistant" if message["role"] == "assistant" else "user"
        if made and made[-1]["role"] == role == "user" and made[-1]["content"][-1]["type"] == "tool_result":
            made[-1]["content"] += said
        else:
            made.append({"role": role, "content": said})
    return made


def _block(part: dict[str, Any]) -> dict[str, Any]:
    if part["type"] == "image_url":
        return IMAGE
    if part["type"] == "file":
        return {"type": "document", "title": part["file"]["filename"], "source": PDF}
    return part


@fuzz
@given(messages=conversations())
def test_there_and_back_nothing_that_both_sides_can_say_is_lost(messages: list[dict[str, Any]]) -> None:
    assert back(turns(*messages)) == messages


@fuzz
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    "role content type text source messages system tools name input id thinking is_error".split()
                ),
                inner
                | st.sampled_from("user assistant text image tool_use tool_result document thinking base64".split()),
                max_size=5,
            )
        ),
        max_leaves=25,
    )
)
def test_whatever_is_asked_is_said_or_refused_and_never_a_fault_of_ours(value: Any) -> None:
    for body in (asked(messages=value), asked(messages=[{"role": "user", "content": value}]), asked(system=value)):
        with suppress(Untranslatable):
            orjson.dumps(to_chat(body, PLACE).body)
