"""What `up` does in a control plane: gets in by the first-run code, makes what is missing, leaves the rest alone."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from control_plane.app import application, plane
from control_plane.auth.first_run import FirstRun
from control_plane.settings import Settings
from embedded import owner
from embedded.api_client import ApiClient, ApiError, connected
from embedded.furnish import Furnisher, Furniture
from embedded.owner import NoWayIn, Owner
from embedded.provider_keys import ProviderKey
from embedded.state import MADE_BY, StateFolder, kept, write_private
from shared.crypto.api_keys import API_KEY, well_formed
from shared.crypto.secret import Secret
from shared.protocol.enrolment import parse_token

US = Owner("owner@gatehouse.local", Secret("correct horse battery"))
SIMULATOR_KEY = Secret("sk-simulator-1")
ADMIN_KEYS = "/api/v1/admin-keys"


def found(value: str = "sk-one") -> list[ProviderKey]:
    return [ProviderKey("OPENAI_API_KEY", "openai", Secret(value), "m")]


@dataclass
class House:
    """A control plane as its users reach it, before its first owner."""

    url: str
    first_run: FirstRun
    state: StateFolder
    said: list[str]

    async def print_code(self) -> None:
        """As a start does while there is no owner."""
        code = await self.first_run.make_code()
        assert code is not None
        write_private(self.state.control_plane / "first-run-code", code.reveal())

    async def admin_key(self, us: Owner = US) -> Secret:
        code, file = self.state.control_plane / "first-run-code", self.state.secrets / "admin_key"
        return await owner.admin_key(self.url, us, first_run_code=code, file=file)


@dataclass
class Home:
    """A furnished one, seen by its admin key."""

    house: House
    api: ApiClient
    furnisher: Furnisher

    async def furnish(
        self,
        *keys: ProviderKey,
        simulator_url: str = "http://127.0.0.1:1",
        gateway_url: str = "http://127.0.0.1:3",
    ) -> Furniture:
        return await self.furnisher.furnish(simulator_url, SIMULATOR_KEY, keys, gateway_url)

    async def workspace(self) -> str:
        (row,) = [row async for row in self.api.rows("/api/v1/workspaces", filter="slug:local")]
        return f"/api/v1/workspaces/{row['id']}"

    async def slugs(self) -> set[str]:
        return {row["slug"] async for row in self.api.rows(await self.workspace() + "/virtual-keys")}

    async def actions(self) -> list[tuple[str, str]]:
        """What the audit has, oldest first: action and resource."""
        rows = [row async for row in self.api.rows("/api/v1/audit-logs", limit="200")]
        return [(row["action"], row["resource"]) for row in reversed(rows)]


@pytest.fixture
async def house(migrated_url: str, state: StateFolder) -> AsyncIterator[House]:
    settings = Settings(postgres_url=migrated_url, state_dir=state.control_plane)
    async with plane(settings) as parts, TestServer(application(parts)) as server:
        yield House(str(server.make_url("")), parts.first_run, state, [])


@pytest.fixture
async def home(house: House) -> AsyncIterator[Home]:
    await house.print_code()
    key = await house.admin_key()
    async with connected(house.url) as client:
        api = client.sending(owner.bearer(key))
        yield Home(house, api, Furnisher(api, house.state, house.said.append))


async def test_the_first_start_redeems_the_code_and_its_key_may_do_everything(house: House) -> None:
    await house.print_code()
    key = await house.admin_key()
    async with connected(house.url) as client:
        api = client.sending(owner.bearer(key))
        (row,) = [row async for row in api.rows(ADMIN_KEYS)]
        scopes = (await api.get("/api/openapi.json"))["components"]["schemas"]["AdminKeyCreate"]["properties"]["scopes"]
    assert row["scopes"] == sorted(scopes["items"]["enum"])
    assert "gateways.enrol" in row["scopes"]
    assert (house.state.secrets / "admin_key").stat().st_mode & 0o777 == 0o600


async def test_a_key_that_still_works_is_kept(home: Home) -> None:
    before = await home.actions()
    first = kept(home.house.state.secrets / "admin_key")
    assert first is not None
    assert (await home.house.admin_key()).matches(first.reveal())
    assert await home.actions() == before


async def test_a_lost_or_narrower_key_is_made_anew_and_the_old_one_ends(home: Home) -> None:
    first = kept(home.house.state.secrets / "admin_key")
    assert first is not None
    narrow = (await home.api.post(ADMIN_KEYS, {"name": MADE_BY, "scopes": ["admin_keys.list"]}))["key"]
    write_private(home.house.state.secrets / "admin_key", narrow.encode())
    second = await home.house.admin_key()
    assert not second.matches(first.reveal())
    async with connected(home.house.url) as client:
        for ended in (first, Secret(narrow)):
            with pytest.raises(ApiError) as refused:
                await client.sending(owner.bearer(ended)).get("/api/v1/organisation")
            assert refused.value.status == 401
        assert (await client.sending(owner.bearer(second)).get("/api/v1/organisation"))["name"] == owner.ORGANISATION


async def test_a_control_plane_of_somebody_else_lets_nobody_in(home: Home) -> None:
    (home.house.state.secrets / "admin_key").unlink()
    with pytest.raises(NoWayIn, match="has an owner already"):
        await home.house.admin_key(Owner(US.email, Secret("another password")))


async def test_what_is_missing_is_made_once(home: Home) -> None:
    first = await home.furnish(*found())
    assert well_formed(first.api_key.reveal_text(), API_KEY)
    assert await home.slugs() == {"simulator", "openai"}
    before = await home.actions()
    second = await home.furnish(*found())
    assert (second.gateway, second.api_key.reveal()) == (first.gateway, first.api_key.reveal())
    assert await home.actions() == before


async def test_where_callers_reach_the_gateway_follows_its_port(home: Home) -> None:
    first = await home.furnish()
    before = await home.actions()
    await home.furnish(gateway_url="http://127.0.0.1:4")
    gateway = await home.api.get(f"/api/v1/gateways/{first.gateway}")
    assert gateway["url"] == "http://127.0.0.1:4"
    assert (await home.actions())[len(before) :] == [("gateways.update", first.gateway)]


async def test_the_simulator_s_address_follows_it_and_its_models_are_listed(home: Home) -> None:
    await home.furnish()
    before = await home.actions()
    await home.furnish(simulator_url="http://127.0.0.1:2")
    provider = await home.api.get("/api/v1/providers/simulator")
    assert provider["base_url"] == "http://127.0.0.1:2/v1"
    assert provider["models"] == ["sim-chat", "sim-embed"]
    key = await home.api.get(await home.workspace() + "/virtual-keys/simulator")
    assert key["base_url"] == provider["base_url"]
    moved = [("virtual_keys.update", key["id"]), ("providers.update", "simulator")]
    assert (await home.actions())[len(before) :] == moved


async def test_a_stack_whose_simulator_s_key_says_no_address_yet_moves(home: Home) -> None:
    await home.furnish()
    path = await home.workspace() + "/virtual-keys/simulator"
    credential = {"api_key": SIMULATOR_KEY.reveal_text()}
    await home.api.patch(path, {"base_url": None, "credential": credential})
    await home.furnish(simulator_url="http://127.0.0.1:2")
    assert (await home.api.get("/api/v1/providers/simulator"))["base_url"] == "http://127.0.0.1:2/v1"


async def test_somebody_s_own_key_of_the_simulator_keeps_its_host_and_that_is_said(home: Home) -> None:
    await home.furnish()
    body = {"slug": "mine", "name": "Mine", "provider": "simulator", "credential": {"api_key": "sk-1"}}
    await home.api.post(await home.workspace() + "/virtual-keys", body)
    await home.furnish(simulator_url="http://127.0.0.1:2")
    assert (await home.api.get("/api/v1/providers/simulator"))["base_url"] == "http://127.0.0.1:1/v1"
    assert "@mine" in home.house.said[-1]


async def test_the_simulator_s_chat_has_a_price_and_its_embeddings_show_what_has_none(home: Home) -> None:
    await home.furnish()
    (price,) = [row async for row in home.api.rows("/api/v1/prices")]
    assert (price["provider"], price["model"], price["amounts"]["output_usd_per_mtok"]) == (
        "simulator",
        "sim-chat",
        "0.6",
    )


async def test_a_price_that_a_person_changed_stays(home: Home) -> None:
    await home.furnish()
    (price,) = [row async for row in home.api.rows("/api/v1/prices")]
    await home.api.post("/api/v1/prices", {"provider": "simulator", "model": "sim-embed", "multiplier": "2"})
    await home.api.patch(f"/api/v1/prices/{price['id']}", {"multiplier": "0.5"})
    before = await home.actions()
    await home.furnish()
    assert await home.actions() == before


async def test_provider_keys_come_change_and_go(home: Home) -> None:
    await home.furnish()
    for keys, slugs, action in (
        (found("sk-one"), {"simulator", "openai"}, "virtual_keys.create"),
        (found("sk-two"), {"simulator", "openai"}, "virtual_keys.update"),
        ([], {"simulator"}, "virtual_keys.delete"),
        (found("sk-two"), {"simulator", "openai"}, "virtual_keys.create"),
    ):
        before = await home.actions()
        await home.furnish(*keys)
        assert await home.slugs() == slugs
        assert [name for name, _ in (await home.actions())[len(before) :]] == [action]
    assert home.house.said == []


async def test_a_key_that_something_names_stays_and_the_start_goes_on(home: Home) -> None:
    await home.furnish(*found())
    config = {"slug": "mine", "name": "Mine", "body": {"virtual_key": "openai"}}
    await home.api.post(await home.workspace() + "/configs", config)
    await home.furnish()
    assert await home.slugs() == {"simulator", "openai"}
    (line,) = home.house.said
    assert line.startswith('virtual key "openai" stays')


async def test_a_virtual_key_of_a_person_is_left_alone(home: Home) -> None:
    await home.furnish()
    body: dict[str, Any] = {"slug": "openai", "name": "Mine", "provider": "openai", "credential": {"api_key": "sk-own"}}
    await home.api.post(await home.workspace() + "/virtual-keys", body)
    before = await home.actions()
    await home.furnish(*found())
    await home.furnish()
    assert await home.actions() == before
    assert home.house.said == ['virtual key "openai" is not of our making and stays as it is']


async def test_what_a_person_made_of_the_default_config_stays(home: Home) -> None:
    await home.furnish()
    path = await home.workspace() + "/configs/default"
    body = {"virtual_key": "simulator", "override_params": {"temperature": 0}}
    await home.api.patch(path, {"body": body})
    await home.furnish()
    assert (await home.api.get(path))["body"] == body


async def test_a_revoked_api_key_is_replaced(home: Home) -> None:
    first = (await home.furnish()).api_key
    path = await home.workspace() + "/api-keys"
    (row,) = [row async for row in home.api.rows(path)]
    await home.api.delete(f"{path}/{row['id']}")
    second = (await home.furnish()).api_key
    assert not second.matches(first.reveal())
    (live,) = [row async for row in home.api.rows(path, filter="state:active")]
    assert second.reveal_text().endswith(live["tail"])
    assert live["default_config"] == "default"
    assert "explain" in live["scopes"]


async def test_a_gateway_s_node_needs_a_token_until_it_is_enrolled(home: Home) -> None:
    gateway = (await home.furnish()).gateway
    assert await home.furnisher.node(gateway, "nd_00000000000000000000") is None
    assert parse_token((await home.furnisher.enrolment_token(gateway)).reveal_text())


async def test_no_key_is_kept_in_clear_but_in_its_own_file(home: Home) -> None:
    furniture = await home.furnish(*found("sk-marker-of-a-provider"))
    for path in home.house.state.root.rglob("*"):
        if path.is_file():
            assert b"sk-marker-of-a-provider" not in path.read_bytes()
            assert (furniture.api_key.reveal() in path.read_bytes()) == (path.name == "api_key")
