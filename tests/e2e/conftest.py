"""The real product as processes, and a headless Chromium in front of it."""

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from chaos.stack import OWNER, Stack, standing
from control_plane.panel.pages import BUILT
from tests.e2e import browser
from tests.e2e.panel import Panel


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """In CI a machine without a browser fails; elsewhere these tests are left out, and say so."""
    path = browser.find()
    if path is None:
        said = "THE PANEL IS NOT TRIED: no chromium on the PATH (on Debian: apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(said)
        print(f"\n{said}\n", flush=True)
        pytest.skip(said)
    if not (BUILT / "index.html").exists():
        pytest.fail("the panel is not built: run ./scripts/build-ui")
    return path


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium(chromium_path: str) -> AsyncIterator[Browser]:
    async with browser.chromium(chromium_path) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(chromium_path: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Furnished: an owner, a workspace with everything a call needs, a gateway with one node."""
    assert chromium_path
    async with standing(tmp_path_factory.mktemp("panel"), workers=1) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def untaken(chromium_path: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A control plane that still waits for its owner."""
    assert chromium_path
    async with standing(tmp_path_factory.mktemp("untaken"), workers=1, taken=False) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def panel(chromium: Browser, stack: Stack) -> AsyncIterator[Panel]:
    """Logged in as the owner, on the page Home. Afterwards: nothing was refused by the policy, nothing failed."""
    async with Panel.open(chromium, stack.control_plane_url) as opened:
        await opened.log_in(OWNER, stack.password)
        yield opened
        opened.check()


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core."""
    return (BUILT.parent / "node_modules" / "axe-core" / "axe.min.js").read_text()
