"""Demonstration traffic: what is played is what the script says, the same for the same seed, and each ending counts."""

import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from control_plane.app import application, plane
from control_plane.settings import Settings
from embedded import owner
from embedded.api_client import ApiClient, connected
from embedded.demo import script as scripts
from embedded.demo.play import Play
from embedded.demo.scene import KEYS, WORKSPACE, Scene
from embedded.demo.script import Model, Script
from embedded.demo.stage import Stage
from embedded.owner import Owner
from embedded.state import StateFolder, write_private
from shared.crypto.api_keys import API_KEY, new_api_key, well_formed
from shared.crypto.secret import Secret

SCRIPT = scripts.read()
US = Owner("owner@gatehouse.local", Secret("correct horse battery"))


def keys() -> dict[str, Secret]:
    return {name: new_api_key() for name in (*(team.name for team in SCRIPT.teams), "narrow")}


def play(seed: int, given_keys: dict[str, Secret], script: Script = SCRIPT) -> Play:
    return Play(script, given_keys, random.Random(seed))


def with_models(**changed: Any) -> Script:
    """All models changed alike."""
    providers = {
        id_: provider.model_copy(
            update={"models": {name: model.model_copy(update=changed) for name, model in provider.models.items()}}
        )
        for id_, provider in SCRIPT.providers.items()
    }
    return SCRIPT.model_copy(update={"providers": providers})


QUICK = with_models(took_ms=0, fails=0)


@pytest.fixture
async def stage() -> AsyncIterator[str]:
    """Address of one that answers at once and never fails."""
    staged = Stage(QUICK, random.Random(1))
    runner = await staged.open()
    try:
        yield staged.url
    finally:
        await runner.cleanup()


async def posted(url: str, body: dict[str, Any]) -> tuple[int, bytes]:
    async with ClientSession() as session, session.post(url, json=body) as answer:
        return answer.status, await answer.read()


# The script


def test_every_model_that_is_named_is_one_that_somebody_serves() -> None:
    named = {model for team in SCRIPT.teams for model in team.models if model}
    for name in named:
        provider, model = name.removeprefix("@").split("/", 1)
        assert model in SCRIPT.providers[provider].models
    for team in SCRIPT.teams:
        assert team.config is None or team.config in SCRIPT.configs
        assert team.config is not None or "" not in team.models


@given(tokens=st.tuples(st.integers(0, 5_000), st.integers(0, 5_000)), share=st.floats(0, 1), seed=st.integers())
def test_parts_of_usage_are_never_more_than_the_whole(tokens: tuple[int, int], share: float, seed: int) -> None:
    model = Model(took_ms=1, tokens=tokens, cached=share, reasoning=share)
    used = scripts.usage(model, random.Random(seed))
    assert 0 <= used.cached <= used.input
    assert 0 <= used.reasoning <= used.output


# The stage


async def test_an_answer_says_what_it_used(stage: str) -> None:
    status, body = await posted(f"{stage}/chat/completions", {"model": "gpt-4.1", "messages": []})
    usage = orjson.loads(body)["usage"]
    assert status == 200
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0


async def test_a_stream_ends_with_its_usage_and_the_mark_of_the_end(stage: str) -> None:
    asked = {"model": "gpt-4.1", "messages": [], "stream": True}
    status, body = await posted(f"{stage}/chat/completions", asked)
    *events, end = [line.removeprefix(b"data: ") for line in body.split(b"\n\n") if line]
    assert (status, end) == (200, b"[DONE]")
    assert orjson.loads(events[-1])["usage"]["completion_tokens"] > 0


async def test_a_model_that_nobody_plays_is_not_found(stage: str) -> None:
    status, body = await posted(f"{stage}/chat/completions", {"model": "no-such", "messages": []})
    assert (status, orjson.loads(body)["error"]["code"]) == (404, "model_not_found")


async def test_a_model_that_fails_says_so_as_providers_do() -> None:
    staged = Stage(with_models(took_ms=0, fails=1), random.Random(1))
    runner = await staged.open()
    try:
        status, body = await posted(f"{staged.url}/chat/completions", {"model": "gpt-4.1", "messages": []})
    finally:
        await runner.cleanup()
    assert status in {429, 500, 503}
    assert orjson.loads(body)["error"]["code"]


# The play


def test_the_same_seed_plays_the_same_requests_and_another_seed_others() -> None:
    given_keys = keys()

    def lines(seed: int) -> list[Any]:
        played = play(seed, given_keys)
        # A key that nobody knows is made anew each time.
        known = {key.reveal() for key in given_keys.values()}
        return [
            replace(line, key=line.key if line.key.reveal() in known else Secret("unknown"))
            for line in (played.line() for _ in range(200))
        ]

    def told(seed: int) -> list[tuple[str, object, object, bool]]:
        return [(line.door, line.body, line.headers, line.leaves) for line in lines(seed)]

    assert told(1) == told(1)
    assert told(1) != told(2)


def test_every_kind_of_mistake_and_every_team_comes_up() -> None:
    given_keys = keys()
    played = play(3, given_keys)
    lines = [played.line() for _ in range(2_000)]
    callers = Counter(line.key.reveal() for line in lines)
    known = {key.reveal() for key in given_keys.values()}
    assert known <= callers.keys()
    assert callers.keys() - known
    assert any(line.body["model"].startswith("@nowhere/") for line in lines)
    assert any(line.leaves for line in lines)
    assert {line.door for line in lines} == {"chat/completions", "embeddings"}


async def test_what_was_played_is_counted_by_how_it_ended(stage: str) -> None:
    told: list[int] = []
    # The stage stands where the gateway would: it knows the plain names of models.
    teams = tuple(team.model_copy(update={"models": ("gpt-4.1",), "config": None}) for team in SCRIPT.teams)
    mistakes = SCRIPT.mistakes.model_copy(
        update={"unknown_key": 0, "unknown_virtual_key": 0.3, "forbidden_model": 0, "leaves": 0}
    )
    script = QUICK.model_copy(update={"teams": teams, "mistakes": mistakes})
    ended = await play(5, keys(), script).run(
        stage.removesuffix("/v1"), requests=60, rate=5_000, report=lambda done, _: told.append(done)
    )
    assert ended.total() == 60
    assert told == list(range(1, 61))
    assert ended.keys() == {"200", "404"}


async def test_nobody_there_is_counted_too(unused_tcp_port: int) -> None:
    mistakes = SCRIPT.mistakes.model_copy(update={"leaves": 0})
    script = SCRIPT.model_copy(update={"mistakes": mistakes})
    ended = await play(5, keys(), script).run(
        f"http://127.0.0.1:{unused_tcp_port}", requests=5, rate=5_000, report=lambda *_: None
    )
    assert ended == Counter({"no answer": 5})


# The scene


@pytest.fixture
async def api(migrated_url: str, state: StateFolder) -> AsyncIterator[ApiClient]:
    settings = Settings(postgres_url=migrated_url, state_dir=state.control_plane)
    async with plane(settings) as parts, TestServer(application(parts)) as server:
        url, code = str(server.make_url("")), await parts.first_run.make_code()
        assert code is not None
        write_private(state.control_plane / "first-run-code", code.reveal())
        file = state.secrets / "admin_key"
        key = await owner.admin_key(url, US, first_run_code=state.control_plane / "first-run-code", file=file)
        async with connected(url) as client:
            yield client.sending(owner.bearer(key))


async def test_the_scene_is_set_once_and_then_only_follows_the_stage(api: ApiClient) -> None:
    first = await Scene(api, SCRIPT).set("http://127.0.0.1:1/v1")
    second = await Scene(api, SCRIPT).set("http://127.0.0.1:2/v1")
    (workspace,) = [row async for row in api.rows("/api/v1/workspaces", filter=f"slug={WORKSPACE}")]
    path = f"/api/v1/workspaces/{workspace['id']}"
    virtual_keys = [row async for row in api.rows(f"{path}/virtual-keys")]
    assert {row["slug"] for row in virtual_keys} == SCRIPT.providers.keys()
    assert {row["base_url"] for row in virtual_keys} == {"http://127.0.0.1:2/v1"}
    assert {row["slug"] async for row in api.rows(f"{path}/configs")} == SCRIPT.configs.keys()
    assert first.keys() == second.keys() == {*(team.name for team in SCRIPT.teams), "narrow"}
    assert all(well_formed(key.reveal_text(), API_KEY) for key in second.values())


async def test_keys_of_earlier_plays_end_and_nobody_else_s(api: ApiClient) -> None:
    await Scene(api, SCRIPT).set("http://127.0.0.1:1/v1")
    (workspace,) = [row async for row in api.rows("/api/v1/workspaces", filter=f"slug={WORKSPACE}")]
    path = f"/api/v1/workspaces/{workspace['id']}/api-keys"
    await api.post(path, {"name": "mine"})
    before = {row["id"] async for row in api.rows(path, filter="state:active")}
    await Scene(api, SCRIPT).set("http://127.0.0.1:1/v1")
    active = [row async for row in api.rows(path, filter="state:active")]
    assert [row["name"] for row in active if row["id"] in before] == ["mine"]
    assert all(row["name"].startswith(KEYS) for row in active if row["id"] not in before)
