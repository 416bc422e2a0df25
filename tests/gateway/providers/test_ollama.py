"""What is Ollama's alone; what it has in common with others, the corpus tries."""

from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from gateway.providers.base import Call, Door, Untranslatable
from gateway.providers.ollama.provider import Ollama
from gateway.providers.ollama.request import to_api_chat
from tests.conformance.corpus.checks import ASKED, STREAMED, chat_call
from tests.conformance.corpus.ollama import WIRE
from tests.conformance.corpus.said import seen_stream, seen_whole

ADAPTER = Ollama()
HELLO: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}}
DONE = {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}


def asked(**more: Any) -> dict[str, Any]:
    sent, _ = to_api_chat({**HELLO, **more})
    WIRE.answers.validate(sent)
    return sent


def lines(*events: dict[str, Any]) -> bytes:
    return b"".join(orjson.dumps({"model": "m", **event}) + b"\n" for event in events)


def message(**more: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": "", **more}, "done": False}


def test_what_samples_and_limits_stands_in_the_options() -> None:
    sent = asked(
        temperature=0.5, top_k=3, seed=7, max_tokens=9, stop="x", num_ctx=4096, options={"num_gpu": 1, "seed": 1}
    )
    assert sent["options"] == {
        "temperature": 0.5,
        "top_k": 3,
        "seed": 7,
        "num_predict": 9,
        "stop": ["x"],
        "num_ctx": 4096,
        "num_gpu": 1,
    }
    assert sent.keys() == {"model", "messages", "stream", "options"}


def test_who_asks_for_no_stream_is_sent_none() -> None:
    assert asked()["stream"] is False
    assert asked(stream=True)["stream"] is True


@pytest.mark.parametrize("more", [{"keep_alive": "5m"}, {"keep_alive": -1}, {"think": True}, {"think": "high"}])
def test_what_only_this_side_knows_passes_by_its_name(more: dict[str, Any]) -> None:
    assert more.items() <= asked(**more).items()


@pytest.mark.parametrize(("effort", "think"), [("none", False), ("low", "low"), ("high", "high")])
def test_effort_is_thought(effort: str, think: bool | str) -> None:
    assert asked(reasoning_effort=effort)["think"] == think
    assert asked(reasoning_effort=effort, think=True)["think"] is True


def test_thinking_as_messages_ask_for_it() -> None:
    sent, left_out = to_api_chat({**HELLO, "thinking": {"type": "enabled", "budget_tokens": 2_000}})
    assert (sent["think"], left_out) == (True, {"budget_tokens"})
    assert asked(thinking={"type": "disabled"})["think"] is False
    assert asked(thinking={"type": "disabled"}, reasoning_effort="high")["think"] == "high"


@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        ({"options": {"zzz": 1}}, "/options/zzz"),
        ({"reasoning_effort": "minimal"}, "/reasoning_effort"),
        ({"tool_choice": "none", "tools": []}, "/tool_choice"),
        ({"service_tier": "flex"}, "/service_tier"),
        (
            {
                "messages": [
                    *HELLO["messages"],
                    {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": ""}}]},
                    {"role": "tool", "tool_call_id": "c", "content": [PICTURE]},
                ]
            },
            "/messages/2/content/0/type",
        ),
    ],
)
def test_what_this_side_cannot_do_is_refused_by_name(more: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Untranslatable) as refused:
        to_api_chat({**HELLO, **more})
    assert (refused.value.pointer, refused.value.unsupported) == (pointer, True)


def test_a_message_is_one_text_and_pictures_beside_it() -> None:
    parts = [{"type": "text", "text": "a"}, PICTURE, {"type": "text", "text": "b"}]
    sent = asked(messages=[{"role": "user", "content": parts}, {"role": "user", "content": "c"}])
    assert sent["messages"] == [{"role": "user", "content": "a\n\nb\n\nc", "images": ["iVBORw=="]}]


def test_results_name_the_tool_and_the_call() -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]
    sent = asked(
        messages=[
            *HELLO["messages"],
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "c1", "content": "x"},
            {"role": "tool", "tool_call_id": "elsewhere", "content": "y"},
        ]
    )
    assert sent["messages"][1:] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": {"a": 1}}}],
        },
        {"role": "tool", "content": "x", "tool_call_id": "c1", "tool_name": "f"},
        {"role": "tool", "content": "y", "tool_call_id": "elsewhere"},
    ]


def test_strictness_that_is_not_kept_is_told() -> None:
    tool = {"type": "function", "function": {"name": "f", "strict": True}}
    assert to_api_chat({**HELLO, "tools": [tool]})[1] == {"strict"}
    tool["function"]["strict"] = False  # type: ignore[index]
    assert to_api_chat({**HELLO, "tools": [tool]})[1] == frozenset()


def test_a_stream_is_asked_for_as_lines_and_no_key_is_needed() -> None:
    sent = ADAPTER.request(chat_call(HELLO, stream=True), WIRE.place, None, {}, "m")
    assert b"accept: application/x-ndjson\r\n" in sent.headers
    assert b"authorization" not in sent.headers
    assert sent.target == "/api/chat"


def test_calls_without_ids_are_given_some() -> None:
    calls = [{"function": {"name": name, "arguments": {"a": 1}}} for name in ("f", "g")]
    call = replace(ASKED, id="req-1")
    chat, _ = ADAPTER.answer(call, orjson.dumps({**message(tool_calls=calls), "done": True}))
    assert [made.id for made in seen_whole(orjson.loads(chat)).calls] == ["call_req-1_0", "call_req-1_1"]
    reader = ADAPTER.stream(replace(STREAMED, id="req-1"))
    events = reader.feed(lines(message(tool_calls=calls[:1]), message(tool_calls=calls[1:]), DONE))
    assert [made.id for made in seen_stream(events).calls] == ["call_req-1_0", "call_req-1_1"]
    assert seen_stream(events).finish == "tool_calls"


def test_ids_that_calls_are_given_are_no_longer_than_openai_takes() -> None:
    """40 characters: else no conversation that began here could go on there."""
    calls = [{"function": {"name": "f", "arguments": {}}}] * 11
    chat, _ = ADAPTER.answer(
        replace(ASKED, id="lg_" + "0" * 32), orjson.dumps({**message(tool_calls=calls), "done": True})
    )
    assert all(len(made.id) <= 40 for made in seen_whole(orjson.loads(chat)).calls)


def test_arguments_that_come_as_a_text_are_not_lost() -> None:
    """As other servers that speak its API send them."""
    said = {**message(tool_calls=[{"function": {"name": "f", "arguments": '{"a":1}'}}]), "done": True}
    chat, _ = ADAPTER.answer(ASKED, orjson.dumps(said))
    (made,) = orjson.loads(chat)["choices"][0]["message"]["tool_calls"]
    assert made["function"] == {"name": "f", "arguments": '{"a":1}'}


def test_a_prompt_that_is_not_counted_is_estimated() -> None:
    _, usage = ADAPTER.answer(ASKED, orjson.dumps({**DONE, "eval_count": 3}))
    assert (usage.output_tokens, usage.estimated) == (3, True)
    assert usage.input_tokens


def test_probabilities_come_whole_and_in_a_stream() -> None:
    token = {"token": "Hé", "logprob": -0.5}
    event = {**message(content="Hé"), "logprobs": [{**token, "top_logprobs": [token]}]}
    told = {"token": "Hé", "logprob": -0.5, "bytes": [72, 195, 169]}
    chat, _ = ADAPTER.answer(ASKED, orjson.dumps({**event, "done": True}))
    assert orjson.loads(chat)["choices"][0]["logprobs"]["content"] == [{**told, "top_logprobs": [told]}]
    reader = ADAPTER.stream(STREAMED)
    chunks = [orjson.loads(one[6:]) for one in reader.feed(lines(event)).split(b"\n\n") if one]
    assert chunks[-1]["choices"][0]["logprobs"]["content"] == [{**told, "top_logprobs": [told]}]


def test_the_last_line_may_lack_its_end() -> None:
    reader = ADAPTER.stream(STREAMED)
    events = reader.feed(lines(message(content="Hi"), DONE)[:-1]) + reader.end()
    assert seen_stream(events).text == "Hi"


def test_embeddings_have_options_too() -> None:
    body = {"model": "e", "input": ["x"], "truncate": False, "keep_alive": "1m", "options": {"num_ctx": 64}}
    sent = orjson.loads(ADAPTER.request(Call(Door.EMBEDDINGS, b"", body, stream=False), WIRE.place, None, {}, "e").body)
    assert sent == body
