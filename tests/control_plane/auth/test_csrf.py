"""What another site's page can make a browser send: nothing that changes anything."""

import ssl
from itertools import product

import pytest
from aiohttp.test_utils import make_mocked_request

from control_plane.auth.authenticator import CSRF_HEADER
from control_plane.auth.origin import OwnPages
from control_plane.errors import Forbidden
from tests.fixtures.people import PASSWORD, PUBLIC_URL, Browser, People

PATH = "/api/v1/organisation"
ORIGINS = {
    None: True,
    "own": True,
    PUBLIC_URL: True,
    "https://evil.example": False,
    "http://house.example": False,
    "https://house.example:8443": False,
    "https://house.example.evil.example": False,
    "http://127.0.0.1:1": False,
    "null": False,
    "": False,
    "https://house.example:port": False,
}
TOKENS = ("right", "wrong", "of another session", "missing")


async def admin_key(owner: Browser, *scopes: str) -> str:
    made = await owner.ok("POST", "/api/v1/admin-keys", {"name": "robot", "scopes": scopes})
    return str(made["key"])


async def test_a_session_changes_things_only_with_its_own_token_from_its_own_page(people: People) -> None:
    owner, other = await people.owner(), await people.browser()
    await other.ok("POST", "/api/v1/login", {"email": "owner@example.com", "password": PASSWORD})
    tokens = {
        "right": owner.session["csrf_token"],
        "wrong": owner.session["csrf_token"][::-1],
        "of another session": other.session["csrf_token"],
    }
    for (origin, own), token in product(ORIGINS.items(), TOKENS):
        headers = {CSRF_HEADER: tokens[token]} if token in tokens else {}
        if origin is not None:
            headers["Origin"] = people.url if origin == "own" else origin
        name = f"{origin} {token}"
        answer = await owner.send("PATCH", PATH, {"name": name}, headers)
        allowed = own and token == "right"
        assert answer.status == (200 if allowed else 403), name
        assert ((await owner.ok("GET", PATH))["name"] == name) is allowed, name
        if not allowed:
            assert answer.code == ("csrf" if own else "origin_forbidden")


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_reading_needs_no_token(people: People, origin: str) -> None:
    owner = await people.owner()
    assert (await owner.send("GET", PATH, headers={"Origin": origin})).status == 200


async def test_an_admin_key_needs_no_token(people: People) -> None:
    key = await admin_key(await people.owner(), "organisation.read", "organisation.update")
    program = await people.browser()
    headers = {"Authorization": f"Bearer {key}"}
    assert (await program.send("PATCH", PATH, {"name": "Renamed"}, headers)).status == 200


async def test_every_route_that_changes_something_refuses_a_session_without_a_token(people: People) -> None:
    owner = await people.owner()
    changing = [route for route in people.routes if route.method != "GET" and not route.public]
    assert len(changing) > 12
    for route in changing:
        refused = await owner.send(route.method, route.path.replace("{", "").replace("}", ""), {}, {"accept": "*/*"})
        assert (refused.status, refused.code) == (403, "csrf"), route.path


async def test_another_sites_page_cannot_log_anybody_in_or_use_a_link(people: People) -> None:
    await people.owner()
    browser = await people.browser()
    public = [route for route in people.routes if route.public and route.method == "POST"]
    assert len(public) == 3
    for route in public:
        refused = await browser.send("POST", route.path, {}, {"Origin": "https://evil.example"})
        assert (refused.status, refused.code) == (403, "origin_forbidden"), route.path


async def test_the_token_stays_the_same_in_every_tab_and_dies_with_its_session(people: People) -> None:
    owner = await people.owner()
    first = owner.session["csrf_token"]
    assert (await owner.ok("GET", "/api/v1/session"))["csrf_token"] == first
    await owner.ok("POST", "/api/v1/login", {"email": "owner@example.com", "password": PASSWORD})
    assert owner.session["csrf_token"] != first
    assert (await owner.send("PATCH", PATH, {"name": "x"}, {CSRF_HEADER: first})).code == "csrf"


@pytest.mark.parametrize(
    ("encrypted", "origin", "own"),
    [
        (False, "http://gate.example", True),
        (False, "https://gate.example", True),  # TLS ended in a proxy that passes `Host` on.
        (False, "https://gate.example:443", True),
        (False, "http://gate.example:443", False),
        (True, "https://gate.example", True),
        (True, "http://gate.example", False),  # Somebody on the way plays the plain site.
        (False, "ftp://gate.example", False),
    ],
)
def test_own_means_this_host_and_never_a_weaker_scheme(encrypted: bool, origin: str, own: bool) -> None:
    context = ssl.create_default_context() if encrypted else None
    headers = {"Host": "gate.example", "Origin": origin}
    request = make_mocked_request("POST", "/api/v1/login", headers=headers, sslcontext=context)
    if own:
        OwnPages(None).require(request)
    else:
        with pytest.raises(Forbidden):
            OwnPages(None).require(request)
