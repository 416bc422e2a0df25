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


def test_embeddings_have_quirks_too() -> None:
    made = sent({"input": "x", "dimensions": 3}, built_in_rows()["voyage"], door=Door.EMBEDDINGS)
    assert orjson.loads(made.body) == {"model": "m", "input": "x", "output_dimension": 3}


@pytest.mark.parametrize("row", built_in_rows().values(), ids=lambda row: row.id)
def test_rows_of_this_build_contradict_themselves_in_nothing(row: Provider) -> None:
    place_of(row)
    assert not {*row.refused} & {*row.ignored, *row.renamed}
    assert row.limit_name not in (*row.refused, *row.renamed)
    assert "model" not in row.renamed
