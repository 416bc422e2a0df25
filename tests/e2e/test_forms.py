"""What the API refuses is told at its field, in words, until the field is edited."""

import json
from dataclasses import dataclass

import pytest
from playwright.async_api import Locator, expect

from chaos.stack import SIMULATOR, Stack
from embedded.api_client import connected
from tests.e2e.panel import Panel

pytestmark = pytest.mark.asyncio(loop_scope="session")

HERE = "workspace=workspace-0"
LETTERS = "Only letters A to Z, digits, dots, dashes and underscores may stand here"


@dataclass(frozen=True, slots=True)
class Refused:
    """A form that is filled in, and what it says at which field."""

    page: str
    opener: str
    fields: tuple[tuple[str, str], ...]
    submit: str
    faults: tuple[tuple[str, str], ...]


FORMS = [
    Refused(
        "/workspaces",
        "Make a workspace",
        (("Name", "Team"), ("Slug", "a team")),
        "Make it",
        (("Slug", LETTERS),),
    ),
    Refused(f"/configs?{HERE}", "Write a config", (("Slug", "-first"),), "Save and edit", (("Slug", LETTERS),)),
    Refused(
        f"/api-keys?{HERE}",
        "Make an API key",
        (("Name", "Pattern"), ("Models", "gpt*4o")),
        "Make the key",
        (("Models", "“gpt*4o”: a `*` stands at the end of a pattern and nowhere else"),),
    ),
    Refused(
        "/gateways",
        "Register a gateway",
        (("Name", "prod"), ("Address", "ftp://gateway")),
        "Register",
        (("Address", "A scheme, a host and a port are wanted and nothing else"),),
    ),
    Refused(
        "/providers",
        "Add your own",
        (("Id", "Own One"), ("Name", "Own"), ("Base URL", "own.test/v1"), ("Header for the key", "X Key")),
        "Save",
        (
            ("Id", "Only small letters a to z, digits and dashes may stand here"),
            ("Base URL", "A URL begins with https:// or http://"),
            ("Header for the key", "A header's name is wanted here: small letters a to z"),
        ),
    ),
    Refused(
        "/members",
        "Invite somebody",
        (("E-mail address", f"{'a' * 250}@example.com"),),
        "Make the link",
        (("E-mail address", "At most 254 characters may stand here"),),
    ),
]


async def said(field: Locator) -> str:
    """What describes the field as wrong, for who sees it and for who has it read aloud."""
    await expect(field).to_have_attribute("aria-invalid", "true")
    words: str = await field.evaluate(
        "on => (on.getAttribute('aria-describedby') ?? '').split(' ')"
        ".map(id => document.getElementById(id)?.innerText ?? '').join(' ')"
    )
    return words


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.opener)
async def test_a_form_tells_what_is_wrong_at_its_field(panel: Panel, form: Refused) -> None:
    await panel.go(form.page)
    await panel.button(form.opener).first.click()
    dialog = panel.page.get_by_role("dialog")
    for label, text in form.fields:
        await dialog.get_by_label(label).first.fill(text)
    await dialog.get_by_role("button", name=form.submit).click()
    for label, words in form.faults:
        await expect(dialog.get_by_text(words)).to_be_visible()
        assert words in await said(dialog.get_by_label(label).first) or label == "Models"
    await expect(dialog.get_by_role("alert")).to_have_count(0)
    for label, words in form.faults:
        field = dialog.get_by_label(label).first
        if label == "Models":
            await field.press("Backspace")
        else:
            await field.fill("better@example.com")
        await expect(dialog.get_by_text(words)).to_have_count(0)


async def test_an_alias_that_cannot_be_is_told_in_its_row(panel: Panel, stack: Stack) -> None:
    await panel.go(f"/workspaces/{stack.workspaces[0].id}")
    page = panel.page
    for name in ("fast", "fast"):
        await panel.button("Add an alias").click()
        await page.get_by_label("Alias", exact=True).last.fill(name)
    await page.get_by_label("Model", exact=True).first.fill("sim-chat")
    await panel.button("Save").click()
    await expect(page.get_by_text("This alias stands here twice")).to_have_count(2)
    await page.get_by_label("Remove alias").last.click()
    await expect(page.get_by_text("This alias stands here twice")).to_have_count(0)
    await panel.button("Save").click()
    await expect(page.get_by_text("This must not be empty")).to_be_visible()
    await expect(page.get_by_role("alert")).to_have_count(0)


async def test_of_two_who_edit_a_workspace_neither_loses_a_thing_without_a_word(panel: Panel, stack: Stack) -> None:
    page, path = panel.page, f"/api/v1/workspaces/{stack.workspaces[0].id}"
    before = await stack.api.get(path)
    await panel.go(f"/workspaces/{stack.workspaces[0].id}")
    name = page.get_by_role("textbox", name="Name", exact=True)
    await name.fill("Renamed here")
    await stack.api.patch(path, {"settings": {**before["settings"], "record_mode": "anonymous"}})
    await panel.button("Save").click()
    told = page.get_by_role("alert").filter(has_text="Somebody else saved this while you edited it")
    await expect(told).to_contain_text("standard → anonymous")
    await panel.button("Save what I changed on top of it").click()
    await panel.heading("Renamed here")
    after = await stack.api.get(path)
    assert (after["name"], after["settings"]["record_mode"]) == ("Renamed here", "anonymous")

    await name.fill("Again")
    await stack.api.patch(path, {"name": before["name"], "settings": before["settings"]})
    await panel.button("Save").click()
    await expect(told).to_contain_text(f"Renamed here → {before['name']}")
    await panel.button("Give up my changes").click()
    await expect(name).to_have_value(before["name"])
    assert (await stack.api.get(path))["name"] == before["name"]


async def test_of_two_who_edit_a_config_the_second_is_told(panel: Panel, stack: Stack) -> None:
    page, configs = panel.page, f"{stack.workspaces[0].path}/configs"
    await stack.api.post(configs, {"slug": "both", "name": "Both", "body": {"virtual_key": SIMULATOR}})
    await panel.go(f"/configs/both?{HERE}", "Both")
    editor = page.get_by_role("textbox", name="Config as JSON")
    await editor.fill(json.dumps({"virtual_key": SIMULATOR, "retry": {"attempts": 2}}))
    await stack.api.patch(
        f"{configs}/both", {"name": "Theirs", "body": {"virtual_key": SIMULATOR, "request_timeout": 9_000}}
    )
    await panel.button("Save").click()
    told = page.get_by_role("alert")
    await expect(told).to_contain_text("Both → Theirs")
    await expect(told).to_contain_text("— → 9000")
    await panel.button("Save what I changed on top of it").click()
    await panel.heading("Theirs")
    await expect(told).to_have_count(0)
    row = await stack.api.get(f"{configs}/both")
    assert (row["name"], row["body"]) == ("Theirs", {"virtual_key": SIMULATOR, "retry": {"attempts": 2}})


async def test_of_two_who_give_somebody_a_role_the_second_is_told(panel: Panel, stack: Stack) -> None:
    """Whoever was taken out meanwhile came back, and whoever was added meanwhile lost what they were given."""
    page, there = panel.page, f"{stack.workspaces[0].path}/members"
    invited = await stack.api.post("/api/v1/invitations", {"email": "ada@example.com"})
    token = invited["path"].removeprefix("/invite/")
    async with connected(stack.control_plane_url) as other:
        body = {"token": token, "name": "Ada", "password": "correct horse battery"}
        ada = (await other.post("/api/v1/invitations/accept", body))["account"]["id"]
    await panel.go(f"/workspaces/{stack.workspaces[0].id}?tab=members")
    await panel.button("Add a member").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("combobox", name="Member").click()
    await page.get_by_role("option", name="Ada").click()
    await stack.api.put(f"{there}/{ada}", {"role": "admin"})
    await dialog.get_by_role("button", name="Give the role").click()
    await expect(dialog.get_by_text("They have a role here by now")).to_be_visible()
    await page.keyboard.press("Escape")
    role = page.get_by_role("combobox", name="Role of Ada")
    await expect(role).to_have_value("Admin")

    told = page.get_by_role("alert").filter(has_text="Somebody else changed the role of Ada meanwhile")
    await stack.api.put(f"{there}/{ada}", {"role": "manager"})
    await role.click()
    await page.get_by_role("option", name="Member", exact=True).click()
    await expect(told).to_contain_text("admin → manager")
    await expect(role).to_have_value("Manager")
    await panel.button("Save what I changed on top of it").click()
    await expect(role).to_have_value("Member")
    await expect(told).to_have_count(0)
    assert (await stack.api.get(f"{there}/{ada}"))["role"] == "member"

    await panel.go("/members", "Members")
    await stack.api.patch(f"/api/v1/members/{ada}", {"role": "admin"})
    await role.click()
    await page.get_by_role("option", name="Owner").click()
    await expect(told).to_contain_text("member → admin")
    await panel.button("Give up my changes").click()
    await expect(told).to_have_count(0)
    await expect(role).to_have_value("Admin")
    await stack.api.delete(f"/api/v1/members/{ada}")


async def test_a_provider_that_keys_are_stored_for_is_not_moved_and_says_why(panel: Panel, stack: Stack) -> None:
    page = panel.page
    await stack.api.post("/api/v1/providers", {"id": "kept", "name": "Kept", "base_url": "http://127.0.0.1:9/v1"})
    key = {"slug": "held", "name": "Held", "provider": "kept", "credential": {"api_key": "sk-held"}}
    await stack.api.post(f"{stack.workspaces[0].path}/virtual-keys", key)
    await panel.go("/providers?filter=built_in:false", "Providers")
    await panel.row("Kept").click()
    await panel.button("Change").click()
    await page.get_by_role("menuitem", name="Edit").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Base URL").fill("http://127.0.0.1:10/v1")
    await dialog.get_by_role("button", name="Save").click()
    assert "@held" in await said(dialog.get_by_label("Base URL"))
    await dialog.get_by_label("Base URL").fill("http://127.0.0.1:9/v2")
    await dialog.get_by_role("button", name="Save").click()
    await panel.dialog_gone()
