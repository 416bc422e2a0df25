"""Hosts of OpenAI's dialect that lack some of it or call it otherwise: told so by their row, and nothing else."""

from typing import Any

import orjson
import pytest

from gateway.providers.base import Call, Door, Translated, Untranslatable
from gateway.providers.openai.provider import OpenAI
from gateway.providers.registry import built_in_rows
from gateway.view.plan import place_of
from shared.crypto.secret import Secret
from shared.models.provider import Provider

ROW = Provider(
    id="acme",
    name="Acme",
    base_url="https://acme.test/v1",
    developer_role=False,
    renamed={"seed": "random_seed", "max_completion_tokens": "max_tokens"},
    refused=("n", "tool_choice"),
    ignored=("user",),
)


def sent(
    body: dict[str, Any], row: Provider = ROW, overrides: dict[str, Any] | None = None, *, door: Door = Door.CHAT
) -> Translated:
    body = {"model": "m", **body}
    call = Call(door, orjson.dumps(body), body, stream=bool(body.get("stream")))
    return OpenAI().request(call, place_of(row), Secret("k"), overrides or {}, "m")


def test_a_host_without_quirks_has_none() -> None:
    assert place_of(Provider(id="acme", name="Acme", base_url="https://acme.test/v1")).quirks is None


def test_what_concerns_no_quirk_goes_out_byte_for_byte() -> None:
    body = {"model": "m", "messages": [{"role": "system", "content": "x"}], "temperature": 0.5}
    assert sent(body).body == orjson.dumps(body)


def test_parameters_go_out_by_the_host_s_names_and_its_own_win() -> None:
    assert orjson.loads(sent({"seed": 7, "max_completion_tokens": 9}).body) == {
        "model": "m",
        "random_seed": 7,
        "max_tokens": 9,
    }
    assert orjson.loads(sent({"seed": 7, "random_seed": 8}).body) == {"model": "m", "random_seed": 8}
    assert orjson.loads(sent({}, overrides={"seed": 7}).body) == {"model": "m", "random_seed": 7}


@pytest.mark.parametrize(("name", "value"), [("n", 2), ("tool_choice", "required"), ("tool_choice", {"type": "x"})])
def test_what_the_host_would_drop_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(Untranslatable) as refused:
        sent({name: value})
    assert (refused.value.pointer, refused.value.unsupported) == (f"/{name}", True)


def test_what_asks_for_nothing_is_not_refused_and_stays_out() -> None:
    assert orjson.loads(sent({"n": 1, "tool_choice": "auto"}).body) == {"model": "m"}


def test_what_changes_no_answer_stays_out_and_is_told() -> None:
    made = sent({"user": "u"})
    assert (orjson.loads(made.body), made.left_out) == ({"model": "m"}, {"user"})
    assert sent({"user": None}).left_out == frozenset()


def test_a_developer_speaks_as_the_system_and_the_caller_s_body_stays_as_it_is() -> None:
    body = {"model": "m", "messages": [{"role": "developer", "content": "a"}, {"role": "user", "content": "b"}, 5]}
    before = orjson.dumps(body)
    assert [orjson.loads(sent(body).body)["messages"][at] for at in (0, 2)] == [{"role": "system", "content": "a"}, 5]
    assert orjson.dumps(body) == before


STRICT = ROW.model_copy(
    update={"developer_role": True, "renamed": {}, "refused": (), "ignored": (), "ignored_in_messages": ("thoughts",)}
)
USE = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def test_what_a_host_refuses_in_messages_stays_out_of_them_and_is_told() -> None:
    use = {**USE, "function": {**USE["function"], "thoughts": "signed"}}  # type: ignore[dict-item]
    asked = {"role": "user", "content": "a"}
    body = {"messages": [asked, {"role": "assistant", "content": "b", "thoughts": "c", "tool_calls": [use, USE, 5]}, 7]}
    before = orjson.dumps(body)
    made = sent(body, STRICT)
    answered = {"role": "assistant", "content": "b", "tool_calls": [USE, USE, 5]}
    assert orjson.loads(made.body)["messages"] == [asked, answered, 7]
    assert made.left_out == {"thoughts"}
    assert orjson.dumps(body) == before


def test_what_says_nothing_stays_out_of_messages_without_a_word() -> None:
    made = sent({"messages": [{"role": "assistant", "content": "b", "thoughts": None}]}, STRICT)
    assert orjson.loads(made.body)["messages"] == [{"role": "assistant", "content": "b"}]
    assert made.left_out == frozenset()


def test_messages_go_bare_and_as_the_system_s_at_once() -> None:
    row = STRICT.model_copy(update={"developer_role": False})
    made = sent({"messages": [{"role": "developer", "content": "b", "thoughts": "c"}]}, row)
    assert orjson.loads(made.body)["messages"] == [{"role": "system", "content": "b"}]


@pytest.mark.parametrize("messages", [[], 5, [{"role": "user", "content": "thoughts"}]])
def test_messages_without_it_go_out_byte_for_byte(messages: Any) -> None:
    body = {"model": "m", "messages": messages}
    assert sent(body, STRICT).body == orjson.dumps(body)


@pytest.mark.parametrize(
    ("row", "kept"),
    [
        ("groq", set()),
        ("cerebras", set()),
        ("fireworks-ai", {"reasoning_content"}),
        ("deepseek", {"reasoning_content", "content_blocks"}),
        ("moonshot", {"reasoning_content", "content_blocks"}),
    ],
)
def test_thoughts_go_back_to_those_who_want_them_and_to_no_host_that_refuses_them(row: str, kept: set[str]) -> None:
    """As issue threads of their users tell: Groq and Cerebras refuse both, Fireworks reads plain ones."""
    thoughts = {"reasoning_content": "x", "content_blocks": [{"type": "thinking", "thinking": "x"}]}
    made = sent({"messages": [{"role": "assistant", "content": "b", **thoughts}]}, built_in_rows()[row])
    assert orjson.loads(made.body)["messages"][0].keys() == {"role", "content"} | kept
    assert made.left_out == thoughts.keys() - kept


def test_embeddings_have_quirks_too() -> None:
    made = sent({"input": "x", "dimensions": 3}, built_in_rows()["voyage"], door=Door.EMBEDDINGS)
    assert orjson.loads(made.body) == {"model": "m", "input": "x", "output_dimension": 3}


@pytest.mark.parametrize("row", built_in_rows().values(), ids=lambda row: row.id)
def test_rows_of_this_build_contradict_themselves_in_nothing(row: Provider) -> None:
    place_of(row)
    assert not {*row.refused} & {*row.ignored, *row.renamed}
    assert row.limit_name not in (*row.refused, *row.renamed)
    assert "model" not in row.renamed
