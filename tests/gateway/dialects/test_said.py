"""What a chat says, in order: one block after another, whatever turns its chunks take."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import said as said_room
from gateway.dialects.said import Block, Kind, Move, Said, Step
from gateway.providers.base import BrokenAnswer
from tests.gateway.dialects.chats import Answer, answers, fuzz


def told(chunks: list[dict[str, Any]]) -> tuple[Said, list[Step]]:
    said = Said()
    steps = [step for chunk in chunks for step in said.take(chunk)]
    return said, [*steps, *said.end()]


def shown(block: Block) -> tuple[Kind, str, str, str, str]:
    return block.kind, block.call_id, block.name, block.text, block.signature


def delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields}]}


def call(index: int, *, id_: str | None = None, name: str | None = None, arguments: str = "") -> dict[str, Any]:
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return {"index": index, "function": function, **({} if id_ is None else {"id": id_})}


@fuzz
@given(answer=answers(), cut=st.integers(1, 5), turns=st.lists(st.integers(0, 2), max_size=30))
def test_chunks_in_any_turns_are_told_block_by_block_and_add_up_to_the_whole(
    answer: Answer, cut: int, turns: list[int]
) -> None:
    whole, _ = told([answer.whole()])
    said, steps = told(answer.chunks(cut, turns))
    assert [shown(block) for block in said.blocks] == [shown(block) for block in whole.blocks]
    assert (said.finish, said.head["id"]) == (answer.finish, "chatcmpl-1")
    open_, text, seen = None, "", []
    for step in steps:
        match step.move:
            case Move.START:
                assert open_ is None
                open_, text = step.block, ""
            case Move.MORE:
                assert step.block is open_
                assert step.text
                text += step.text
            case Move.STOP:
                assert step.block is open_
                assert text == step.block.text
                seen.append(step.block.index)
                open_ = None
    assert open_ is None
    assert seen == list(range(len(said.blocks)))


def test_a_call_that_has_become_whole_is_told_while_the_next_one_comes() -> None:
    said = Said()
    said.take(delta(tool_calls=[call(0, id_="a", name="f", arguments='{"x":')]))
    assert said.take(delta(tool_calls=[call(1, id_="b", name="g", arguments="{}")])) == [], "f is not whole"
    steps = said.take(delta(tool_calls=[call(0, arguments="1}")]))
    assert [(step.move, step.block.name, step.text) for step in steps] == [
        (Move.MORE, "f", "1}"),
        (Move.STOP, "f", ""),
        (Move.START, "g", ""),
        (Move.MORE, "g", "{}"),
    ]


def test_calls_that_all_have_the_same_index_are_told_apart_by_their_ids() -> None:
    """As some hosts number them: every call is the first."""
    said, _ = told([delta(tool_calls=[call(0, id_=id_, name=id_, arguments="{}")]) for id_ in ("a", "b", "c")])
    assert [(block.call_id, block.text) for block in said.blocks] == [("a", "{}"), ("b", "{}"), ("c", "{}")]


@pytest.mark.parametrize("id_", [None, ""])
@pytest.mark.parametrize("together", [True, False])
def test_calls_that_all_have_the_same_index_and_no_ids_are_told_apart_by_their_names(
    id_: str | None, together: bool
) -> None:
    """As Google's own OpenAI dialect says parallel ones: they became one, of arguments that nobody can read."""
    asked = [("f", '{"x":0}'), ("f", '{"x":1}'), ("g", '{"x":2}')]
    calls = [call(0, id_=id_, name=name, arguments=arguments) for name, arguments in asked]
    said, _ = told([delta(tool_calls=calls)] if together else [delta(tool_calls=[one]) for one in calls])
    assert [(block.name, block.text) for block in said.blocks] == asked


def test_a_host_that_repeats_a_call_s_name_calls_once() -> None:
    pieces = ["", '{"x":', '"{}"}', ""]
    said, _ = told([delta(tool_calls=[call(0, name="f", arguments=piece)]) for piece in pieces])
    assert [(block.name, block.text) for block in said.blocks] == [("f", '{"x":"{}"}')]


def test_text_and_a_call_in_one_chunk_are_both_told() -> None:
    said, _ = told([delta(content="Hi", tool_calls=[call(0, id_="a", name="f", arguments="{}")])])
    assert [block.kind for block in said.blocks] == [Kind.TEXT, Kind.FUNCTION]


@pytest.mark.parametrize(
    ("fields", "kind", "text"),
    [
        ({"reasoning_content": "hm"}, Kind.THOUGHT, "hm"),
        ({"reasoning": "hm"}, Kind.THOUGHT, "hm"),
        ({"reasoning": "hm", "reasoning_content": "hm"}, Kind.THOUGHT, "hm"),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}, Kind.THOUGHT, "hm"),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, Kind.TEXT, "ab"),
        ({"content_blocks": [{"type": "redacted_thinking", "data": "x"}]}, Kind.SEALED_THOUGHT, "x"),
        ({"refusal": "no"}, Kind.REFUSAL, "no"),
        ({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {"x": 1}}}]}, Kind.FUNCTION, '{"x":1}'),
        ({"tool_calls": [{"id": "a", "custom": {"name": "f", "input": "x"}}]}, Kind.CUSTOM, "x"),
    ],
)
def test_every_way_hosts_have_of_saying_it_is_read(fields: dict[str, Any], kind: Kind, text: str) -> None:
    said, _ = told([delta(**fields)])
    assert [(block.kind, block.text) for block in said.blocks] == [(kind, text)]


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_calls": [{"index": 0, "id": "a", "function": {"arguments": "{}"}}]},
        {"tool_calls": [{"index": "0", "function": {"name": "f"}}]},
        {"tool_calls": [{"index": 0, "function": "f"}]},
    ],
)
def test_a_call_that_is_none_breaks_the_answer(fields: dict[str, Any]) -> None:
    with pytest.raises(BrokenAnswer, match="calls a tool"):
        told([delta(**fields)])


@fuzz
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    "choices delta message content tool_calls function index id text thinking data type content_blocks "
                    "reasoning refusal logprobs finish_reason name arguments".split()
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=25,
    )
)
def test_whatever_a_host_sends_is_read_or_broken_and_never_a_fault_of_ours(chunk: Any) -> None:
    holder = chunk if isinstance(chunk, dict) else {"choices": [{"delta": chunk}]}
    with suppress(BrokenAnswer):
        told([holder, {"choices": [{"delta": holder}]}, holder])


def test_an_answer_that_never_ends_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(said_room, "SAID_BYTES_MAX", 10)
    said = Said()
    said.take(delta(content="x" * 10))
    with pytest.raises(BrokenAnswer, match="more than"):
        said.take(delta(content="x"))


def test_a_host_that_never_makes_its_call_whole_is_not_looked_at_forever() -> None:
    said = Said()
    said.take(delta(tool_calls=[call(0, id_="a", name="f", arguments="{")]))
    said.take(delta(tool_calls=[call(1, id_="b", name="g")]))
    for _ in range(2 * said_room.LOOKS_MAX):
        said.take(delta(tool_calls=[call(0, arguments=" ")]))
    assert said._looks == said_room.LOOKS_MAX


def test_of_a_whole_answer_the_message_counts_and_of_a_chunk_what_is_new() -> None:
    """Perplexity's hold both: beside a whole message a delta that says nothing, beside a delta all that was said."""
    whole = {"index": 0, "message": {"content": "Hello"}, "delta": {"role": "assistant", "content": ""}}
    said = Said()
    said.take({"choices": [whole]}, whole=True)
    assert [block.text for block in said.blocks] == ["Hello"]
    parts = [
        {"message": {"content": all_}, "delta": {"content": new}} for all_, new in (("Hel", "Hel"), ("Hello", "lo"))
    ]
    said, _ = told([{"choices": [part]} for part in parts])
    assert [block.text for block in said.blocks] == ["Hello"]


def test_an_answer_is_known_by_the_first_chunk_that_has_an_id_unless_something_was_said_before() -> None:
    nothing = {"id": "", "model": "", "created": 0, "choices": []}
    said, _ = told([nothing, {"id": "x", "model": "m", **delta(content="Hi")}, {"id": "y", **delta(content="!")}])
    assert (said.head["id"], said.head["model"]) == ("x", "m")
    said = Said()
    said.take({"id": "", **delta(content="Hi")})
    said.take({"id": "x", **delta(content="!")})
    assert said.head["id"] == "", "what was told of it before bears no id"


@pytest.mark.parametrize("index", [{"index": None}, {}])
def test_calls_that_a_host_does_not_number_are_those_of_their_places(index: dict[str, None]) -> None:
    """SGLang's whole answers say `index: null`: no message and no response could be made of them."""
    calls = [{"id": id_, "function": {"name": id_, "arguments": "{}"}, **index} for id_ in ("a", "b")]
    whole, _ = told([{"choices": [{"index": 0, "message": {"tool_calls": calls}}]}])
    assert [block.call_id for block in whole.blocks] == ["a", "b"]


def test_a_thought_that_says_nothing_is_none() -> None:
    """Beside each word it cut the text in pieces, with empty thoughts between them."""
    said, _ = told([delta(content=word, reasoning="") for word in ("Hel", "lo")])
    assert [shown(block) for block in said.blocks] == [(Kind.TEXT, "", "", "Hello", "")]
