"""What the corpus does not ask of Anthropic's adapter: budgets, ways to stop, its own blocks, advice on its cache."""

import re
from typing import Any

import orjson
import pytest

from gateway.providers.anthropic.provider import Anthropic
from gateway.providers.anthropic.request import BUDGETS, TOKENS_DEFAULT
from gateway.providers.base import BrokenAnswer, Call, Door, Translated, Untranslatable
from gateway.providers.registry import built_in_rows
from gateway.view.plan import place_of
from shared.crypto.secret import Secret

PLACE = place_of(built_in_rows()["anthropic"])
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
ADAPTER = Anthropic()


def asked(body: dict[str, Any], overrides: dict[str, Any] | None = None, **fields: Any) -> Translated:
    call = Call(Door.CHAT, b"", {"model": "m", **HELLO, **body}, stream=False, **fields)
    return ADAPTER.request(call, PLACE, Secret("sk-1"), overrides or {}, body.get("model", "m"))


def sent(body: dict[str, Any], overrides: dict[str, Any] | None = None) -> dict[str, Any]:
    made: dict[str, Any] = orjson.loads(asked(body, overrides).body)
    return made


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
SIGNED = [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}]
FOREIGN = [{"type": "thinking", "thinking": "Hm.", "signature": "gatehouse:google:c2ln"}]
ASKS = {"role": "user", "content": "x"}
RESULT = {"role": "tool", "tool_call_id": "c", "content": "y"}


def calls(**more: Any) -> dict[str, Any]:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return {"role": "assistant", "content": None, "tool_calls": [call], **more}


def answered(message: dict[str, Any]) -> dict[str, Any]:
    call = Call(Door.CHAT, b"", {"model": "m", **HELLO}, stream=False)
    whole = {"id": "msg_1", "model": "m", "content": [{"type": "text", "text": "x"}], **message}
    chat: dict[str, Any] = orjson.loads(ADAPTER.answer(call, orjson.dumps(whole))[0])
    return chat


def test_where_it_goes_and_what_it_says_beside() -> None:
    translated = asked({})
    assert (translated.target, translated.origin, translated.signer) == ("/v1/messages", None, None)
    assert b"x-api-key: sk-1\r\n" in translated.headers
    assert translated.headers.count(b"anthropic-version: 2023-06-01") == 1
    own = asked({}, forwarded=b"anthropic-version: 2030-01-01\r\nanthropic-beta: a-1\r\n").headers
    assert b"anthropic-version: 2030-01-01" in own
    assert b"2023-06-01" not in own


# How long an answer may be, and how much is thought before


@pytest.mark.parametrize(
    ("body", "limit", "thinking"),
    [
        ({}, 4_096, None),
        ({"max_tokens": 7}, 7, None),
        ({"max_tokens": 7, "max_completion_tokens": 9}, 7, None),
        ({"reasoning_effort": "none"}, 4_096, {"type": "disabled"}),
        ({"reasoning_effort": "low"}, 5_120, {"type": "enabled", "budget_tokens": 1_024}),
        ({"reasoning_effort": "high"}, 28_672, {"type": "enabled", "budget_tokens": 24_576}),
        (
            {"reasoning_effort": "high", "max_tokens": 10_000},
            10_000,
            {"type": "enabled", "budget_tokens": 8_000},
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2_000}},
            6_096,
            {"type": "enabled", "budget_tokens": 2_000},
        ),
        ({"thinking": {"type": "adaptive"}, "max_tokens": 50}, 50, {"type": "adaptive"}),
    ],
)
def test_budgets_leave_room_for_an_answer(body: dict[str, Any], limit: int, thinking: Any) -> None:
    made = sent(body)
    assert (made["max_tokens"], made.get("thinking")) == (limit, thinking)


ADAPTIVE = {"type": "adaptive", "display": "summarized"}


@pytest.mark.parametrize(
    "model",
    (
        "claude-opus-4-7 claude-opus-4-8@20260601 anthropic/claude-opus-4.7 claude-sonnet-5 claude-haiku-5-5 "
        "claude-fable-5-1 claude-mythos-preview claude-opus-4-10-20270101 claude-opus-10"
    ).split(),
)
@pytest.mark.parametrize(("effort", "said"), [("minimal", "low"), ("low", "low"), ("high", "high"), ("xhigh", "xhigh")])
def test_a_model_that_takes_no_budget_is_told_how_hard_to_think(model: str, effort: str, said: str) -> None:
    """Newer ones refuse budgets: each call that said how hard to think was a 400."""
    made = sent({"model": model, "reasoning_effort": effort})
    assert (made["thinking"], made["output_config"]) == (ADAPTIVE, {"effort": said})
    assert made["max_tokens"] == BUDGETS[effort] + TOKENS_DEFAULT
    assert sent({"model": model, "reasoning_effort": effort, "max_tokens": 50})["max_tokens"] == 50
    with pytest.raises(Untranslatable, match="reasoning_effort"):
        sent({"model": model, "reasoning_effort": "much"})


@pytest.mark.parametrize(
    "model",
    (
        "claude-opus-4-6 claude-opus-4-6-20260205 claude-sonnet-4-20250514 claude-3-7-sonnet-20250219 "
        "claude-haiku-4-5@20251001 claude-opus-4-1 m"
    ).split(),
)
def test_an_older_model_has_its_budget(model: str) -> None:
    made = sent({"model": model, "reasoning_effort": "low"})
    assert (made["thinking"], "output_config" in made) == ({"type": "enabled", "budget_tokens": 1_024}, False)
    assert sent({"model": model})["max_tokens"] == TOKENS_DEFAULT


def test_no_thought_is_asked_for_as_each_model_takes_it() -> None:
    assert "thinking" not in sent({"model": "claude-opus-4-7", "reasoning_effort": "none"}), "it thinks when told to"
    assert sent({"model": "claude-opus-5", "reasoning_effort": "none"})["thinking"] == {"type": "disabled"}
    with pytest.raises(Untranslatable) as refused:
        sent({"model": "claude-opus-5-5", "reasoning_effort": "none"})
    assert (refused.value.pointer, refused.value.unsupported) == ("/reasoning_effort", True)


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        ({"model": "claude-sonnet-5"}, 28_672),
        ({"model": "claude-opus-4-7"}, 4_096),
        ({"model": "claude-opus-4-7", "thinking": {"type": "adaptive"}}, 28_672),
        ({"model": "claude-sonnet-5", "thinking": {"type": "disabled"}}, 4_096),
        ({"model": "claude-sonnet-5", "reasoning_effort": "none"}, 4_096),
        ({"model": "claude-sonnet-5", "max_tokens": 9}, 9),
    ],
)
def test_who_thinks_by_himself_has_room_for_it_where_nobody_sets_a_limit(body: dict[str, Any], limit: int) -> None:
    assert sent(body)["max_tokens"] == limit


def test_effort_beside_thinking_of_the_caller_s_own_is_the_provider_s_word() -> None:
    made = sent({"thinking": {"type": "adaptive"}, "reasoning_effort": "max", "output_config": {"x": 1}})
    assert made["output_config"] == {"x": 1, "effort": "max"}


@pytest.mark.parametrize(
    ("messages", "thinks"),
    [
        ([ASKS, calls(), RESULT], False),
        ([ASKS, calls(content_blocks=FOREIGN), RESULT], False),
        ([ASKS, calls(), RESULT, calls(), RESULT], False),
        ([ASKS, calls(content_blocks=SIGNED), RESULT], True),
        ([ASKS, calls(content_blocks=SIGNED), RESULT, calls(), RESULT], True),
        ([ASKS, calls(content_blocks=SIGNED), RESULT, ASKS, calls(), RESULT], False),
        ([ASKS, calls(), RESULT, {"role": "assistant", "content": "z"}, ASKS], True),
    ],
    ids=["no thought", "another's", "twice", "thought", "thought before", "in the turn before", "over"],
)
def test_a_turn_that_began_without_a_thought_goes_on_without(messages: list[dict[str, Any]], thinks: bool) -> None:
    """A budget of thought is refused then: "a final assistant message must start with a thinking block"."""
    made = asked({"messages": messages, "tools": [TOOL], "reasoning_effort": "low"})
    assert ("thinking" in orjson.loads(made.body)) is thinks
    assert ("reasoning_effort" in made.left_out) is not thinks
    newer = sent({"model": "claude-opus-4-7", "messages": messages, "tools": [TOOL], "reasoning_effort": "low"})
    assert newer["thinking"]["type"] == "adaptive", "newer models take it"


def test_a_budget_of_the_callers_own_stays_out_where_the_thought_did_that_the_turn_began_with() -> None:
    """Who brought the thought along is not to know that this provider cannot be sent it."""
    own = {"tools": [TOOL], "thinking": {"type": "enabled", "budget_tokens": 2_000}}
    made = asked({**own, "messages": [ASKS, calls(content_blocks=FOREIGN), RESULT]})
    assert orjson.loads(made.body)["thinking"] == {"type": "disabled"}
    assert made.left_out == {"signature", "content_blocks", "thinking"}
    for messages in ([ASKS, calls(), RESULT], [ASKS, calls(content_blocks=SIGNED), RESULT]):
        assert sent({**own, "messages": messages})["thinking"] == own["thinking"]


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
@pytest.mark.parametrize(
    ("model", "thinking", "tokens", "told"),
    [
        ("claude-sonnet-4-5", None, 4_096, {"reasoning_effort"}),
        ("claude-opus-4-7", None, 4_096, set()),
        ("claude-opus-5", {"type": "disabled"}, 4_096, set()),
        ("claude-mythos-5", None, 28_672, set()),
    ],
)
def test_a_tool_that_must_be_called_is_called_without_thought(
    choice: Any, model: str, thinking: Any, tokens: int, told: set[str]
) -> None:
    """The provider refuses both together, or calls none. The newest models cannot be kept from it, nor told so."""
    body = {"model": model, "tools": [TOOL], "tool_choice": choice}
    made = asked({**body, "reasoning_effort": "low"})
    said = orjson.loads(made.body)
    assert (said.get("thinking"), said["max_tokens"], made.left_out) == (thinking, tokens, told)
    assert said["tool_choice"]["type"] in ("any", "tool")
    assert ("effort" in said.get("output_config", {})) is not bool(told)
    with pytest.raises(Untranslatable, match="reasoning_effort"):
        asked({**body, "reasoning_effort": "vast"})


@pytest.mark.parametrize(
    ("body", "unsupported"),
    [({"reasoning_effort": "low", "max_tokens": 1_000}, True), ({"reasoning_effort": "vast"}, False)],
)
def test_effort_that_cannot_be_is_refused(body: dict[str, Any], unsupported: bool) -> None:
    with pytest.raises(Untranslatable) as refused:
        asked(body)
    assert (refused.value.pointer, refused.value.unsupported) == ("/reasoning_effort", unsupported)


# Tools, documents, advice


def test_tools_of_its_own_go_by_their_own_names() -> None:
    own = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    function = {"name": "f", "strict": True, "parameters": {"type": "object"}}
    hint = {"type": "ephemeral"}
    made = sent({"tools": [own, {"type": "function", "function": function, "cache_control": hint}]})
    assert made["tools"] == [
        own,
        {"name": "f", "input_schema": {"type": "object"}, "strict": True, "cache_control": hint},
    ]
    with pytest.raises(Untranslatable) as refused:
        asked({"tools": [{"type": "custom", "custom": {"name": "x"}}]})
    assert refused.value.pointer == "/tools/0/type"


def test_advice_on_the_cache_stays_where_it_stood() -> None:
    hint = {"type": "ephemeral", "ttl": "1h"}
    text = {"type": "text", "text": "x", "cache_control": hint}
    made = sent(
        {
            "messages": [
                {"role": "system", "content": [text]},
                {"role": "user", "content": [text, {"type": "text", "text": "y"}]},
                {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": ""}}]},
                {"role": "tool", "tool_call_id": "1", "content": "r", "cache_control": hint},
            ]
        }
    )
    assert made["system"] == [text]
    assert made["messages"][0]["content"] == [text, {"type": "text", "text": "y"}]
    assert made["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "1", "content": "r", "cache_control": hint}
    ]


def test_documents_by_data_by_id_and_as_text() -> None:
    files = [
        {"file_id": "file_1"},
        {"filename": "a.txt", "file_data": "data:text/plain;charset=utf-8;base64,w6Q="},
    ]
    made = sent({"messages": [{"role": "user", "content": [{"type": "file", "file": file} for file in files]}]})
    assert made["messages"][0]["content"] == [
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "ä"}, "title": "a.txt"},
    ]
    for data, unsupported in (("data:image/png;base64,AA==", True), ("data:text/plain;base64,/w==", False)):
        part = {"type": "file", "file": {"file_data": data}}
        with pytest.raises(Untranslatable) as refused:
            asked({"messages": [{"role": "user", "content": [part]}]})
        assert refused.value.pointer == "/messages/0/content/0/file/file_data"
        assert refused.value.unsupported is unsupported


def test_who_asks_and_what_was_left_out() -> None:
    assert sent({"user": "u"})["metadata"] == sent({"metadata": {"user_id": "u"}})["metadata"] == {"user_id": "u"}
    assert sent({"safety_identifier": "s"})["metadata"] == {"user_id": "s"}
    told = asked({"user": "u", "safety_identifier": "s", "metadata": {"team": "x"}, "prediction": {"type": "content"}})
    assert told.left_out == {"safety_identifier", "metadata", "prediction"}
    thought = {"role": "assistant", "content": "x", "reasoning_content": "of another model"}
    assert asked({"messages": [*HELLO["messages"], thought, *HELLO["messages"]]}).left_out == {"reasoning_content"}


def test_a_thought_that_nobody_signed_is_left_out_and_told() -> None:
    """Other models' thoughts have no signature, and the provider takes none without one: the conversation was over."""
    blocks = [{"type": "thinking", "thinking": "Hm."}, {"type": "thinking", "thinking": "Ah.", "signature": "c2ln"}]
    turn = {"role": "assistant", "content": "x", "content_blocks": blocks}
    translated = asked({"messages": [*HELLO["messages"], turn, *HELLO["messages"]]})
    content = orjson.loads(translated.body)["messages"][1]["content"]
    assert content == [blocks[1], {"type": "text", "text": "x"}]
    assert translated.left_out == {"content_blocks"}


def test_a_config_s_overrides_are_part_of_the_chat() -> None:
    made = sent({"temperature": 1}, {"temperature": 0.5, "top_k": 3})
    assert (made["temperature"], made["top_k"], made["model"]) == (0.5, 3, "m")


# Answers


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("one of tomorrow", "stop"),
        (None, "stop"),
    ],
)
def test_every_way_to_stop_is_one_that_chats_know(reason: str | None, finish: str) -> None:
    assert answered({"stop_reason": reason})["choices"][0]["finish_reason"] == finish
    events = [
        {"type": "message_start", "message": {"id": "1", "model": "m"}},
        {"type": "message_delta", "delta": {"stop_reason": reason or "end_turn"}},
        {"type": "message_stop"},
    ]
    reader = ADAPTER.stream(Call(Door.CHAT, b"", HELLO, stream=True))
    told = b"".join(reader.feed(b"data: %b\n\n" % orjson.dumps(event)) for event in events)
    assert f'"finish_reason":"{finish}"'.encode() in told


def test_the_stop_sequence_that_was_met_is_told() -> None:
    choice = answered({"stop_reason": "stop_sequence", "stop_sequence": "END"})["choices"][0]
    assert choice["stop_reason"] == "END"


def test_blocks_of_its_own_are_kept_and_not_taken_for_the_answer() -> None:
    blocks: list[dict[str, Any]] = [
        {"type": "redacted_thinking", "data": "sealed"},
        {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": []},
        {"type": "text", "text": "cited", "citations": [{"type": "web_search_result_location", "url": "u"}]},
    ]
    message = answered({"content": blocks})["choices"][0]["message"]
    assert (message["content"], message["content_blocks"]) == ("cited", blocks)
    assert "tool_calls" not in message
    thought = {"role": "assistant", "content": "cited", "content_blocks": message["content_blocks"]}
    back = sent({"messages": [*HELLO["messages"], thought, *HELLO["messages"]]})
    assert back["messages"][1]["content"] == [blocks[0], {"type": "text", "text": "cited"}]


def test_a_stream_that_does_not_begin_is_none() -> None:
    reader = ADAPTER.stream(Call(Door.CHAT, b"", HELLO, stream=True))
    assert reader.feed(b'event: ping\ndata: {"type":"ping"}\n\n') == b""
    assert not reader.begun
    with pytest.raises(BrokenAnswer, match="begin"):
        reader.feed(b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}\n\n')


# Ids of calls


def test_ids_of_calls_are_such_as_the_provider_takes() -> None:
    """Kimi's, for example, are not: a conversation that began there ended here."""
    ids = ["functions.get_weather:0", "functions.get_weather:1", "call|a", "call_1"]
    calls = [{"id": id_, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id_ in ids]
    results = [{"role": "tool", "tool_call_id": id_, "content": "x"} for id_ in ids]
    made = sent({"messages": [*HELLO["messages"], {"role": "assistant", "tool_calls": calls}, *results]})["messages"]
    used = [block["id"] for block in made[1]["content"]]
    assert used == [block["tool_use_id"] for block in made[2]["content"]]
    assert all(re.fullmatch("[a-zA-Z0-9_-]+", id_) for id_ in used)
    assert len(set(used)) == len(ids)
    assert used[3] == "call_1"
