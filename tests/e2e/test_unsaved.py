"""What was changed and not saved is not lost by leaving without a question, whichever way; nothing else ever asks."""

import json
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Dialog, Locator, expect

from chaos.stack import SIMULATOR, Stack
from tests.e2e.panel import Panel

pytestmark = pytest.mark.asyncio(loop_scope="session")

HERE = "workspace=workspace-0"
Way = Callable[[Panel], Awaitable[object]]


async def by_menu(panel: Panel) -> None:
    await panel.button("Your account").click()
    await panel.page.get_by_role("menuitem", name="Account & password").click()


WAYS: dict[str, Way] = {
    "a link": lambda panel: panel.page.get_by_role("link", name="Virtual keys").click(),
    "a link in the page": lambda panel: panel.page.locator("main").get_by_role("link", name="Workspaces").click(),
    "another tab": lambda panel: panel.page.get_by_role("tab", name="Members").click(),
    "back": lambda panel: panel.page.evaluate("history.back()"),
    "a key": lambda panel: panel.press("g", "r"),
    "the menu": by_menu,
}


def question(panel: Panel) -> Locator:
    return panel.page.get_by_role("dialog", name="Leave without saving?")


async def changed_settings(panel: Panel, stack: Stack) -> Locator:
    """The field that was changed, on the page of a workspace."""
    await panel.go("/workspaces", "Workspaces")
    await panel.page.get_by_role("row").filter(has_text="workspace-0").first.click()
    name = panel.page.get_by_role("textbox", name="Name", exact=True)
    await name.wait_for()
    assert stack.workspaces[0].id in panel.page.url
    await name.fill("Not saved")
    await name.blur()
    return name


@pytest.mark.parametrize("way", WAYS)
async def test_who_leaves_a_changed_form_is_asked_and_may_stay_or_go(panel: Panel, stack: Stack, way: str) -> None:
    name = await changed_settings(panel, stack)
    here = panel.page.url
    await WAYS[way](panel)
    await panel.dialog_there()
    assert await panel.focused() == "Stay here"
    await panel.press("Escape")
    await panel.dialog_gone()
    assert panel.page.url == here
    await expect(name).to_have_value("Not saved")

    await WAYS[way](panel)
    await panel.dialog_there()
    await panel.tab_to("Leave without saving")
    await panel.press("Enter")
    await panel.dialog_gone()
    await panel.page.wait_for_url(lambda url: url != here)
    await expect(panel.page.locator("input[value='Not saved']")).to_have_count(0)


async def test_a_reload_or_a_closed_tab_asks_in_the_browsers_own_way(panel: Panel, stack: Stack) -> None:
    asked: list[str] = []

    async def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        await dialog.dismiss()

    await changed_settings(panel, stack)
    panel.page.on("dialog", stay)
    await panel.page.close(run_before_unload=True)
    await expect(panel.page.get_by_role("textbox", name="Name", exact=True)).to_have_value("Not saved")
    assert asked == ["beforeunload"]


async def test_what_is_saved_or_as_it_was_asks_nothing(panel: Panel, stack: Stack) -> None:
    panel.page.on("dialog", lambda dialog: panel.faults.append(f"a dialog: {dialog.type}"))
    before = await stack.api.get(f"/api/v1/workspaces/{stack.workspaces[0].id}")
    name = await changed_settings(panel, stack)
    await name.fill(before["name"])
    await panel.page.get_by_role("link", name="Virtual keys").click()
    await panel.heading("Virtual keys")

    name = await changed_settings(panel, stack)
    await panel.button("Save").click()
    await panel.heading("Not saved")
    await panel.page.get_by_role("tab", name="Members").click()
    await expect(name).to_have_count(0)
    await panel.page.get_by_role("tab", name="Settings").click()
    await name.fill(before["name"])
    await panel.button("Save").click()
    await panel.heading(before["name"])
    await panel.page.reload()
    await panel.heading(before["name"])
    await panel.page.get_by_role("link", name="Virtual keys").click()
    await panel.heading("Virtual keys")


async def test_a_config_that_is_being_written_stays_with_its_workspace(panel: Panel, stack: Stack) -> None:
    """Its other tabs are the same page; another workspace has another config of this name, or none."""
    page, configs = panel.page, f"{stack.workspaces[0].path}/configs"
    await stack.api.post(configs, {"slug": "draft", "name": "Draft", "body": {"virtual_key": SIMULATOR}})
    other = await stack.api.post("/api/v1/workspaces", {"slug": "other-place", "name": "Other place"})
    await panel.go(f"/configs?{HERE}", "Configs")
    await page.wait_for_function("localStorage.getItem('gatehouse.workspace') === 'workspace-0'")
    await panel.go("/configs/draft", "Draft")  # The workspace is the one looked at last.
    editor = page.get_by_role("textbox", name="Config as JSON")
    written = json.dumps({"virtual_key": SIMULATOR, "request_timeout": 12_345})
    await editor.fill(written)
    await page.get_by_role("tab", name="Use it").click()
    await page.get_by_role("tab", name="Config", exact=True).click()
    await expect(editor).to_contain_text("12345")
    await page.get_by_role("combobox", name="Workspace").click()
    await page.get_by_role("option", name="Other place").click()
    await panel.button("Stay here").click()
    await panel.dialog_gone()
    await expect(editor).to_contain_text("12345")
    await panel.button("Save").click()
    await page.get_by_text("Saved. Gateways have it").wait_for()  # Its button is off while it is on the way, too.
    assert (await stack.api.get(f"{configs}/draft"))["body"]["request_timeout"] == 12_345

    await page.get_by_role("textbox", name="Slug").fill("draft-2")
    await panel.button("Save").click()
    await page.wait_for_url("**/configs/draft-2*")
    await page.get_by_role("textbox", name="Name", exact=True).fill("Unsaved, and deleted")
    await panel.button("More").click()
    await page.get_by_role("menuitem", name="Delete…").click()
    await page.get_by_role("textbox", name="Type draft-2").fill("draft-2")
    await panel.button("Delete").click()
    await panel.heading("Configs")
    await stack.api.delete(f"/api/v1/workspaces/{other['id']}")


async def test_who_logs_out_is_asked_before(panel: Panel) -> None:
    await panel.go("/settings", "Settings")
    name = panel.page.get_by_role("textbox", name="Name", exact=True)
    await name.fill("Not saved")
    await panel.button("Your account").click()
    await panel.page.get_by_role("menuitem", name="Log out").click()
    await panel.button("Stay here").click()
    await panel.dialog_gone()
    await expect(name).to_have_value("Not saved")
    await panel.button("Your account").click()
    await panel.page.get_by_role("menuitem", name="Log out").click()
    await panel.button("Leave without saving").click()
    await panel.heading("Log in")


async def test_a_stray_press_outside_takes_no_form_away_that_was_begun(panel: Panel) -> None:
    dialog = panel.page.get_by_role("dialog")
    await panel.go(f"/api-keys?{HERE}", "API keys")
    await panel.button("Make an API key").click()
    await dialog.get_by_label("Name").wait_for()
    await panel.page.mouse.click(5, 5)
    await panel.dialog_gone()
    await panel.button("Make an API key").click()
    await dialog.get_by_label("Name").click()
    await panel.type("Half a na")
    await panel.page.mouse.click(5, 5)
    await expect(dialog.get_by_label("Name")).to_have_value("Half a na")
    await panel.press("Escape")
    await panel.dialog_gone()
