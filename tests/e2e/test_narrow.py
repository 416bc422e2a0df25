"""On a phone: every page fits, and the pages are reached from a menu."""

import pytest
from playwright.async_api import ViewportSize, expect

from chaos.stack import Stack, chat
from tests.e2e.panel import Panel
from tests.e2e.test_every_page import DIALOGS
from tests.e2e.test_journeys import status

pytestmark = pytest.mark.asyncio(loop_scope="session")

PHONE = ViewportSize(width=390, height=844)
HERE = "?workspace=workspace-0"
PAGES = (
    "/",
    "/analytics",
    "/requests",
    "/configs",
    "/configs/default",
    "/virtual-keys",
    "/providers",
    "/api-keys",
    "/gateways",
    "/models",
    "/workspaces",
    "/members",
    "/admin-keys",
    "/audit",
    "/settings",
)
_CUT = """() => [...document.querySelectorAll('[role="dialog"] *')]
  .filter((on) => !on.closest("input, textarea, pre, svg, .mantine-VisuallyHidden-root") && on.clientWidth > 1)
  .filter((on) => on.scrollWidth > on.clientWidth + 1)
  .map((on) => `${on.tagName} ${on.className}: ${on.textContent}`.slice(0, 120))"""
_SUMS = """() => {
  const sums = [...document.querySelectorAll("[class*=_value]")]
  for (const on of sums) on.textContent = "$12,345.0012305"
  return sums.filter((on) => on.scrollWidth > on.clientWidth + 1).map((on) => on.className)
}"""
_OVER = "() => [...document.querySelectorAll('#root, main, header')].map((on) => on.scrollWidth - on.clientWidth)"


async def test_no_page_is_wider_than_a_phone(panel: Panel, stack: Stack) -> None:
    """The list of pages took half of it, and what did not fit beside that was cut off."""
    await panel.page.set_viewport_size(PHONE)
    for path in (*PAGES, f"/workspaces/{stack.workspaces[0].id}"):
        await panel.go(path + HERE)
        assert max(await panel.page.evaluate(_OVER)) <= 0, path


async def test_nothing_in_a_dialog_is_cut_off(panel: Panel) -> None:
    page = panel.page
    await page.set_viewport_size(PHONE)
    cut = {}
    for path, button in DIALOGS:
        await panel.go(path)
        await panel.button(button).first.click()
        await panel.dialog_there()
        cut[button] = await page.evaluate(_CUT)
    await panel.go("/")
    await page.keyboard.press("?")
    await panel.dialog_there()
    cut["?"] = await page.evaluate(_CUT)
    assert {name: found for name, found in cut.items() if found} == {}


async def test_a_secret_and_the_button_that_copies_it_are_whole(panel: Panel) -> None:
    await panel.page.set_viewport_size(PHONE)
    await panel.go(f"/api-keys{HERE}")
    await panel.button("Make an API key").first.click()
    dialog = panel.page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("Phone")
    await dialog.get_by_role("button", name="Make the key").click()
    await panel.secret()
    assert await panel.page.evaluate(_CUT) == []


async def test_no_sum_is_cut_off(panel: Panel, stack: Stack) -> None:
    """Of $0.0012305 one read $0.001."""

    async def recorded() -> bool:
        return bool((await stack.api.get("/api/v1/records", limit="1"))["data"])

    assert await status(stack, stack.workspaces[0].api_key, chat(model="sim-chat")) == 200
    await stack.control_plane.until(recorded)
    await panel.page.set_viewport_size(PHONE)
    await panel.go(f"/analytics{HERE}&tab=cost")
    await panel.page.locator("[class*=_value]").first.wait_for()
    assert await panel.page.evaluate(_SUMS) == []


async def test_what_is_long_stays_beside_what_it_is_about(panel: Panel, stack: Stack) -> None:
    """A token's id lay under its state."""
    await panel.page.set_viewport_size(PHONE)
    await panel.go(f"/gateways/{stack.nodes[0].gateway}?tab=enrol")
    await panel.page.get_by_text("Tokens made lately").wait_for()
    assert await panel.page.evaluate(_CUT.replace('[role="dialog"]', "dl")) == []


async def test_the_pages_are_in_a_menu_that_closes_behind_one(panel: Panel) -> None:
    page = panel.page
    await page.set_viewport_size(PHONE)
    pages = page.get_by_role("navigation", name="Pages")
    await expect(pages).to_be_hidden()
    await panel.button("Pages").click()
    await pages.get_by_role("link", name="API keys").click()
    await panel.heading("API keys")
    await expect(pages).to_be_hidden()
    await panel.row("Caller").click()
    details = page.get_by_role("complementary", name="Details")
    await expect(details).to_be_visible()
    assert (await details.bounding_box() or {}).get("width") == PHONE["width"]
    await page.keyboard.press("Escape")
    await expect(details).to_have_count(0)
