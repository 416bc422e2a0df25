"""What the API refuses is told at its field, in words, until the field is edited."""

from dataclasses import dataclass

import pytest
from playwright.async_api import Locator, expect

from chaos.stack import Stack
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
    await expect(page.get_by_text(LETTERS)).to_be_visible()
    await expect(page.get_by_role("alert")).to_have_count(0)
