"""The model list: every listed id works as `model` just as it stands, and what may not be called is not listed."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, GatewayError
from gateway.pipeline.models import list_models, one_model
from gateway.pipeline.resolve import resolve
from gateway.providers.base import Call, Door
from shared.models.noun import Kind
from tests.fakes.world import STORED_KEY, World


def ids(world: World) -> list[str]:
    return [row["id"] for row in list_models(world.caller())["data"]]


def test_names_that_one_key_reaches_stand_bare_and_the_others_with_their_slug() -> None:
    world = World()
    assert ids(world) == ["@main/both", "@second/both", "acme-chat", "sim-chat"]
    assert list_models(world.caller())["object"] == "list"
    assert one_model(world.caller(), "@main/both") == {
        "id": "@main/both",
        "object": "model",
        "created": 0,
        "owned_by": "sim",
    }


def test_an_alias_takes_its_name_and_the_model_behind_it_stays_reachable() -> None:
    world = World()
    world.workspace(model_aliases={"sim-chat": {"virtual_key": "second", "model": "acme-chat"}})
    assert ids(world) == ["@main/both", "@main/sim-chat", "@second/both", "acme-chat", "sim-chat"]
    assert one_model(world.caller(), "sim-chat")["owned_by"] == "acme"


def test_what_the_key_may_not_use_is_not_listed_and_404_by_name() -> None:
    world = World()
    world.api_key("k1", world.key, models=["sim-*", "@second/both"])
    assert ids(world) == ["@second/both", "sim-chat"]
    with pytest.raises(GatewayError) as caught:
        one_model(world.caller(), "acme-chat")
    assert (caught.value.code, caught.value.row.status) == (Code.MODEL_UNKNOWN, 404)
    assert "acme-chat" in caught.value.message


NAMES = st.sampled_from(["sim-chat", "acme-chat", "both", "org/model", "x"])
LISTS = st.none() | st.lists(NAMES, max_size=3, unique=True)


@given(
    catalogue=st.lists(st.tuples(st.sampled_from(["sim", "acme"]), NAMES), max_size=6),
    aliases=st.dictionaries(
        NAMES, st.fixed_dictionaries({"virtual_key": st.sampled_from(["main", "second", "gone"]), "model": NAMES})
    ),
    allowed=st.none() | st.lists(st.sampled_from(["sim", "acme"]), unique=True),
    of_main=LISTS,
    of_key=st.none() | st.lists(NAMES | st.sampled_from(["*", "@main/*", "sim-*"]), max_size=3),
)
def test_every_listed_id_works_as_model(
    catalogue: list[tuple[str, str]],
    aliases: dict[str, dict[str, str]],
    allowed: list[str] | None,
    of_main: list[str] | None,
    of_key: list[str] | None,
) -> None:
    world = World()
    for index, (provider, name) in enumerate(catalogue):
        world.put("global", Kind.MODEL, id=f"n{index}", provider=provider, name=name)
    world.workspace(allowed_providers=allowed, model_aliases=aliases)
    world.virtual_key("main", "sim", STORED_KEY, models=of_main)
    world.api_key("k1", world.key, models=of_key)
    caller = world.caller()
    listed = [row["id"] for row in list_models(caller)["data"]]
    assert listed == sorted(set(listed))
    for id_ in listed:
        body = {"model": id_}
        resolve({}, Call(Door.CHAT, orjson.dumps(body), body, stream=False), caller)
