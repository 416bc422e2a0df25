"""A chat's request as all adapters read it that say it in other words: what the corpus does not ask."""

from typing import Any

import orjson
import pytest

from gateway.providers.chat import Text, ToolResult, ToolUse, conversation
from tests.conformance.corpus.cases import PIXEL
from tests.conformance.corpus.checks import asked, chat_call
from tests.conformance.corpus.wire import Wire
from tests.conformance.corpus.wires import WIRES

TRANSLATED = [wire for wire in WIRES if wire.reads_requests]
BLANKLESS = [wire for wire in TRANSLATED if not wire.blanks]
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
ONE, TWO = ({"role": "user", "content": text} for text in ("one", "two"))


@pytest.mark.parametrize("wire", TRANSLATED, ids=[wire.name for wire in TRANSLATED])
@pytest.mark.parametrize(
    "said",
    [
        {"content": ""},
        {"content": None},
        {"content": []},
        {"refusal": ""},
        {},
        {"content_blocks": [{"type": "thinking", "thinking": ""}]},
    ],
)
def test_a_turn_in_which_the_model_said_nothing_is_none(wire: Wire, said: dict[str, Any]) -> None:
    """Models answer nothing at times, and nearly every provider refuses such a turn: no conversation could go on."""
    empty = chat_call({"messages": [ONE, {"role": "assistant", **said}, TWO]}, model=wire.model)
    without = chat_call({"messages": [ONE, TWO]}, model=wire.model)
    assert orjson.loads(asked(wire, empty).body) == orjson.loads(asked(wire, without).body)


def test_an_answer_that_begins_with_nothing_is_begun_all_the_same() -> None:
    said = conversation({"messages": [ONE, {"role": "assistant", "content": "", "prefix": True}]}, prefixes=True)
    assert [turn.role for turn in said.turns] == ["user", "assistant"]


@pytest.mark.parametrize("wire", TRANSLATED, ids=[wire.name for wire in TRANSLATED])
def test_a_text_that_says_nothing_is_none_beside_what_says_something(wire: Wire) -> None:
    """Clients put one beside a picture. Anthropic and Bedrock take no text that is empty."""
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    nothing = {"type": "text", "text": ""}
    system = [{"role": "system", "content": text} for text in ("Be brief.", "")]
    said, without = (
        orjson.loads(asked(wire, chat_call({"messages": messages}, model=wire.model)).body)
        for messages in (
            [*system, {"role": "user", "content": [nothing, image, nothing]}],
            [*system[:1], {"role": "user", "content": [image]}],
        )
    )
    assert said == without


@pytest.mark.parametrize("wire", TRANSLATED, ids=[wire.name for wire in TRANSLATED])
def test_where_a_system_alone_speaks_the_user_says_it(wire: Wire) -> None:
    """OpenAI takes such a chat. All others say that nobody has asked anything."""
    system = [{"role": role, "content": text} for role, text in (("system", "Be brief."), ("developer", "Say hello."))]
    user = [{"role": "user", "content": [{"type": "text", "text": one["content"]} for one in system]}]
    said, meant = (
        orjson.loads(asked(wire, chat_call({"messages": messages}, model=wire.model)).body)
        for messages in (system, user)
    )
    assert said == meant


@pytest.mark.parametrize("wire", BLANKLESS, ids=[wire.name for wire in BLANKLESS])
def test_white_space_alone_is_as_nothing_where_the_provider_refuses_it(wire: Wire) -> None:
    """Many models say a line break before they call a tool, and some tools answer with one."""

    def messages(blank: str) -> list[dict[str, Any]]:
        return [
            {"role": "system", "content": "Be brief."},
            {"role": "system", "content": blank},
            {"role": "user", "content": [{"type": "text", "text": blank}, {"type": "text", "text": "Look"}]},
            {"role": "assistant", "content": blank, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": blank},
            {"role": "assistant", "content": [{"type": "text", "text": blank}]},
            {"role": "user", "content": " Go on "},
        ]

    said, without = (
        orjson.loads(asked(wire, chat_call({"messages": messages(blank)}, model=wire.model)).body)
        for blank in ("\n\n\t ", "")
    )
    assert said == without
    assert " Go on " in str(said)


def test_where_nothing_else_is_said_it_stays_the_provider_s_to_judge() -> None:
    for content in ("", [{"type": "text", "text": ""}]):
        said = conversation({"messages": [{"role": "user", "content": content}, {"role": "system", "content": ""}]})
        assert [[part.text for part in turn.parts if isinstance(part, Text)] for turn in said.turns] == [[""]]
        assert [text.text for text in said.system] == [""]


def test_advice_beside_a_text_that_says_nothing_is_told() -> None:
    parts = [{"type": "text", "text": "", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "x"}]
    for role in ("user", "system"):
        assert conversation({"messages": [{"role": role, "content": parts}]}).left_out == {"cache_control"}


@pytest.mark.parametrize("wire", TRANSLATED, ids=[wire.name for wire in TRANSLATED])
def test_a_picture_bears_its_kind_s_registered_name(wire: Wire) -> None:
    """Many clients say `image/jpg`, which OpenAI takes and Anthropic does not."""
    said, registered = (
        orjson.loads(
            asked(
                wire,
                chat_call(
                    {
                        "messages": [
                            {
                                "role": "user",
                                "content": [
                                    {
                                        "type": "image_url",
                                        "image_url": {"url": f"data:image/{kind};base64,{PIXEL}"},
                                    }
                                ],
                            }
                        ]
                    },
                    model=wire.model,
                ),
            ).body
        )
        for kind in ("jpg", "jpeg")
    )
    assert said == registered


@pytest.mark.parametrize("wire", TRANSLATED, ids=[wire.name for wire in TRANSLATED])
@pytest.mark.parametrize("parameters", [{}, {"properties": {"x": {"type": "string"}}}])
def test_what_a_tool_is_called_with_is_an_object_also_where_nobody_says_so(
    wire: Wire, parameters: dict[str, Any]
) -> None:
    """To OpenAI it goes without saying, and Anthropic and Bedrock refuse the tool."""
    said, told = (
        asked(
            wire,
            chat_call(
                {"messages": [ONE], "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]},
                model=wire.model,
            ),
        ).body
        for schema in (parameters, {"type": "object", **parameters})
    )
    assert orjson.loads(said) == orjson.loads(told)


def test_calls_of_one_id_are_told_apart_and_their_results_with_them() -> None:
    """Some hosts number each turn's calls anew, and Anthropic takes no two of one id in a conversation."""

    def turn(*ids: str) -> list[dict[str, Any]]:
        calls = [{"id": id_, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id_ in ids]
        results = [{"role": "tool", "tool_call_id": id_, "content": f"{at}"} for at, id_ in enumerate(ids)]
        return [{"role": "assistant", "tool_calls": calls}, *results]

    said = conversation({"messages": [ONE, *turn("0", "1"), *turn("0_2", "0"), *turn("0", "0"), *turn("1")]})
    used = [[part.id for part in turn.parts if isinstance(part, ToolUse)] for turn in said.turns]
    results = [[part.id for part in turn.parts if isinstance(part, ToolResult)] for turn in said.turns]
    assert used[1::2] == results[2::2] == [["0", "1"], ["0_2", "0_3"], ["0_4", "0_5"], ["1_2"]]
