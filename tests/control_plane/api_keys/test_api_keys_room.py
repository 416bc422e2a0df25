"""API keys: shown once, known by their keyed hash, revoked for good."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from control_plane.api_keys.api import ApiKeyCreate, ApiKeys, ApiKeyUpdate
from control_plane.configs.api import ConfigCreate, Configs
from control_plane.errors import Conflict, Invalid, NotFound
from control_plane.hash_keys import HashKeys
from shared.crypto.api_keys import keyed_hash, well_formed
from shared.crypto.secret import Secret
from shared.models.api_key import SCOPES, ApiKey
from shared.protocol.resource import organisation_shard, workspace_shard
from shared.protocol.wire import from_base64
from tests.fixtures.control_plane import Plane

FUTURE = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def rooms(plane: Plane) -> ApiKeys:
    return ApiKeys(plane.database, plane.changes, HashKeys(plane.data_keys), plane.ids)


def create(**fields: Any) -> ApiKeyCreate:
    return ApiKeyCreate.model_validate({"name": "Team", **fields})


def update(**fields: Any) -> ApiKeyUpdate:
    return ApiKeyUpdate.model_validate(fields)


async def told(plane: Plane, id_: str) -> ApiKey | None:
    body = await plane.told(workspace_shard(plane.workspace), "api_key", id_)
    return None if body is None else ApiKey.model_validate(body)


async def config(plane: Plane, slug: str) -> None:
    await Configs(plane.database, plane.changes, plane.ids).create(
        plane.call(ConfigCreate(slug=slug, name=slug, body={"provider": "acme"}))
    )


async def test_a_key_is_shown_once_and_its_hash_is_the_one_that_gateways_compute(rooms: ApiKeys, plane: Plane) -> None:
    created = await rooms.create(plane.call(create(scopes=SCOPES, models=["gpt-*"], expires_at=FUTURE.isoformat())))
    assert well_formed(created.key)
    assert created.tail == created.key[-4:]
    organisation = await plane.told(organisation_shard(plane.organisation), "organisation", plane.organisation)
    assert organisation is not None
    hash_key = Secret(from_base64(organisation["api_key_hash_key"]))
    assert await told(plane, created.id) == ApiKey(
        id=created.id,
        workspace=plane.workspace,
        name="Team",
        hash=keyed_hash(hash_key, created.key).hex(),
        scopes=SCOPES,
        models=("gpt-*",),
        expires_at_ms=4_102_444_800_000,
    )
    assert "key" not in (await rooms.read(plane.call(api_key=created.id))).model_dump()


async def test_the_key_is_in_no_row(rooms: ApiKeys, plane: Plane) -> None:
    created = await rooms.create(plane.call(create(name="visible-marker")))
    async with plane.database.instance() as connection:
        tables = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
        rows = [await connection.fetch(f"select t::text from {table['tablename']} as t") for table in tables]
    dump = str(rows)
    assert "visible-marker" in dump
    assert created.key not in dump
    assert created.key.encode().hex() not in dump
    assert created.key not in repr(created)


async def test_a_default_config_must_be_there(rooms: ApiKeys, plane: Plane) -> None:
    with pytest.raises(Invalid) as refused:
        await rooms.create(plane.call(create(default_config="c")))
    assert (refused.value.code, refused.value.pointer) == ("slug_unknown", "/default_config")
    await config(plane, "c")
    created = await rooms.create(plane.call(create(default_config="c")))
    with pytest.raises(Conflict, match="Team"):
        await Configs(plane.database, plane.changes, plane.ids).delete(plane.call(config="c"))
    await rooms.revoke(plane.call(api_key=created.id))
    await Configs(plane.database, plane.changes, plane.ids).delete(plane.call(config="c"))


async def test_an_update_changes_what_it_names_null_clears_and_the_hash_stays(rooms: ApiKeys, plane: Plane) -> None:
    await config(plane, "c")
    created = await rooms.create(plane.call(create(default_config="c", models=["m"], expires_at=FUTURE.isoformat())))
    before = await told(plane, created.id)
    view = await rooms.update(plane.call(update(name="New", inline={"keys": False}, models=None), api_key=created.id))
    assert before is not None
    assert await told(plane, created.id) == before.model_copy(
        update={"name": "New", "models": None, "inline": before.inline.model_copy(update={"keys": False})}
    )
    assert (view.default_config, view.expires_at) == ("c", FUTURE)
    cleared = await rooms.update(plane.call(update(default_config=None, expires_at=None), api_key=created.id))
    assert (cleared.name, cleared.default_config, cleared.expires_at) == ("New", None, None)


async def test_what_a_key_may_not_bring_along_stays_when_something_else_of_it_is_changed(
    rooms: ApiKeys, plane: Plane
) -> None:
    created = await rooms.create(plane.call(create(inline={"configs": False, "hosts": False})))
    view = await rooms.update(plane.call(update(inline={"keys": False, "hosts": None}), api_key=created.id))
    assert view.inline.model_dump() == {"keys": False, "configs": False, "hosts": None}
    stored = await told(plane, created.id)
    assert stored is not None
    assert stored.inline == view.inline


async def test_a_revoked_key_leaves_the_gateways_and_stays_in_the_list(rooms: ApiKeys, plane: Plane) -> None:
    created = await rooms.create(plane.call(create()))
    await rooms.revoke(plane.call(api_key=created.id))
    assert await told(plane, created.id) is None
    view = await rooms.read(plane.call(api_key=created.id))
    assert view.state == "revoked"
    assert view.revoked_at is not None
    page = await rooms.list(plane.call(query={"filter": "state:revoked"}))
    assert [key.id for key in page.data] == [created.id]


async def test_revoking_again_changes_nothing_and_a_revoked_key_never_comes_back(rooms: ApiKeys, plane: Plane) -> None:
    created = await rooms.create(plane.call(create()))
    await rooms.revoke(plane.call(api_key=created.id))
    revision, entries = await plane.revision(workspace_shard(plane.workspace)), len(await plane.audit())
    await rooms.revoke(plane.call(api_key=created.id))
    with pytest.raises(Conflict) as refused:
        await rooms.update(plane.call(update(name="Again"), api_key=created.id))
    assert refused.value.code == "revoked"
    assert await plane.revision(workspace_shard(plane.workspace)) == revision
    assert len(await plane.audit()) == entries


async def test_an_expiry_lies_in_the_future(rooms: ApiKeys, plane: Plane) -> None:
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    with pytest.raises(Invalid) as refused:
        await rooms.create(plane.call(create(expires_at=past)))
    assert refused.value.pointer == "/expires_at"


async def test_an_expired_key_says_so(rooms: ApiKeys, plane: Plane) -> None:
    created = await rooms.create(plane.call(create(expires_at=FUTURE.isoformat())))
    async with plane.database.tenant(plane.organisation) as connection:
        await connection.execute("update api_key set expires_at = now()")
    assert (await rooms.read(plane.call(api_key=created.id))).state == "expired"


async def test_every_change_is_in_the_audit_with_its_revision(rooms: ApiKeys, plane: Plane) -> None:
    created = await rooms.create(plane.call(create()))
    await rooms.update(plane.call(update(name="New"), api_key=created.id))
    await rooms.revoke(plane.call(api_key=created.id))
    entries = [entry for entry in await plane.audit() if entry["kind"] == "api_key"]
    assert [entry["action"] for entry in entries] == ["api_keys.create", "api_keys.update", "api_keys.delete"]
    assert [entry["revision"] for entry in entries] == [2, 3, 4]
    assert [entry["before"] and entry["before"]["name"] for entry in entries] == [None, "Team", "New"]
    assert {entry["actor"] for entry in entries} == {"ac_owner"}


async def test_another_organisation_or_workspace_does_not_see_it(rooms: ApiKeys, plane: Plane) -> None:
    created = await rooms.create(plane.call(create()))
    stranger, neighbour = await plane.in_another_organisation(), await plane.in_another_workspace("other")
    for call in (
        stranger.call(api_key=created.id),
        stranger.call(update(name="Mine"), api_key=created.id, workspace=plane.workspace),
        neighbour.call(api_key=created.id),
    ):
        for attempt in (rooms.read(call), rooms.revoke(call)):
            with pytest.raises(NotFound):
                await attempt
    with pytest.raises(NotFound):
        await rooms.create(stranger.call(create(), workspace=plane.workspace))
    with pytest.raises(NotFound):
        await rooms.list(stranger.call(workspace=plane.workspace))
    assert (await rooms.read(plane.call(api_key=created.id))).state == "active"


@pytest.mark.parametrize(
    "fields",
    [
        {"name": " "},
        {"scopes": []},
        {"scopes": ["workspaces.delete"]},
        {"models": []},
        {"models": ["gpt-*-mini"]},
        {"expires_at": "2100-01-01T00:00:00"},
        {"expires_at": "9999-12-31T23:59:59-14:00"},
        {"inline": {"everything": True}},
        {"key": "gh_mine"},
    ],
)
def test_what_cannot_work_is_refused_at_the_door(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        create(**fields)


_offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(timezones=_offsets))
def test_a_moment_of_this_or_the_next_century_is_taken_and_any_other_refused(moment: datetime) -> None:
    if 2000 <= moment.year < 2200:
        assert create(expires_at=moment.isoformat()).expires_at == moment
        return
    with pytest.raises(ValidationError):
        create(expires_at=moment.isoformat())
