"""Providers: built-in ones are read only, own ones travel in the organisation's shard."""

import asyncio
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import ValidationError

from control_plane.db.errors import Clash
from control_plane.errors import Conflict, Invalid, NotFound
from control_plane.known_providers import KnownProviders, read_built_in
from control_plane.providers.api import ProviderCreate, Providers, ProviderUpdate
from control_plane.virtual_keys.api import VirtualKeyCreate, VirtualKeys, VirtualKeyUpdate
from shared.base_url import TEMPLATE_FIELD
from shared.models.credential import CredentialForm, words_of
from shared.models.provider import Provider
from shared.protocol.resource import organisation_shard
from tests.fixtures.certificates import Authority
from tests.fixtures.control_plane import Plane

BUILT_IN = {"acme": Provider(id="acme", name="Acme", base_url="https://acme.test/v1")}


@pytest.fixture
def providers(plane: Plane) -> Providers:
    return Providers(plane.database, plane.changes, KnownProviders(BUILT_IN))


def virtual_keys(plane: Plane) -> VirtualKeys:
    return VirtualKeys(plane.database, plane.changes, plane.data_keys, KnownProviders(BUILT_IN), plane.ids)


def own(**fields: Any) -> ProviderCreate:
    return ProviderCreate(**{"id": "own", "name": "Own", "base_url": "https://own.test/v1/", **fields})


def virtual_key(provider: str) -> VirtualKeyCreate:
    return VirtualKeyCreate.model_validate(
        {"slug": "mine", "name": "Mine", "provider": provider, "credential": {"api_key": "sk-1"}}
    )


async def test_an_own_provider_travels_in_the_organisation_s_shard(providers: Providers, plane: Plane) -> None:
    view = await providers.create(plane.call(own(auth_prefix="Key ", doors=("chat",))))
    assert view.base_url == "https://own.test/v1"
    assert not view.built_in
    told = await plane.told(organisation_shard(plane.organisation), "provider", "own")
    assert told == Provider(
        id="own", name="Own", base_url="https://own.test/v1", auth_prefix="Key ", doors=("chat",)
    ).model_dump(mode="json")


async def test_built_in_and_own_providers_are_one_list(providers: Providers, plane: Plane) -> None:
    await providers.create(plane.call(own()))
    page = await providers.list(plane.call())
    assert [(view.id, view.built_in) for view in page.data] == [("acme", True), ("own", False)]
    assert [view.id for view in (await providers.list(plane.call(query={"filter": "built_in:false"}))).data] == ["own"]
    first = await providers.list(plane.call(query={"limit": "1", "sort": "-name"}))
    rest = await providers.list(plane.call(query={"limit": "1", "sort": "-name", "cursor": first.next_cursor or ""}))
    assert [view.id for view in (*first.data, *rest.data)] == ["own", "acme"]


async def test_a_built_in_provider_can_be_read_and_not_shadowed_changed_or_deleted(
    providers: Providers, plane: Plane
) -> None:
    assert (await providers.read(plane.call(provider="acme"))).name == "Acme"
    with pytest.raises(Conflict, match="built in") as refused:
        await providers.create(plane.call(own(id="acme")))
    assert refused.value.pointer == "/id"
    with pytest.raises(Conflict, match="built in"):
        await providers.update(plane.call(ProviderUpdate(name="Mine"), provider="acme"))
    with pytest.raises(Conflict, match="built in"):
        await providers.delete(plane.call(provider="acme"))


async def test_an_id_is_taken_once(providers: Providers, plane: Plane) -> None:
    await providers.create(plane.call(own()))
    with pytest.raises(Clash) as clash:
        await providers.create(plane.call(own()))
    assert clash.value.constraint == "provider_pkey"


async def test_an_update_changes_what_it_names_and_travels(providers: Providers, plane: Plane) -> None:
    await providers.create(plane.call(own()))
    view = await providers.update(plane.call(ProviderUpdate(base_url="https://new.test/"), provider="own"))
    assert (view.name, view.base_url) == ("Own", "https://new.test")
    told = await plane.told(organisation_shard(plane.organisation), "provider", "own")
    assert told is not None
    assert told["base_url"] == "https://new.test"
    entry = (await plane.audit())[-1]
    assert (entry["action"], entry["before"]["base_url"], entry["after"]["base_url"], entry["revision"]) == (
        "providers.update",
        "https://own.test/v1",
        "https://new.test",
        await plane.revision(organisation_shard(plane.organisation)),
    )


async def test_authorities_to_trust_are_checked_kept_and_cleared(providers: Providers, plane: Plane) -> None:
    pem = Authority.make().certificate.public_bytes(Encoding.PEM).decode()
    with pytest.raises(ValidationError, match="certificates in PEM are wanted"):
        own(ca_certificates="no certificate")
    assert (await providers.create(plane.call(own(ca_certificates=pem)))).ca_certificates == pem
    renamed = await providers.update(plane.call(ProviderUpdate(name="Other"), provider="own"))
    assert renamed.ca_certificates == pem
    cleared = await providers.update(plane.call(ProviderUpdate(ca_certificates=None), provider="own"))
    assert cleared.ca_certificates is None


async def test_a_provider_brings_the_models_it_is_listed_with(providers: Providers, plane: Plane) -> None:
    assert (await providers.create(plane.call(own(models=("one", "two"))))).models == ("one", "two")
    assert (await providers.update(plane.call(ProviderUpdate(name="Ours"), provider="own"))).models == ("one", "two")
    assert (await providers.update(plane.call(ProviderUpdate(models=()), provider="own"))).models == ()
    told = await plane.told(organisation_shard(plane.organisation), "provider", "own")
    assert told is not None
    assert told["models"] == []


async def test_a_provider_in_use_is_not_deleted(providers: Providers, plane: Plane) -> None:
    await providers.create(plane.call(own()))
    rooms = virtual_keys(plane)
    await rooms.create(plane.call(virtual_key("own")))
    with pytest.raises(Conflict, match="@mine") as refused:
        await providers.delete(plane.call(provider="own"))
    assert refused.value.code == "in_use"
    await rooms.delete(plane.call(virtual_key="mine"))
    await providers.delete(plane.call(provider="own"))
    assert await plane.told(organisation_shard(plane.organisation), "provider", "own") is None
    with pytest.raises(NotFound):
        await providers.read(plane.call(provider="own"))


@pytest.mark.parametrize(
    ("base_url", "form", "fits"),
    [
        ("https://{region}.own.test/v1", "api_key", False),
        ("https://own.test/{api_key}/v1", "api_key", False),
        ("https://{region}.own.test/v1", "aws", True),
        ("https://own.test/{account}/v1", "account", True),
        ("https://{host}/v1", "account", False),
    ],
)
async def test_a_word_in_the_address_is_one_that_its_credentials_say(
    providers: Providers, plane: Plane, base_url: str, form: CredentialForm, fits: bool
) -> None:
    """Such a provider was saved, and then every call to it was refused."""
    await providers.create(plane.call(own(id="other", credential=form)))
    made = providers.create(plane.call(own(base_url=base_url, credential=form)))
    changed = providers.update(plane.call(ProviderUpdate(base_url=base_url), provider="other"))
    for edit in (made, changed):
        if fits:
            assert (await edit).base_url == base_url
        else:
            with pytest.raises(Invalid) as refused:
                await edit
            assert refused.value.pointer == "/base_url"


async def test_the_form_of_credentials_that_are_stored_stays(providers: Providers, plane: Plane) -> None:
    """Gateways could open none of them any more, and every call that named one failed."""
    await providers.create(plane.call(own()))
    keys = virtual_keys(plane)
    await keys.create(plane.call(virtual_key("own")))
    with pytest.raises(Conflict, match="@mine") as refused:
        await providers.update(plane.call(ProviderUpdate(credential="account"), provider="own"))
    assert refused.value.code == "in_use"
    view = await providers.update(plane.call(ProviderUpdate(credential="optional_api_key"), provider="own"))
    assert view.credential == "optional_api_key"
    await keys.delete(plane.call(virtual_key="mine"))
    assert (await providers.update(plane.call(ProviderUpdate(credential="account"), provider="own"))).credential


async def test_a_stored_credential_goes_to_no_host_it_was_not_saved_for(providers: Providers, plane: Plane) -> None:
    """Who may edit a provider could have every stored credential of it sent to a host of their own."""
    await providers.create(plane.call(own()))
    keys = virtual_keys(plane)
    await keys.create(plane.call(virtual_key("own")))
    for address in ("https://evil.test/v1", "http://own.test/v1", "https://own.test:8443/v1"):
        with pytest.raises(Conflict, match=r"@mine in 'main'.*add a provider with the new address") as refused:
            await providers.update(plane.call(ProviderUpdate(base_url=address), provider="own"))
        assert (refused.value.code, refused.value.pointer) == ("credentials_stored", "/base_url")
    told = await plane.told(organisation_shard(plane.organisation), "provider", "own")
    assert told is not None
    assert told["base_url"] == "https://own.test/v1"
    same_host = ProviderUpdate(base_url="https://OWN.test:443/v2", name="Renamed")
    assert (await providers.update(plane.call(same_host, provider="own"))).name == "Renamed"

    given = {"base_url": "https://own.test/v1", "credential": {"api_key": "sk-1"}}
    await keys.update(plane.call(VirtualKeyUpdate.model_validate(given), virtual_key="mine"))
    await providers.update(plane.call(ProviderUpdate(base_url="https://new.test/v1"), provider="own"))
    for fields in ({"base_url": None}, {"base_url": "https://evil.test"}):
        with pytest.raises(Invalid) as wanted:
            await keys.update(plane.call(VirtualKeyUpdate.model_validate(fields), virtual_key="mine"))
        assert (wanted.value.code, wanted.value.pointer) == ("credential_required", "/credential")


async def waiting_for_a_lock(plane: Plane) -> int:
    """Each look is a transaction of its own: within one, PostgreSQL tells the activity of its first look again."""
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    async with plane.database.instance() as connection:
        return await connection.fetchval(waiting)


async def test_a_credential_that_is_being_saved_is_seen_by_a_move(providers: Providers, plane: Plane) -> None:
    await providers.create(plane.call(own()))
    moving = plane.call(ProviderUpdate(base_url="https://new.test"), provider="own")
    async with plane.changes.open(plane.owner, "rq_test") as change:
        await virtual_keys(plane).make(change, plane.workspace, virtual_key("own"))
        move = asyncio.create_task(providers.update(moving))
        while not await waiting_for_a_lock(plane):
            assert not move.done()
    with pytest.raises(Conflict, match="@mine"):
        await move


async def test_of_many_credentials_in_the_way_some_are_named(providers: Providers, plane: Plane) -> None:
    await providers.create(plane.call(own()))
    keys = virtual_keys(plane)
    for number in range(7):
        body = {"slug": f"k-{number}", "name": "K", "provider": "own", "credential": {"api_key": "sk-1"}}
        await keys.create(plane.call(VirtualKeyCreate.model_validate(body)))
    with pytest.raises(Conflict, match=r"@k-0 in 'main', .*@k-4 in 'main' and 2 more; add a provider"):
        await providers.update(plane.call(ProviderUpdate(base_url="https://new.test"), provider="own"))


def test_the_address_of_each_built_in_provider_is_made_of_words_its_credentials_say() -> None:
    for provider in read_built_in().values():
        assert set(TEMPLATE_FIELD.findall(provider.base_url)) <= set(words_of(provider.credential)), provider.id


async def test_of_a_deletion_and_a_use_at_the_same_time_one_wins(providers: Providers, plane: Plane) -> None:
    rooms = virtual_keys(plane)
    for _ in range(5):
        await providers.create(plane.call(own()))
        results = await asyncio.gather(
            providers.delete(plane.call(provider="own")),
            rooms.create(plane.call(virtual_key("own"))),
            return_exceptions=True,
        )
        refused = [result for result in results if isinstance(result, Exception)]
        assert [type(error) for error in refused] in ([Conflict], [Invalid])
        if isinstance(refused[0], Conflict):
            await rooms.delete(plane.call(virtual_key="mine"))
            await providers.delete(plane.call(provider="own"))


async def test_another_organisation_does_not_see_it(providers: Providers, plane: Plane) -> None:
    await providers.create(plane.call(own()))
    other = await plane.in_another_organisation()
    assert [view.id for view in (await providers.list(other.call())).data] == ["acme"]
    for attempt in (
        providers.read(other.call(provider="own")),
        providers.update(other.call(ProviderUpdate(name="Mine"), provider="own")),
        providers.delete(other.call(provider="own")),
    ):
        with pytest.raises(NotFound):
            await attempt
    await providers.create(other.call(own(name="Theirs")))
    assert (await providers.read(plane.call(provider="own"))).name == "Own"


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "@own"},
        {"id": "Own"},
        {"id": ""},
        {"name": "  "},
        {"base_url": "ftp://own.test"},
        {"base_url": "https://user:secret@own.test"},
        {"base_url": "https://own.test/?key=1"},
        {"auth_header": "x key"},
        {"auth_header": "content-length"},
        {"auth_header": "transfer-encoding"},
        {"auth_header": "host"},
        {"auth_prefix": "a\r\nb"},
        {"doors": ()},
        {"doors": ("images",)},
        {"dialect": "klingon"},
    ],
)
def test_what_cannot_work_is_refused_at_the_door(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        own(**fields)


def test_the_space_at_the_end_of_a_prefix_counts() -> None:
    assert own(name=" Own ").auth_prefix == "Bearer "
    assert ProviderUpdate(auth_prefix="Token ").auth_prefix == "Token "


def test_the_built_in_providers_of_this_build_are_sound() -> None:
    rows = read_built_in()
    assert all(
        id_ == row.id and row.base_url.startswith(("https://", "http://localhost:")) for id_, row in rows.items()
    )
    assert len(rows) > 5
