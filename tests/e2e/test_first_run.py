"""From nothing to the first request on the screen, by keyboard alone."""

import re

import pytest
from aiohttp import ClientSession
from playwright.async_api import Browser, expect

from chaos.stack import FIRST_RUN_CODE, SIMULATOR, Stack, chat
from tests.e2e.panel import Panel

pytestmark = pytest.mark.asyncio(loop_scope="session")

PASSWORD = "correct horse battery staple"


async def test_from_first_run_to_the_first_request_by_keyboard_alone(chromium: Browser, untaken: Stack) -> None:
    stack = untaken
    async with Panel.open(chromium, stack.control_plane_url) as panel:
        await panel.page.goto(panel.url)
        await panel.heading("Make the first owner")
        code = (stack.folder / "control_plane" / FIRST_RUN_CODE).read_text()
        await panel.fill_by_keyboard(
            ("One-use code", code),
            ("Organisation", "Keyboards"),
            ("Your name", "Kay"),
            ("E-mail address", "kay@example.com"),
            ("Password", PASSWORD),
        )
        await panel.press("Enter")
        await panel.heading("Home")
        await expect(panel.page.get_by_text("Make a workspace").first).to_be_visible()

        await panel.tab_to("Make a workspace")
        await panel.press("Enter")
        await panel.heading("Workspaces")
        await panel.tab_to("Make a workspace")
        await panel.press("Enter")
        await panel.dialog_there()
        await panel.fill_by_keyboard(("Name", "Team"), ("Slug", "team"))
        await panel.press("Enter")
        await panel.heading("Team")

        token = await _enrol(panel)
        gateway = panel.page.url.split("/gateways/")[1].split("?")[0]
        node = await stack.node(gateway, token=token)
        await expect(panel.page.get_by_text("It beats", exact=False)).to_be_visible()

        await panel.press("g", "p")
        await panel.heading("Providers")
        await panel.tab_to("Add your own")
        await panel.press("Enter")
        await panel.dialog_there()
        await panel.fill_by_keyboard(
            ("Id", SIMULATOR), ("Name", "Simulator"), ("Base URL", f"{stack.simulator_url}/v1")
        )
        await panel.press("Enter")
        await panel.dialog_gone()

        await panel.press("g", "v")
        await panel.heading("Virtual keys")
        await panel.press("c")
        await panel.dialog_there()
        await panel.tab_to("Provider")
        await panel.type(SIMULATOR)
        await panel.choose("Simulator")
        await panel.tab_to("API key")
        await panel.type(stack.simulator_key.reveal_text())
        await panel.press("Control+Enter")
        await panel.dialog_gone()
        await expect(panel.row(SIMULATOR).first).to_be_visible()

        await panel.press("g", "k")
        await panel.heading("API keys")
        await panel.press("c")
        await panel.dialog_there()
        await panel.tab_to("Name")
        await panel.type("Laptop")
        await panel.press("Enter")
        key = await panel.secret()
        assert re.fullmatch(r"gh_\w+", key)
        await panel.press("Escape")
        await panel.dialog_gone()

        await panel.press("g", "r")
        await panel.heading("Requests")
        await expect(panel.page.get_by_text("Waiting for requests", exact=False)).to_be_visible()
        await expect(panel.page.get_by_text("Live", exact=False)).to_be_visible()
        await node.program.until(lambda: _answered(node.port, key))
        await expect(panel.row("sim-chat").first).to_be_visible()

        # The details, and back.
        await panel.press("j", "Enter")
        await expect(panel.page.get_by_role("complementary", name="Details")).to_be_visible()
        await panel.press("Escape")
        await expect(panel.page.get_by_role("complementary", name="Details")).to_have_count(0)
        panel.check()


async def _enrol(panel: Panel) -> str:
    """Register a gateway; the token its wizard shows."""
    await panel.press("g", "w")
    await panel.heading("Gateways")
    await panel.press("c")
    await panel.dialog_there()
    await panel.tab_to("Name")
    await panel.type("cellar")
    await panel.press("Enter")
    await panel.heading("cellar")
    await panel.tab_to("Make a token")
    await panel.press("Enter")
    shown = panel.page.get_by_role("region", name="Shell")
    found = re.search(r"GATEHOUSE_ENROLMENT_TOKEN=(\S+)", await shown.inner_text())
    assert found is not None
    return found[1]


async def _answered(port: int, key: str) -> bool:
    """Whether a call is answered: the key may still be on its way to the gateway."""
    headers = {"authorization": f"Bearer {key}"}
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    async with (
        ClientSession() as session,
        session.post(url, json=chat(model="@simulator/sim-chat"), headers=headers) as got,
    ):
        return got.status == 200
