"""The nouns' rooms behind the API's door: bodies as JSON, refusals as problem documents, one description."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from control_plane.api_keys.api import ApiKeys
from control_plane.catalogue.catalogue import Catalogue, Entry
from control_plane.catalogue.seed import seed
from control_plane.configs.api import Configs
from control_plane.gateways.api import Gateways
from control_plane.gateways.nodes import Nodes
from control_plane.gateways.tokens import EnrolmentTokens
from control_plane.hash_keys import HashKeys
from control_plane.known_providers import KnownProviders
from control_plane.models.api import Models
from control_plane.permissions import Principal
from control_plane.prices.api import Prices
from control_plane.providers.api import Providers
from control_plane.snapshots.gateway_keys import GatewayKeys
from control_plane.virtual_keys.api import VirtualKeys
from control_plane.web.api import Api
from control_plane.web.openapi import describe
from control_plane.web.route import Route
from shared.models.provider import Provider
from tests.fixtures.control_plane import Plane

MARKER = "sk-marker-91b7"
ACME = Provider(id="acme", name="Acme", base_url="https://acme.test")


class Door:
    """Lets the owner in, whoever knocks."""

    def __init__(self, owner: Principal) -> None:
        self._owner = owner

    async def principal(self, request: web.Request) -> Principal:
        assert request.path
        return self._owner

    def require_own_page(self, request: web.Request) -> None:
        raise AssertionError(request.path)


def all_routes(plane: Plane) -> list[Route]:
    database, changes, ids, data_keys = plane.database, plane.changes, plane.ids, plane.data_keys
    known = KnownProviders({"acme": ACME})
    return [
        *ApiKeys(database, changes, HashKeys(data_keys), ids).routes(),
        *VirtualKeys(database, changes, data_keys, known, ids).routes(),
        *Providers(database, changes, known).routes(),
        *Configs(database, changes, ids).routes(),
        *Models(database).routes(),
        *Prices(database, changes, known, ids).routes(),
        *Gateways(database, changes, GatewayKeys(data_keys, plane.shard_keys), ids).routes(),
        *EnrolmentTokens(
            database, changes, ids, fingerprint="sha256:" + "0" * 64, public_url="https://house.test"
        ).routes(),
        *Nodes(database, changes).routes(),
    ]


class Http:
    def __init__(self, session: ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def __call__(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        async with self._session.request(method, self._url + path, json=body) as response:
            data = await response.read()
            return response.status, orjson.loads(data) if data else None


@pytest.fixture
async def http(plane: Plane) -> AsyncIterator[Http]:
    application = web.Application()
    Api(Door(plane.owner), plane.ids).add(application, all_routes(plane))
    async with TestServer(application, host="127.0.0.1") as server, ClientSession() as session:
        yield Http(session, str(server.make_url("/api/v1")))


async def test_a_model_is_read_by_its_id_percent_encoded(http: Http, plane: Plane) -> None:
    entry = Entry(provider="acme", name="team/large", type="chat")
    await seed(plane.changes, plane.data_keys, plane.shard_keys, Catalogue((entry,), {}, "x"))
    status, model = await http("GET", "/models/acme%2Fteam%2Flarge")
    assert (status, model["name"], model["price"]) == (200, "team/large", None)


async def test_a_credential_goes_in_and_neither_answers_nor_refusals_hold_it(http: Http, plane: Plane) -> None:
    path = f"/workspaces/{plane.workspace}/virtual-keys"
    body = {"slug": "mine", "name": "Mine", "provider": "acme", "credential": {"api_key": MARKER}}
    for credential, pointer in (
        (MARKER, "/credential"),
        ({"key": MARKER}, "/credential/api_key"),
        ({"api_key": f"{MARKER} {MARKER}"}, "/credential/api_key"),
    ):
        status, problem = await http("POST", path, {**body, "credential": credential})
        assert (status, problem["pointer"]) == (400, pointer)
        assert MARKER not in str(problem)
    status, created = await http("POST", path, body)
    assert status == 201
    assert MARKER not in str(created)
    status, problem = await http("POST", path, body)
    assert (status, problem["pointer"]) == (409, "/slug")


async def test_what_would_be_too_large_for_a_gateway_is_refused_before_it_is_saved(http: Http, plane: Plane) -> None:
    path = f"/workspaces/{plane.workspace}/configs"
    body = {"slug": "big", "name": "Big", "body": {"override_params": {"a": "x" * (1024 * 1024 - 80)}}}
    status, problem = await http("POST", path, body)
    assert (status, problem["code"]) == (413, "too_large")
    assert "on its way to gateways" in problem["detail"]
    assert (await http("GET", path))[1]["data"] == []


async def test_a_config_that_cannot_work_is_refused_where_it_stands(http: Http, plane: Plane) -> None:
    path = f"/workspaces/{plane.workspace}/configs"
    condition = {"query": {"metadata.x": {"$regex": "(?=a)"}}, "then": "a"}
    named = {"name": "a", "provider": "acme"}
    for body, pointer, word in (
        ({"strategy": {"mode": "conditional", "conditions": [condition]}, "targets": [named]}, "/$regex", "RE2"),
        ({"strategy": {"mode": "loadbalance"}, "targets": [{**named, "weight": 0}]}, "/body/targets", "weights"),
        ({"retry": {"attempts": -1}, "provider": "acme"}, "/body/retry/attempts", "0"),
        ({"targets": [{"forward_headers": ["cookie"]}]}, "/body/targets/0/forward_headers", "cookie"),
        ({"cache": {"mode": "semantic"}}, "/body/cache/mode", "not supported"),
        ({"targets": [{"override_params": {"model": "@lost/x"}}]}, "/body/targets/0/override_params/model", "@lost"),
    ):
        status, problem = await http("POST", path, {"slug": "bad", "name": "Bad", "body": body})
        assert status == 400, problem
        assert problem["pointer"].endswith(pointer)
        assert word in problem["detail"]


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("https://caf\u00e9.test", "xn--"),
        ("https://acme.test\r\nx: y", "visible ASCII"),
        ("https://acme.test/?", "query"),
        ("https://acme.test#", "query"),
        ("https://acme.test.", "labels"),
        ("https://127.1", "IPv4"),
        ("https://acme.test:0", "port"),
        ("https://acme.test/" + "a" * 2_000, "2000 characters"),
    ],
)
async def test_a_base_url_that_gateways_do_not_call_is_not_saved(http: Http, plane: Plane, url: str, word: str) -> None:
    workspace = f"/workspaces/{plane.workspace}"
    key = {"slug": "mine", "name": "Mine", "provider": "acme", "credential": {"api_key": MARKER}, "base_url": url}
    nested = {"strategy": {"mode": "fallback"}, "targets": [{"provider": "acme", "custom_host": url}]}
    for path, body, pointer in (
        (f"{workspace}/virtual-keys", key, "/base_url"),
        ("/providers", {"id": "own", "name": "Own", "base_url": url}, "/base_url"),
        (f"{workspace}/configs", {"slug": "c", "name": "C", "body": nested}, "/body/targets/0/custom_host"),
    ):
        status, problem = await http("POST", path, body)
        assert (status, problem["pointer"]) == (400, pointer)
        assert word in problem["detail"]


async def test_a_provider_that_was_saved_with_a_base_url_nobody_calls_can_be_mended(http: Http, plane: Plane) -> None:
    await http("POST", "/providers", {"id": "own", "name": "Own", "base_url": "https://own.test"})
    async with plane.database.tenant(plane.organisation) as connection:
        await connection.execute(
            "update provider set row = row || $2 where organisation = $1",
            plane.organisation,
            {"base_url": "https://x?"},
        )
    status, problem = await http("PATCH", "/providers/own", {"base_url": "https://own.test?"})
    assert (status, problem["pointer"]) == (400, "/base_url")
    assert (await http("PATCH", "/providers/own", {"base_url": "https://own.test"}))[0] == 200


async def test_a_virtual_key_that_a_config_s_model_names_is_in_use(http: Http, plane: Plane) -> None:
    workspace = f"/workspaces/{plane.workspace}"
    key = {"slug": "mine", "name": "Mine", "provider": "acme", "credential": {"api_key": MARKER}}
    _, made = await http("POST", f"{workspace}/virtual-keys", key)
    body = {"strategy": {"mode": "loadbalance"}, "targets": [{"override_params": {"model": "@mine/x"}}]}
    _, config = await http("POST", f"{workspace}/configs", {"slug": "c", "name": "C", "body": body})
    status, problem = await http("DELETE", f"{workspace}/virtual-keys/{made['id']}")
    assert (status, problem["code"]) == (409, "in_use")
    assert (await http("DELETE", f"{workspace}/configs/{config['id']}"))[0] == 204
    assert (await http("DELETE", f"{workspace}/virtual-keys/{made['id']}"))[0] == 204


async def test_null_clears_a_field_and_absence_leaves_it(http: Http, plane: Plane) -> None:
    path = f"/workspaces/{plane.workspace}/api-keys"
    _, created = await http("POST", path, {"name": "Team", "models": ["gpt-*"]})
    assert created["key"].startswith("gh_")
    one = f"{path}/{created['id']}"
    assert (await http("PATCH", one, {"name": "New"}))[1]["models"] == ["gpt-*"]
    assert (await http("PATCH", one, {"models": None}))[1]["models"] is None
    assert await http("DELETE", one) == (204, None)
    status, read = await http("GET", one)
    assert (status, read["state"], "key" in read) == (200, "revoked", False)


async def test_a_gateway_is_registered_and_a_token_made_without_a_body(http: Http, plane: Plane) -> None:
    await plane.enter_owner()
    _, gateway = await http("POST", "/gateways", {"name": "Frankfurt"})
    status, token = await http("POST", f"/gateways/{gateway['id']}/enrolment-tokens")
    assert (status, token["state"]) == (201, "unused")
    assert token["environment"]["GATEHOUSE_ENROLMENT_TOKEN"] == token["token"]
    assert (await http("GET", f"/gateways/{gateway['id']}/nodes"))[1] == {"data": [], "next_cursor": None}


async def test_an_amount_that_is_no_text_is_refused_in_words_that_help(http: Http) -> None:
    for body, pointer, word in (
        ({"provider": "acme", "amounts": {"input_usd_per_mtok": 0.15}}, "/amounts/input_usd_per_mtok", '"0.15"'),
        ({"provider": "acme", "multiplier": 0.85}, "/multiplier", '"0.85"'),
        ({"provider": "acme", "multiplier": "1", "valid_from": "21.11.2026"}, "/valid_from", "2026-11-21"),
        ({"provider": "acme"}, "", "amounts, a multiplier, or both"),
        ({"provider": "nobody", "multiplier": "1"}, "/provider", "nobody"),
    ):
        status, problem = await http("POST", "/prices", body)
        assert (status, problem["pointer"]) == (400, pointer)
        assert word in problem["detail"]
    body = {"provider": "acme", "multiplier": "1", "valid_from": "2026-11-21"}
    assert (await http("POST", "/prices", body))[0] == 201
    status, problem = await http("POST", "/prices", body)
    assert (status, problem["pointer"]) == (409, "/valid_from")


def test_the_description_is_whole_and_names_each_operation_once(bare_plane: Plane) -> None:
    description = describe(all_routes(bare_plane), "1")
    operations = [operation for path in description["paths"].values() for operation in path.values()]
    names = Counter(operation["operationId"] for operation in operations)
    assert [name for name, count in names.items() if count > 1] == []
    credential = description["components"]["schemas"]["VirtualKeyCreate"]["properties"]["credential"]
    assert (credential["type"], credential["writeOnly"]) == ("object", True)
    assert "credential" not in description["components"]["schemas"]["VirtualKeyView"]["properties"]


async def test_what_is_wrong_is_told_in_words_and_at_each_place(http: Http, plane: Plane) -> None:
    """A pattern was told as it stands in the code, and of several places only the first."""
    body = {"id": "Own", "name": "", "base_url": "https://own.test", "refused": ["fine", "Top P"], "colour": "red"}
    status, told = await http("POST", "/providers", body)
    assert (status, told["pointer"]) == (400, "/id")
    assert told["detail"].startswith("only small letters a to z")
    assert told["detail"].endswith("(and 3 more)")
    assert {fault["pointer"]: fault["detail"].split(",")[0] for fault in told["errors"]} == {
        "/id": "only small letters a to z",
        "/name": "this must not be empty",
        "/refused/1": "a parameter's name is wanted here: small letters a to z",
        "/colour": "there is no field of this name here",
    }
    one = {"slug": "x", "name": "X", "provider": "acme", "credential": {"api_key": "", "key": 1}}
    status, told = await http("POST", f"/workspaces/{plane.workspace}/virtual-keys", one)
    assert (told["code"], told["pointer"]) == ("credential_invalid", "/credential/api_key")
    assert [fault["pointer"] for fault in told["errors"]] == ["/credential/api_key", "/credential/key"]
