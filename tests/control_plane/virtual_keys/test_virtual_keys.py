"""Virtual keys: the credential goes in, is sealed twice, and comes out nowhere."""

import tracemalloc
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from control_plane.configs.api import ConfigCreate, Configs
from control_plane.data_keys import Sealed
from control_plane.db.errors import Clash
from control_plane.errors import Conflict, Invalid, NotFound
from control_plane.known_providers import KnownProviders
from control_plane.virtual_keys.api import VirtualKeyCreate, VirtualKeys, VirtualKeyUpdate
from control_plane.virtual_keys.credentials import parse_credential
from control_plane.workspaces.api import Workspaces, WorkspaceUpdate
from control_plane.workspaces.settings import Alias, WorkspaceSettings
from shared.crypto import api_keys
from shared.crypto.secret import Secret
from shared.models.credential import FORMS, CredentialForm, schema
from shared.models.provider import Provider
from shared.models.virtual_key import VirtualKey
from shared.protocol import envelope
from shared.protocol.resource import credential_subject, workspace_shard
from shared.protocol.wire import from_base64
from tests.fixtures.control_plane import Plane

ACME = Provider(id="acme", name="Acme", base_url="https://acme.test/v1")
MARKER = "sk-marker-58c1"


@pytest.fixture
def rooms(plane: Plane) -> VirtualKeys:
    return VirtualKeys(plane.database, plane.changes, plane.data_keys, KnownProviders({"acme": ACME}), plane.ids)


def create(**fields: Any) -> VirtualKeyCreate:
    whole = {"slug": "mine", "name": "Mine", "provider": "acme", "credential": {"api_key": MARKER}, **fields}
    return VirtualKeyCreate.model_validate(whole)


def update(**fields: Any) -> VirtualKeyUpdate:
    return VirtualKeyUpdate.model_validate(fields)


async def travelling(plane: Plane, id_: str) -> bytes:
    """The credential as a gateway opens it."""
    shard = workspace_shard(plane.workspace)
    noun = VirtualKey.model_validate(await plane.told(shard, "virtual_key", id_))
    async with plane.database.tenant(plane.organisation) as connection:
        epoch, key = await plane.shard_keys.newest(connection, shard)
    subject = credential_subject(plane.organisation, shard, id_, epoch)
    return envelope.open_(key, subject, from_base64(noun.credential))


async def at_rest(plane: Plane, id_: str) -> bytes:
    """The credential as the control plane itself can open it."""
    async with plane.database.tenant(plane.organisation) as connection:
        row = await connection.fetchrow(
            "select credential_key_version, credential_sealed from virtual_key where id = $1", id_
        )
        sealed = Sealed(row["credential_key_version"], row["credential_sealed"])
        opened = await plane.data_keys.open(connection, plane.organisation, "virtual_key.credential", id_, sealed)
    return opened.reveal()


async def test_the_credential_is_sealed_at_rest_and_for_the_journey(rooms: VirtualKeys, plane: Plane) -> None:
    view = await rooms.create(plane.call(create(base_url="https://eu.acme.test/", models=["m"])))
    noun = await plane.told(workspace_shard(plane.workspace), "virtual_key", view.id)
    assert noun is not None
    assert {name: value for name, value in noun.items() if name != "credential"} == {
        "id": view.id,
        "workspace": plane.workspace,
        "slug": "mine",
        "name": "Mine",
        "provider": "acme",
        "base_url": "https://eu.acme.test",
        "models": ["m"],
    }
    expected = orjson.dumps({"api_key": MARKER})
    assert await travelling(plane, view.id) == await at_rest(plane, view.id) == expected


async def test_the_credential_is_in_no_answer_row_or_audit(rooms: VirtualKeys, plane: Plane) -> None:
    created = await rooms.create(plane.call(create(name="visible-marker")))
    updated = await rooms.update(plane.call(update(credential={"api_key": MARKER}), virtual_key="mine"))
    listed = await rooms.list(plane.call())
    shown = (
        f"{created!r}{updated!r}{listed!r}{created.model_dump_json()}{create()!r}{update(credential={'a': MARKER})!r}"
    )
    async with plane.database.instance() as connection:
        tables = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
        dump = "".join(
            [
                str(value)
                for table in tables
                for value in await connection.fetch(f"select t::text from {table['tablename']} as t")
            ]
        )
    for text in (shown, dump):
        assert "visible-marker" in text
        assert MARKER not in text
        assert MARKER.encode().hex() not in text


async def test_an_update_without_a_credential_keeps_it(rooms: VirtualKeys, plane: Plane) -> None:
    view = await rooms.create(plane.call(create()))
    shard = workspace_shard(plane.workspace)
    before = await plane.told(shard, "virtual_key", view.id)
    await rooms.update(plane.call(update(name="New", models=["m"]), virtual_key="mine"))
    after = await plane.told(shard, "virtual_key", view.id)
    assert before is not None
    assert after == {**before, "name": "New", "models": ["m"]}
    assert (await plane.audit())[-1]["after"]["credential_replaced"] is False


async def test_a_new_credential_replaces_both(rooms: VirtualKeys, plane: Plane) -> None:
    view = await rooms.create(plane.call(create()))
    await rooms.update(plane.call(update(credential={"api_key": "sk-2"}), virtual_key=view.id))
    assert await travelling(plane, view.id) == await at_rest(plane, view.id) == b'{"api_key":"sk-2"}'


async def test_null_clears_and_what_is_left_out_stays(rooms: VirtualKeys, plane: Plane) -> None:
    await rooms.create(plane.call(create(models=["m"])))
    assert (await rooms.update(plane.call(update(name="New"), virtual_key="mine"))).models == ("m",)
    assert (await rooms.update(plane.call(update(name=None, models=None), virtual_key="mine"))).models is None


async def test_a_stored_credential_goes_to_no_new_host(rooms: VirtualKeys, plane: Plane) -> None:
    await rooms.create(plane.call(create(base_url="https://eu.acme.test")))
    for base_url in ("https://elsewhere.test", None):
        with pytest.raises(Invalid) as refused:
            await rooms.update(plane.call(update(base_url=base_url), virtual_key="mine"))
        assert (refused.value.code, refused.value.pointer) == ("credential_required", "/credential")
    await rooms.update(plane.call(update(base_url="https://eu.acme.test", name="Same host"), virtual_key="mine"))
    moved = update(base_url="https://elsewhere.test", credential={"api_key": "sk-2"})
    assert (await rooms.update(plane.call(moved, virtual_key="mine"))).base_url == "https://elsewhere.test"


async def test_the_provider_must_be_known_and_allowed(rooms: VirtualKeys, plane: Plane) -> None:
    with pytest.raises(Invalid, match="'nobody'") as refused:
        await rooms.create(plane.call(create(provider="nobody")))
    assert refused.value.pointer == "/provider"
    workspaces = Workspaces(plane.database, plane.changes, plane.shard_keys, plane.ids)
    settings = WorkspaceSettings(allowed_providers=("other",))
    await workspaces.update(plane.call(WorkspaceUpdate(settings=settings)))
    with pytest.raises(Invalid) as refused:
        await rooms.create(plane.call(create()))
    assert (refused.value.code, refused.value.pointer) == ("provider_not_allowed", "/provider")


async def test_a_virtual_key_that_a_config_names_stays_and_keeps_its_slug(rooms: VirtualKeys, plane: Plane) -> None:
    await rooms.create(plane.call(create()))
    configs = Configs(plane.database, plane.changes, plane.ids)
    body = {"strategy": {"mode": "fallback"}, "targets": [{"provider": "@mine"}, {"provider": "acme"}]}
    await configs.create(plane.call(ConfigCreate(slug="c", name="Team config", body=body)))
    with pytest.raises(Conflict, match="Team config"):
        await rooms.delete(plane.call(virtual_key="mine"))
    with pytest.raises(Conflict, match="Team config"):
        await rooms.update(plane.call(update(slug="yours"), virtual_key="mine"))
    await configs.delete(plane.call(config="c"))
    assert (await rooms.update(plane.call(update(slug="yours"), virtual_key="mine"))).slug == "yours"


async def test_a_virtual_key_that_an_alias_names_stays(rooms: VirtualKeys, plane: Plane) -> None:
    await rooms.create(plane.call(create()))
    workspaces = Workspaces(plane.database, plane.changes, plane.shard_keys, plane.ids)
    settings = WorkspaceSettings(model_aliases={"fast": Alias(virtual_key="mine", model="m")})
    await workspaces.update(plane.call(WorkspaceUpdate(settings=settings)))
    with pytest.raises(Conflict, match="fast"):
        await rooms.delete(plane.call(virtual_key="mine"))


async def test_a_deleted_virtual_key_is_gone_everywhere(rooms: VirtualKeys, plane: Plane) -> None:
    view = await rooms.create(plane.call(create()))
    await rooms.delete(plane.call(virtual_key="mine"))
    assert await plane.told(workspace_shard(plane.workspace), "virtual_key", view.id) is None
    with pytest.raises(NotFound):
        await rooms.read(plane.call(virtual_key=view.id))
    assert [entry["action"] for entry in await plane.audit()][-2:] == ["virtual_keys.create", "virtual_keys.delete"]


async def test_a_slug_is_taken_once_in_a_workspace(rooms: VirtualKeys, plane: Plane) -> None:
    await rooms.create(plane.call(create()))
    with pytest.raises(Clash):
        await rooms.create(plane.call(create()))
    other = await plane.in_another_workspace("other")
    await rooms.create(other.call(create()))


async def test_they_are_listed_and_filtered_by_provider(rooms: VirtualKeys, plane: Plane) -> None:
    for slug in ("one", "two"):
        await rooms.create(plane.call(create(slug=slug)))
    page = await rooms.list(plane.call(query={"filter": "provider:acme slug:tw"}))
    assert [view.slug for view in page.data] == ["two"]


async def test_another_organisation_or_workspace_does_not_see_it(rooms: VirtualKeys, plane: Plane) -> None:
    view = await rooms.create(plane.call(create()))
    stranger, neighbour = await plane.in_another_organisation(), await plane.in_another_workspace("other")
    for call in (
        stranger.call(virtual_key=view.id),
        stranger.call(virtual_key=view.id, workspace=plane.workspace),
        neighbour.call(virtual_key=view.id),
    ):
        with pytest.raises(NotFound):
            await rooms.read(call)
        with pytest.raises(NotFound):
            await rooms.delete(call)
    with pytest.raises(NotFound):
        await rooms.list(stranger.call(workspace=plane.workspace))
    with pytest.raises(NotFound):
        await rooms.create(stranger.call(create(), workspace=plane.workspace))


async def test_the_form_of_a_credential_can_be_read(rooms: VirtualKeys, plane: Plane) -> None:
    form = await rooms.read_schema(plane.call(provider="acme"))
    assert form.json_schema["required"] == ["api_key"]
    assert form.json_schema["properties"]["api_key"]["format"] == "password"
    with pytest.raises(NotFound):
        await rooms.read_schema(plane.call(provider="nobody"))


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({}, "/credential/api_key"),
        ({"api_key": 5}, "/credential/api_key"),
        ({"api_key": ""}, "/credential/api_key"),
        ({"api_key": f"{MARKER} two"}, "/credential/api_key"),
        ({"api_key": f"{MARKER}\r\nx: y"}, "/credential/api_key"),
        ({"api_key": f"{MARKER}é"}, "/credential/api_key"),
        ({"api_key": MARKER * 1_000}, "/credential/api_key"),
        ({"api_key": api_keys.new_api_key().reveal_text()}, "/credential/api_key"),
        ({"api_key": MARKER, "region": MARKER}, "/credential/region"),
    ],
)
def test_a_credential_that_cannot_work_is_refused_with_its_place_and_without_its_value(
    given: Mapping[str, Any], pointer: str
) -> None:
    with pytest.raises(Invalid) as refused:
        parse_credential("api_key", Secret(orjson.dumps(given)))
    assert refused.value.pointer == pointer
    assert MARKER not in f"{refused.value!r}{refused.value.detail}"


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=200))
def test_any_key_that_fits_a_header_is_sealed_as_it_is(key: str) -> None:
    if not key.startswith("gh_"):
        sealed = parse_credential("api_key", Secret(orjson.dumps({"api_key": f" {key}\n"})))
        assert orjson.loads(sealed.reveal()) == {"api_key": key}


def test_a_credential_that_is_no_object_is_refused_at_the_door() -> None:
    with pytest.raises(ValidationError) as refused:
        create(credential=MARKER)
    assert MARKER not in str(refused.value)


def test_a_credential_that_nests_too_deep_is_refused_at_the_door() -> None:
    deep = orjson.loads(b'{"a":' * 900 + b"1" + b"}" * 900)
    with pytest.raises(ValidationError, match="nested too deep"):
        create(credential=deep)


def test_a_host_that_is_none_is_refused_without_repeating_it() -> None:
    for base_url in ("elsewhere", "https://me:marker@elsewhere.test", "https://"):
        with pytest.raises(ValidationError) as refused:
            create(base_url=base_url)
        assert [fault["loc"] for fault in refused.value.errors()] == [("base_url",)]
        assert "elsewhere" not in refused.value.errors()[0]["msg"]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_can_be_drawn_flat_and_keeps_its_secrets(form: CredentialForm) -> None:
    drawn = schema(form)
    assert drawn["additionalProperties"] is False
    assert {field["type"] for field in drawn["properties"].values()} == {"string"}
    for name, field in FORMS[form].model_fields.items():
        is_secret = "Secret" in repr(field.annotation)
        assert (drawn["properties"][name].get("format") in ("password", "pem")) is is_secret


AWS = {"region": "eu-central-1", "access_key_id": "AKIDEXAMPLE", "secret_access_key": MARKER}


@pytest.mark.parametrize(
    "given",
    [
        AWS,
        {**AWS, "session_token": "t"},
        {**AWS, "role_arn": "arn:aws:iam::123456789012:role/path/caller", "external_id": "x-1"},
        {"region": "us-gov-west-1", "api_key": MARKER, "access_key_id": "", "role_arn": ""},
    ],
)
def test_a_credential_of_several_fields_is_sealed_with_those_that_are_filled(given: dict[str, str]) -> None:
    sealed = parse_credential("aws", Secret(orjson.dumps(given)))
    assert orjson.loads(sealed.reveal()) == {name: value for name, value in given.items() if value}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"region": "eu-central-1"}, "is wanted"),
        ({**AWS, "region": "eu.example.com/"}, "a region is wanted"),
        ({**AWS, "region": "eu-central-1.evil.test"}, "a region is wanted"),
        ({**AWS, "secret_access_key": ""}, "come together"),
        ({**AWS, "api_key": MARKER}, "either"),
        ({**AWS, "external_id": "x"}, "role_arn"),
        ({**AWS, "role_arn": f"arn:aws:iam::1:role/{MARKER}"}, "ARN is wanted"),
        ({"region": "eu-central-1", "api_key": MARKER, "session_token": MARKER}, "without a session"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(Invalid, match=said) as refused:
        parse_credential("aws", Secret(orjson.dumps(given)))
    assert MARKER not in f"{refused.value!r}{refused.value.detail}"


async def test_to_be_rid_of_a_virtual_key_takes_no_room_for_every_config(rooms: VirtualKeys, plane: Plane) -> None:
    """They may be as many as a workspace likes, however large each is."""
    await rooms.create(plane.call(create()))
    configs, large = Configs(plane.database, plane.changes, plane.ids), "mine" * 50_000
    for number in range(40):
        body = {"provider": "acme", "override_params": {"user": large}}
        await configs.create(plane.call(ConfigCreate(slug=f"c{number}", name="c", body=body)))
    tracemalloc.start()
    try:
        await rooms.delete(plane.call(virtual_key="mine"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24 * len(large)
