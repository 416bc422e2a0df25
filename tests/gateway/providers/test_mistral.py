"""What is Mistral's alone; what it has in common with others, the corpus tries."""

from typing import Any

import orjson
import pytest

from gateway.providers.base import BrokenAnswer, Call, Door, Untranslatable
from gateway.providers.mistral.provider import Mistral
from gateway.providers.mistral.request import call_id, to_completion
from tests.conformance.corpus.checks import ASKED, STREAMED, chat_call
from tests.conformance.corpus.mistral import WIRE
from tests.conformance.corpus.said import seen_stream

ADAPTER = Mistral()
HELLO: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
HEAD = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def asked(**more: Any) -> dict[str, Any]:
    return to_completion({**HELLO, **more})[0]


def use(id_: str, name: str = "f") -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": "{}"}}


def streamed(*deltas: dict[str, Any], finish: str | None = "stop", done: bool = True, **choice: Any) -> list[bytes]:
    reasons = [None] * (len(deltas) - 1) + [finish]
    choices = [
        {"index": 0, "delta": delta, "finish_reason": reason, **choice}
        for delta, reason in zip(deltas, reasons, strict=True)
    ]
    frames = [b"data: %b\n\n" % orjson.dumps({**HEAD, "choices": [one]}) for one in choices]
    return [*frames, b"data: [DONE]\n\n"] if done else frames


def read(frames: list[bytes], call: Call = STREAMED) -> bytes:
    reader = ADAPTER.stream(call)
    return b"".join([reader.feed(frame) for frame in frames]) + reader.end()


def test_calls_of_other_providers_are_given_ids_of_nine_letters_and_digits() -> None:
    messages = [
        *HELLO["messages"],
        {"role": "assistant", "content": None, "tool_calls": [use("call_abc-1"), use("a1B2c3D4e"), use("")]},
        {"role": "tool", "tool_call_id": "call_abc-1", "content": "x"},
        {"role": "tool", "tool_call_id": "a1B2c3D4e", "content": "y"},
    ]
    sent = asked(messages=messages)["messages"]
    ids = [call["id"] for call in sent[1]["tool_calls"]]
    assert all(len(id_) == 9 and id_.isalnum() and id_.isascii() for id_ in ids)
    assert len(set(ids)) == 3
    assert ids[1] == "a1B2c3D4e"
    assert [message["tool_call_id"] for message in sent[2:]] == ids[:2]
    assert call_id("call_abc-1") == call_id("call_abc-1")


def test_a_user_who_speaks_after_a_tool_is_heard() -> None:
    """Mistral's `invalid_request_message_order` (3230): behind a tool's result comes another one, or an answer."""
    round_ = [
        *HELLO["messages"],
        {"role": "assistant", "content": None, "tool_calls": [use("a1B2c3D4e"), use("a1B2c3D4f")]},
        {"role": "tool", "tool_call_id": "a1B2c3D4e", "content": "x"},
        {"role": "tool", "tool_call_id": "a1B2c3D4f", "content": "y"},
    ]
    sent = asked(messages=[*round_, {"role": "user", "content": "stop"}, {"role": "user", "content": "this"}])
    roles = [message["role"] for message in sent["messages"]]
    assert roles == ["user", "assistant", "tool", "tool", "assistant", "user"]
    assert sent["messages"][4] == {"role": "assistant", "content": " "}
    WIRE.answers.validate(sent)
    assert [message["role"] for message in asked(messages=round_)["messages"]] == roles[:4]


def test_what_both_sides_know_goes_by_this_side_s_name() -> None:
    sent = asked(seed=7, max_completion_tokens=9, tool_choice="required", service_tier="default", stream=True)
    assert sent.keys() == {"model", "messages", "random_seed", "max_tokens", "tool_choice", "service_tier", "stream"}
    assert (sent["random_seed"], sent["max_tokens"], sent["tool_choice"]) == (7, 9, "any")
    assert sent["service_tier"] == "standard_only"


@pytest.mark.parametrize(
    "more", [{"safe_prompt": True}, {"prompt_mode": "reasoning"}, {"random_seed": 5}, {"n": 2}, {"top_k": 3}]
)
def test_what_only_this_side_knows_passes_by_its_name(more: dict[str, Any]) -> None:
    sent = asked(**more)
    assert more.items() <= sent.items()
    WIRE.answers.validate(sent)


@pytest.mark.parametrize(
    ("thinking", "sent", "left_out"),
    [
        ({"type": "enabled", "budget_tokens": 2_000}, {"prompt_mode": "reasoning"}, {"budget_tokens"}),
        ({"type": "adaptive"}, {"prompt_mode": "reasoning"}, set()),
        ({"type": "disabled"}, {"reasoning_effort": "none"}, set()),
    ],
)
def test_thinking_as_messages_ask_for_it(thinking: Any, sent: Any, left_out: set[str]) -> None:
    found, told = to_completion({**HELLO, "thinking": thinking})
    assert found == {**asked(), **sent}
    assert told == left_out
    own = asked(thinking=thinking, reasoning_effort="high")
    assert own == asked(reasoning_effort="high")


@pytest.mark.parametrize(
    ("more", "pointer"),
    [({"logit_bias": {"1": 1}}, "/logit_bias"), ({"service_tier": "flex"}, "/service_tier"), ({"min_p": 1}, "/min_p")],
)
def test_what_this_side_cannot_do_is_refused_by_name(more: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Untranslatable) as refused:
        asked(**more)
    assert (refused.value.pointer, refused.value.unsupported) == (pointer, True)


def test_the_beginning_of_an_answer_can_be_given() -> None:
    begun = {"role": "assistant", "content": "Once", "prefix": True}
    sent = asked(messages=[*HELLO["messages"], begun])
    assert sent["messages"][-1] == begun
    WIRE.answers.validate(sent)
    assert "prefix" not in asked(messages=[*HELLO["messages"], {**begun, "prefix": False}])["messages"][-1]
    with pytest.raises(Untranslatable) as refused:
        asked(messages=[*HELLO["messages"], {**begun, "prefix": "yes"}])
    assert refused.value.pointer == "/messages/1/prefix"


def test_files_are_documents_by_data_or_by_id() -> None:
    data = {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg==", "filename": "a.pdf"}}
    kept = {"type": "file", "file": {"file_id": "f1"}}
    sent = asked(messages=[{"role": "user", "content": [data, kept]}])
    assert sent["messages"][0]["content"] == [
        {"type": "document_url", "document_url": "data:application/pdf;base64,JVBERg==", "document_name": "a.pdf"},
        {"type": "file", "file_id": "f1"},
    ]
    WIRE.answers.validate(sent)


def test_a_thought_that_another_provider_sealed_is_left_out_and_told() -> None:
    sealed = {"role": "assistant", "content": "x", "content_blocks": [{"type": "redacted_thinking", "data": "d"}]}
    sent, left_out = to_completion({**HELLO, "messages": [*HELLO["messages"], sealed]})
    assert sent["messages"][1] == {"role": "assistant", "content": "x"}
    assert left_out == {"content_blocks"}


def test_hints_about_caches_are_left_out_and_told() -> None:
    hint = {"cache_control": {"type": "ephemeral"}}
    for more in (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", **hint}]}]},
        {"tools": [{"type": "function", "function": {"name": "f"}, **hint}]},
    ):
        sent, left_out = to_completion({**HELLO, **more})
        assert left_out == {"cache_control"}
        assert b"cache_control" not in orjson.dumps(sent)


def test_an_answer_may_name_its_sources_and_number_its_calls_as_it_likes() -> None:
    content = [
        {"type": "text", "text": "So "},
        {"type": "reference", "reference_ids": [1]},
        {"type": "text", "text": "!"},
    ]
    calls = [
        {"id": "null", "function": {"name": "f", "arguments": {"a": 1}}},
        {"function": {"name": "g", "arguments": ""}},
    ]
    message = {"role": "assistant", "content": content, "tool_calls": calls}
    answer = {"id": "c1", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    chat, usage = ADAPTER.answer(ASKED, orjson.dumps(answer))
    said = orjson.loads(chat)["choices"][0]["message"]
    assert said["content"] == "So !"
    assert said["content_blocks"] == [{"type": "reference", "reference_ids": [1]}]
    assert [call["id"] for call in said["tool_calls"]] == ["call_c1_0", "call_c1_1"]
    assert [call["function"]["arguments"] for call in said["tool_calls"]] == ['{"a":1}', "{}"]
    assert usage.estimated


def test_every_choice_comes_whole_and_in_a_stream() -> None:
    choices = [{"index": at, "message": {"content": f"c{at}"}, "finish_reason": "stop"} for at in range(2)]
    chat, _ = ADAPTER.answer(ASKED, orjson.dumps({"id": "c1", "choices": choices}))
    assert [choice["message"]["content"] for choice in orjson.loads(chat)["choices"]] == ["c0", "c1"]
    reader = ADAPTER.stream(STREAMED)
    both = [{"index": at, "delta": {"content": f"c{at}"}, "finish_reason": "stop"} for at in range(2)]
    (first, *_) = reader.feed(b"data: %b\n\n" % orjson.dumps({**HEAD, "choices": both})).split(b"\n\n")
    assert [choice["index"] for choice in orjson.loads(first.removeprefix(b"data: "))["choices"]] == [0, 1]


def test_a_stream_of_several_choices_has_ended_when_each_has() -> None:
    def event(index: int, text: str, reason: str | None) -> bytes:
        choice = {"index": index, "delta": {"content": text}, "finish_reason": reason}
        return b"data: %b\n\n" % orjson.dumps({**HEAD, "choices": [choice]})

    call = chat_call({**HELLO, "n": 2}, stream=True)
    both = [event(0, "a", None), event(1, "b", None), event(0, "", "stop")]
    for cut in (both, [*both, b"data: [DONE]\n\n"], [event(0, "a", "stop")]):
        with pytest.raises(BrokenAnswer):
            read(cut, call)
    assert read([*both, event(1, "", "stop")], call).endswith(b"data: [DONE]\n\n")


def test_an_answer_that_was_given_up_is_none() -> None:
    answer = {"id": "c1", "choices": [{"index": 0, "message": {"content": "Once"}, "finish_reason": "error"}]}
    with pytest.raises(BrokenAnswer):
        ADAPTER.answer(ASKED, orjson.dumps(answer))
    reader = ADAPTER.stream(STREAMED)
    events = b"".join([reader.feed(frame) for frame in streamed({"content": "Once"}, {"content": ""}, finish="error")])
    assert reader.failure is not None
    assert reader.failure.status == 502
    assert b"[DONE]" not in events


@pytest.mark.parametrize("numbers", [(0, 0), (0, 1), (None, None)])
def test_calls_of_a_stream_are_told_apart_however_they_are_numbered(numbers: tuple[Any, Any]) -> None:
    calls = [
        {"id": f"abcdefgh{at}", "index": number, "function": {"name": f"f{at}", "arguments": '{"a":1}'}}
        for at, number in enumerate(numbers)
    ]
    for deltas in ([{"tool_calls": calls}], [{"tool_calls": [call]} for call in calls]):
        said = seen_stream(read(streamed(*deltas, finish="tool_calls")))
        assert [(call.id, call.name, call.input) for call in said.calls] == [
            ("abcdefgh0", "f0", {"a": 1}),
            ("abcdefgh1", "f1", {"a": 1}),
        ]


def test_a_call_may_come_in_pieces_and_without_arguments() -> None:
    pieces = [
        {"tool_calls": [{"id": "abcdefgh1", "index": 0, "function": {"name": "f", "arguments": '{"a"'}}]},
        {"tool_calls": [{"id": "null", "index": 0, "function": {"name": "", "arguments": ":1}"}}]},
        {"tool_calls": [{"id": "abcdefgh2", "index": 1, "function": {"name": "g", "arguments": ""}}]},
        {"content": ""},
    ]
    said = seen_stream(read(streamed(*pieces, finish="tool_calls")))
    assert [(call.id, call.name, call.input) for call in said.calls] == [
        ("abcdefgh1", "f", {"a": 1}),
        ("abcdefgh2", "g", {}),
    ]
    with pytest.raises(BrokenAnswer):
        read(streamed({"tool_calls": [{"function": {"name": "", "arguments": "x"}}]}))


def test_a_stream_whose_last_word_is_left_out_has_ended_by_its_reason() -> None:
    assert seen_stream(read(streamed({"content": "Hi"}, done=False))).text == "Hi"
    with pytest.raises(BrokenAnswer):
        read(streamed({"content": "Hi"}, finish=None))


def test_a_stream_tells_its_usage_only_to_who_asks() -> None:
    frames = WIRE.answers.frames(seen_stream(read(streamed({"content": "Hi"}))))
    quiet = chat_call({**HELLO, "stream": True})
    assert b'"usage"' not in read(frames, Call(Door.CHAT, quiet.raw, quiet.body, stream=True))
    assert b'"usage"' in read(frames)


def test_what_the_validator_found_is_told_with_its_place() -> None:
    faults = [
        {"type": "missing", "loc": ["body", "messages", 0, "content"], "msg": "Field required"},
        {"type": "extra_forbidden", "loc": ["body", "zzz"], "msg": "Extra inputs are not permitted"},
    ]
    for body in ({"detail": faults}, {"object": "error", "message": {"detail": faults}, "type": "t", "code": None}):
        told = orjson.loads(ADAPTER.error("acme", 422, {}, orjson.dumps(body)))["error"]
        assert told["param"] == "/messages/0/content"
        assert "Field required; /zzz Extra inputs" in told["message"]


def test_embeddings_may_be_of_another_type() -> None:
    body = {"model": "e", "input": "x", "output_dtype": "int8", "dimensions": 3}
    call = Call(Door.EMBEDDINGS, b"", body, stream=False)
    sent = orjson.loads(ADAPTER.request(call, WIRE.place, WIRE.key, {}, "e").body)
    assert sent == {"model": "e", "input": ["x"], "output_dtype": "int8", "output_dimension": 3}
    answer, _ = ADAPTER.answer(call, orjson.dumps({"data": [{"embedding": [1, -2, 3], "index": 0}]}))
    assert orjson.loads(answer)["data"][0]["embedding"] == [1, -2, 3]
