"""A conversation that changes its provider takes along no signature that only the one before knows again."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.registry import DIALECTS
from gateway.providers.base import Call, Door, Translated
from gateway.providers.signatures import (
    ANTHROPIC,
    GOOGLE,
    MISTRAL,
    at_responses,
    from_responses,
    is_marked,
    marked,
    own,
)
from tests.conformance.corpus import anthropic, bedrock, gemini, mistral, vertex
from tests.conformance.corpus.checks import ASKED, CREATED_S
from tests.conformance.corpus.said import Said
from tests.conformance.corpus.wire import Wire

WIRES = (anthropic.WIRE, bedrock.WIRE, gemini.WIRE, vertex.WIRE, mistral.WIRE)
SAID = Said("Yes.", thought="Let me see…", signature="c2lnbmF0dXJl")
ASK = {"role": "user", "content": "§more"}
base64 = st.text("ABab01+/=", min_size=1)
pairs = pytest.mark.parametrize(
    ("one", "other"),
    [(one, other) for one in WIRES for other in WIRES if one.mark != other.mark],
    ids=lambda wire: wire.name,
)


def asked(wire: Wire, body: Mapping[str, Any], door: Door = Door.CHAT) -> Translated:
    body = {"max_tokens": 9, **body, "model": wire.model}
    dialect = DIALECTS.get(door)
    call = Call(door, orjson.dumps(body), body, stream=False, dialect=dialect, created_s=CREATED_S)
    adapter = wire.adapter if dialect is None else dialect.between(wire.adapter, wire.place)
    return adapter.request(call, wire.place, wire.key, {}, wire.model)


def answered(wire: Wire) -> dict[str, Any]:
    body, _ = wire.adapter.answer(ASKED, wire.answers.whole(SAID))
    message: dict[str, Any] = orjson.loads(body)["choices"][0]["message"]
    return message


@given(st.sampled_from([ANTHROPIC, GOOGLE, MISTRAL]), st.lists(base64, min_size=1), st.sampled_from([GOOGLE, MISTRAL]))
def test_a_signature_is_its_maker_s_alone_also_in_pieces(maker: str, pieces: list[str], other: str) -> None:
    told = "".join(pieces if maker == ANTHROPIC else [marked(piece, maker) for piece in pieces])
    assert own(told, maker) == "".join(pieces)
    assert own(told, None) == ""
    assert maker == other or own(told, other) == ""
    assert is_marked(told) is (maker != ANTHROPIC)
    assert maker == ANTHROPIC or own(told, ANTHROPIC) == ""


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_a_provider_has_its_own_signature_back(wire: Wire) -> None:
    made = asked(wire, {"messages": [ASK, answered(wire), ASK]})
    assert f'"{SAID.signature}"'.encode() in made.body
    assert made.left_out == frozenset()


@pairs
def test_another_provider_is_not_sent_it_and_the_caller_is_told(one: Wire, other: Wire) -> None:
    made = asked(other, {"messages": [ASK, answered(one), ASK]})
    assert SAID.signature.encode() not in made.body
    assert "signature" in made.left_out
    assert b"Yes." in made.body
    other.answers.validate(orjson.loads(made.body))


@pairs
def test_nor_is_it_from_the_door_of_messages(one: Wire, other: Wire) -> None:
    """Where the target speaks the dialect itself, bytes pass but for this."""
    signature = answered(one)["content_blocks"][0]["signature"]
    thought = {"type": "thinking", "thinking": "Hm.", "signature": signature}
    said = {"role": "assistant", "content": [thought, {"type": "text", "text": "Yes."}]}
    asks = {"role": "user", "content": "more"}
    made = asked(other, {"messages": [asks, said, asks]}, Door.MESSAGES)
    assert SAID.signature.encode() not in made.body
    assert "signature" in made.left_out
    assert b"Yes." in made.body


@pytest.mark.parametrize("wire", [gemini.WIRE, mistral.WIRE], ids=lambda wire: wire.name)
def test_a_signature_that_stands_alone_comes_back_through_the_door_of_responses(wire: Wire) -> None:
    item = {"type": "reasoning", "summary": [], "encrypted_content": wire.mark + SAID.signature}
    said = {"role": "assistant", "content": "Yes."}
    items = [{"role": "user", "content": "x"}, item, said, {"role": "user", "content": "y"}]
    made = asked(wire, {"input": items, "max_tokens": None, "store": False}, Door.RESPONSES)
    assert f'"{SAID.signature}"'.encode() in made.body
    assert made.left_out == frozenset()


CLAUDES = pytest.mark.parametrize("wire", [anthropic.WIRE, bedrock.WIRE], ids=lambda wire: wire.name)


def told_at_responses(wire: Wire, whole: bytes) -> tuple[list[dict[str, Any]], Translated]:
    """The items of an answer, and how the provider is asked when they come back."""
    body = {"model": wire.model, "input": "x", "store": False}
    dialect = DIALECTS[Door.RESPONSES]
    call = Call(Door.RESPONSES, orjson.dumps(body), body, stream=False, dialect=dialect, created_s=CREATED_S)
    adapter = dialect.between(wire.adapter, wire.place)
    adapter.request(call, wire.place, wire.key, {}, wire.model)
    answer, _ = adapter.answer(call, whole)
    items: list[dict[str, Any]] = orjson.loads(answer)["output"]
    asks = {"role": "user", "content": "x"}
    return items, asked(wire, {"input": [asks, *items, asks], "store": False, "max_tokens": None}, Door.RESPONSES)


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
@pytest.mark.parametrize("shown", [True, False])
def test_a_signature_comes_back_through_the_door_of_responses_also_without_words(wire: Wire, shown: bool) -> None:
    """Newer models of Anthropic's show nothing of what they thought, and know it again all the same."""
    whole = wire.answers.whole(SAID)
    items, made = told_at_responses(wire, whole if shown else whole.replace(SAID.thought.encode(), b""))
    assert is_marked(items[0]["encrypted_content"]), "who speaks the dialect itself is not sent it"
    assert f'"{SAID.signature}"'.encode() in made.body
    assert b"redacted" not in made.body
    assert made.left_out == frozenset()


def test_a_sealed_thought_comes_back_through_the_door_of_responses_as_one() -> None:
    item = {"type": "reasoning", "summary": [], "encrypted_content": at_responses("c2VhbA", sealed=True)}
    said = {"role": "assistant", "content": "Yes."}
    asks = {"role": "user", "content": "x"}
    items = [asks, item, said, asks]
    made = asked(anthropic.WIRE, {"input": items, "max_tokens": None, "store": False}, Door.RESPONSES)
    sent = orjson.loads(made.body)["messages"][1]["content"]
    assert sent[0] == {"type": "redacted_thinking", "data": "c2VhbA"}
    assert asked(gemini.WIRE, {"input": items, "max_tokens": None, "store": False}, Door.RESPONSES).left_out == {
        "content_blocks"
    }


@given(signature=base64, maker=st.sampled_from([ANTHROPIC, GOOGLE, MISTRAL]))
def test_a_signature_goes_through_the_door_of_responses_and_back(signature: str, maker: str) -> None:
    told = signature if maker == ANTHROPIC else marked(signature, maker)
    here = at_responses(told, sealed=False)
    assert is_marked(here)
    assert from_responses(here) == (told, "")
    sealed = at_responses(signature, sealed=True)
    assert from_responses(sealed) == ("", signature)
    assert from_responses(signature) == ("", "")
    unsigned = at_responses("", sealed=False)
    assert is_marked(unsigned)
    assert from_responses(unsigned) == ("", "")


@CLAUDES
def test_who_speaks_responses_itself_has_a_seal_of_its_own_that_nobody_else_is_sent(wire: Wire) -> None:
    """A conversation that began at OpenAI, as Codex has it: Claude refused it."""
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAABpMm18nXrFLUlQ"}
    summed = {**item, "summary": [{"type": "summary_text", "text": "I looked"}]}
    said = {"role": "assistant", "content": "Yes."}
    asks = {"role": "user", "content": "x"}
    for one in (item, summed):
        made = asked(wire, {"input": [asks, one, said, asks], "store": False, "max_tokens": None}, Door.RESPONSES)
        assert b"gAAAA" not in made.body
        assert "encrypted_content" in made.left_out
        assert b"Yes." in made.body


@pytest.mark.parametrize("wire", [gemini.WIRE, vertex.WIRE, mistral.WIRE], ids=lambda wire: wire.name)
def test_a_thought_that_somebody_sealed_is_left_out_and_told(wire: Wire) -> None:
    sealed = {"role": "assistant", "content": "Yes.", "content_blocks": [{"type": "redacted_thinking", "data": "x"}]}
    made = asked(wire, {"messages": [ASK, sealed, ASK]})
    assert made.left_out == {"content_blocks"}


def test_a_call_s_signature_is_for_those_who_sign_calls() -> None:
    function = {"name": "f", "arguments": "{}", "thought_signature": "c2ln"}
    turn = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": function}]}
    messages = [ASK, turn, {"role": "tool", "tool_call_id": "c", "content": "x"}]
    assert asked(anthropic.WIRE, {"messages": messages}).left_out == {"thought_signature"}
    assert asked(gemini.WIRE, {"messages": messages}).left_out == frozenset()
