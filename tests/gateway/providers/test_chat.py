"""A chat's request as all adapters read it that say it in other words: what the corpus does not ask."""

from typing import Any

import orjson
import pytest

from gateway.providers.chat import conversation
from tests.conformance.corpus.checks import asked, chat_call
from tests.conformance.corpus.wire import Wire
from tests.conformance.corpus.wires import WIRES

TRANSLATED = [wire for wire in WIRES if wire.reads_requests]
ONE, TWO = ({"role": "user", "content": text} for text in ("one", "two"))


@pytest.mark.parametrize("wire", TRANSLATED, ids=[wire.name for wire in TRANSLATED])
@pytest.mark.parametrize("said", [{"content": ""}, {"content": None}, {"content": []}, {"refusal": ""}, {}])
def test_a_turn_in_which_the_model_said_nothing_is_none(wire: Wire, said: dict[str, Any]) -> None:
    """Models answer nothing at times, and nearly every provider refuses such a turn: no conversation could go on."""
    empty = chat_call({"messages": [ONE, {"role": "assistant", **said}, TWO]}, model=wire.model)
    without = chat_call({"messages": [ONE, TWO]}, model=wire.model)
    assert orjson.loads(asked(wire, empty).body) == orjson.loads(asked(wire, without).body)


def test_an_answer_that_begins_with_nothing_is_begun_all_the_same() -> None:
    said = conversation({"messages": [ONE, {"role": "assistant", "content": "", "prefix": True}]}, prefixes=True)
    assert [turn.role for turn in said.turns] == ["user", "assistant"]
