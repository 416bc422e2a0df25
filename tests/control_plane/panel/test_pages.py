"""The panel as it is served: the page at every address that is nobody else's, assets for good, and the headers."""

import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from control_plane.panel import headers
from control_plane.panel.pages import OTHERS, Pages

SCRIPT = "console.log(1)"
PAGE = f'<meta property="csp-nonce" nonce="{headers.NONCE}"><script type="module" src="/assets/index-1.js"></script>'


@pytest.fixture
def built(tmp_path: Path) -> Path:
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(PAGE)
    (folder / "assets" / "index-1.js").write_text(SCRIPT)
    (folder / "assets" / "index-1.js.gz").write_bytes(gzip.compress(SCRIPT.encode()))
    (tmp_path / "secret.js").write_text("MARKER")
    return folder


@pytest.fixture
async def browser(built: Path) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    application = web.Application()
    Pages(built).add(application)
    async with TestClient(TestServer(application)) as client:
        yield client


def nonce_of(response: ClientResponse) -> str:
    found = re.search(r"style-src 'self' 'nonce-([\w-]+)'", response.headers["content-security-policy"])
    assert found is not None
    return found[1]


@pytest.mark.parametrize("path", ["/", "/login", "/gateways/gw_1?tab=enrol", "/invite/token", "/apis", "/v10"])
async def test_every_address_of_the_panel_is_the_page_itself(
    browser: TestClient[web.Request, web.Application], path: str
) -> None:
    response = await browser.get(path, allow_redirects=False)
    assert (response.status, response.content_type) == (200, "text/html")
    assert response.headers["cache-control"] == "no-store"
    assert (await response.text()).count(nonce_of(response)) == 1


@pytest.mark.parametrize("part", OTHERS)
async def test_what_belongs_to_others_is_not_the_page(
    browser: TestClient[web.Request, web.Application], part: str
) -> None:
    for path in (f"/{part}", f"/{part}/", f"/{part}/x/y"):
        assert (await browser.get(path)).status == 404


async def test_each_answer_has_a_nonce_of_its_own(browser: TestClient[web.Request, web.Application]) -> None:
    assert len({nonce_of(await browser.get("/")) for _ in range(5)}) == 5


async def test_no_inline_script_is_allowed(browser: TestClient[web.Request, web.Application]) -> None:
    policy = (await browser.get("/")).headers["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self'"
    assert rules["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy


async def test_the_other_headers_are_strict_everywhere(browser: TestClient[web.Request, web.Application]) -> None:
    for path in ("/", "/assets/index-1.js", "/assets/gone.js"):
        told = (await browser.get(path)).headers
        assert {name: told[name] for name in headers.EVERYWHERE} == headers.EVERYWHERE


@pytest.mark.parametrize("coding", ["gzip", "identity"])
async def test_an_asset_is_kept_for_good_and_sent_small(
    browser: TestClient[web.Request, web.Application], coding: str
) -> None:
    response = await browser.get("/assets/index-1.js", headers={"accept-encoding": coding})
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers.get("content-encoding", "identity") == coding
    assert response.content_type in ("text/javascript", "application/javascript")
    assert await response.text() == SCRIPT


@pytest.mark.parametrize("name", ["gone.js", "%2e%2e%2f%2e%2e%2fsecret.js", "..%2findex.html", ".hidden", "a%00b"])
async def test_nothing_but_assets_is_sent(browser: TestClient[web.Request, web.Application], name: str) -> None:
    response = await browser.get(f"/assets/{name}")
    assert response.status == 404
    assert response.headers["cache-control"] == "no-store"
    assert "MARKER" not in await response.text()


async def test_a_panel_that_is_not_built_says_which_command_builds_it(
    browser: TestClient[web.Request, web.Application], built: Path
) -> None:
    (built / "index.html").unlink()
    response = await browser.get("/")
    assert response.status == 503
    assert "./scripts/build-ui" in await response.text()
    (built / "index.html").write_text(PAGE)
    assert (await browser.get("/")).status == 200
