"""What people do in the panel, and what becomes of it at the gateway."""

import asyncio
import json
from collections.abc import Mapping

import pytest
from aiohttp import ClientError, ClientSession
from playwright.async_api import Route, expect

from chaos.stack import SIMULATOR, Stack, chat, free_ports
from embedded.api_client import connected
from tests.e2e.panel import Panel

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOT_FOR_KEYS = ("/api/v1/session", "/api/v1/records/feed")
"""A person's own, and one without an end."""


async def status(stack: Stack, key: str, body: Mapping[str, object], **headers: str) -> int:
    """Of one call at the gateway; 0 without an answer."""
    url = f"http://127.0.0.1:{stack.nodes[0].port}/v1/chat/completions"
    told = {"authorization": f"Bearer {key}", **headers}
    try:
        async with ClientSession() as session, session.post(url, json=body, headers=told) as answer:
            return answer.status
    except ClientError:
        return 0


async def until_status(stack: Stack, wanted: int, key: str, body: Mapping[str, object], **headers: str) -> None:
    """An edit is on its way for about a second."""

    async def is_so() -> bool:
        return await status(stack, key, body, **headers) == wanted

    await stack.nodes[0].program.until(is_so)


async def test_a_revoked_key_is_refused(panel: Panel, stack: Stack) -> None:
    await panel.go("/api-keys?workspace=workspace-0", "API keys")
    await panel.button("Make an API key").click()
    dialog = panel.page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("Short-lived")
    await dialog.get_by_role("button", name="Make the key").click()
    key = await panel.secret()
    await panel.button("I have stored it").click()
    await until_status(stack, 200, key, chat(model="@simulator/sim-chat"))
    await panel.row("Short-lived").click()
    await panel.button("Change").click()
    await panel.page.get_by_role("menuitem", name="Revoke…").click()
    await panel.button("Revoke for good").click()
    await panel.dialog_gone()
    await until_status(stack, 401, key, chat(model="@simulator/sim-chat"))
    await expect(panel.row("Short-lived").get_by_text("revoked")).to_be_visible()


async def test_a_fallback_rescues_what_a_broken_provider_would_lose(panel: Panel, stack: Stack) -> None:
    workspace, secret = stack.workspaces[0], stack.simulator_key.reveal_text()
    body = {"slug": "primary", "name": "Primary", "provider": SIMULATOR, "credential": {"api_key": secret}}
    await stack.api.post(f"{workspace.path}/virtual-keys", body)

    # Written in the editor, with a mistake first: it is told where it stands.
    await panel.go("/configs?workspace=workspace-0", "Configs")
    await panel.button("Write a config").click()
    dialog = panel.page.get_by_role("dialog")
    await dialog.get_by_label("Slug").fill("rescue")
    await dialog.get_by_role("button", name="Save and edit").click()
    await panel.heading("rescue")
    wrong = {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "primary"}, {"virtual_key": "nowhere"}]}
    editor = panel.page.get_by_role("textbox", name="Config as JSON")
    await editor.fill(json.dumps(wrong, indent=2))
    await panel.button("Save").click()
    await expect(panel.page.get_by_role("alert")).to_contain_text("targets[1].virtual_key")
    await expect(panel.page.locator(".cm-lintRange-error")).to_contain_text("nowhere")
    await editor.fill(json.dumps(wrong, indent=2).replace("nowhere", SIMULATOR))
    await panel.button("Save").click()
    await panel.page.get_by_text("Saved. Gateways have it").wait_for()

    # Broken: from now on nobody answers where the first target is.
    await panel.go("/virtual-keys?workspace=workspace-0", "Virtual keys")
    await panel.row("Primary").click()
    await panel.button("Change").click()
    await panel.page.get_by_role("menuitem", name="Edit", exact=False).click()
    await dialog.get_by_label("API key").fill(secret)
    await dialog.get_by_label("Base URL").fill(f"http://127.0.0.1:{free_ports(1)[0]}/v1")
    await dialog.get_by_role("button", name="Save").click()
    await panel.dialog_gone()
    await until_status(stack, 502, workspace.api_key, chat(), **{"x-portkey-virtual-key": "primary"})
    await until_status(stack, 200, workspace.api_key, chat(), **{"x-portkey-config": "rescue"})

    await panel.go("/requests?workspace=workspace-0&filter=fallbacks>0+status:200", "Requests")
    row = panel.row("rescued").first
    await expect(row).to_be_visible()
    await row.click()
    details = panel.page.get_by_role("complementary", name="Details")
    await expect(details).to_contain_text("1 target was given up for the next")
    await expect(details).to_contain_text("Attempts (2)")
    await expect(details.get_by_role("link", name="rescue")).to_be_visible()


async def test_what_comes_between_the_list_and_the_feed_is_shown(panel: Panel, stack: Stack) -> None:
    key, model = stack.workspaces[0].api_key, "sim-slow-7"
    asked, let_go = asyncio.Event(), asyncio.Event()

    async def held(route: Route) -> None:
        asked.set()
        await let_go.wait()
        await route.continue_()

    await panel.page.route("**/api/v1/records/feed*", held)
    await panel.go(f"/requests?workspace=workspace-0&filter=model:{model}", "Requests")
    await expect(panel.page.get_by_text("No request is like that in this time")).to_be_visible()
    await asked.wait()
    await until_status(stack, 200, key, chat(model=f"@{SIMULATOR}/{model}"))

    async def recorded() -> bool:
        return bool((await stack.api.get("/api/v1/records", filter=f"model:{model}", limit="1"))["data"])

    await stack.control_plane.until(recorded)
    let_go.set()
    await expect(panel.row(model).first).to_be_visible()


async def test_a_price_written_in_the_panel_is_charged(panel: Panel, stack: Stack) -> None:
    workspace, model = stack.workspaces[0], "sim-slow-5"
    await panel.go("/models?tab=prices", "Models & prices")
    await panel.button("Add a price").first.click()
    dialog = panel.page.get_by_role("dialog")
    await dialog.get_by_label("Provider").first.fill("Simulator")
    await panel.page.get_by_role("option", name="Simulator").click()
    await dialog.get_by_label("Model").fill(model)
    await dialog.get_by_label("Input", exact=True).fill("not money")
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog).to_contain_text("An amount is wanted here, such as 0.15")
    await dialog.get_by_label("Input", exact=True).fill("1000000")
    await dialog.get_by_label("Output", exact=True).fill("0")
    await dialog.get_by_role("button", name="Save").click()
    await panel.dialog_gone()
    await expect(panel.row(model)).to_contain_text("$1000000")

    async def charged() -> bool:
        await status(stack, workspace.api_key, chat(model=f"@{SIMULATOR}/{model}"))
        rows = await stack.api.get("/api/v1/records", filter=f"model={model} cost>=1", limit="1")
        return bool(rows["data"])

    await stack.control_plane.until(charged)
    await panel.go(f"/requests?workspace=workspace-0&filter=model={model}+cost>=1", "Requests")
    await panel.row(model).first.click()
    details = panel.page.get_by_role("complementary", name="Details")
    await expect(details).to_contain_text("pr_")


async def test_what_a_host_does_otherwise_is_said_in_the_panel_and_stays(panel: Panel, stack: Stack) -> None:
    page = panel.page
    await panel.go("/providers?filter=built_in:false", "Providers")
    await panel.button("Add your own").click()
    dialog = page.get_by_role("dialog")
    for label, text in (("Id", "strict-host"), ("Name", "Strict host"), ("Base URL", "http://127.0.0.1:9/v1")):
        await dialog.get_by_label(f"{label} *", exact=True).fill(text)
    fields = dialog.get_by_label("Has no use for in messages")
    await expect(fields).to_be_hidden()
    await dialog.get_by_text("What its host does otherwise").click()
    await fields.fill("Not A Name")
    await fields.press("Enter")
    await dialog.get_by_role("button", name="Save").click()
    told = dialog.get_by_text("“Not A Name”: a parameter's name is wanted here")
    await expect(told).to_be_visible()
    await expect(dialog.get_by_role("alert")).to_have_count(0)
    await fields.press("Backspace")
    await expect(told).to_have_count(0)
    for label, text in (
        ("Has no use for in messages", "reasoning_content"),
        ("Would drop in silence", "seed"),
        ("Calls parameters otherwise", "top_k=k"),
    ):
        field = dialog.get_by_label(label, exact=True)
        await field.fill(text)
        await field.press("Enter")
    await dialog.get_by_role("switch", name="Takes a developer's messages").click(force=True)
    await dialog.get_by_role("button", name="Save").click()
    await panel.dialog_gone()
    said = {"ignored_in_messages": ["reasoning_content"], "refused": ["seed"], "renamed": {"top_k": "k"}, "ignored": []}
    said |= {"developer_role": False, "stream_usage": True, "cache_hints": False, "limit_name": "max_tokens"}
    saved = await stack.api.get("/api/v1/providers/strict-host")
    assert {name: saved[name] for name in said} == said

    await panel.row("strict-host").click()
    await expect(page.get_by_role("complementary", name="Details")).to_contain_text("reasoning_content")
    await panel.button("Change").click()
    await page.get_by_role("menuitem", name="Edit").click()
    await expect(dialog.get_by_label("Has no use for in messages")).to_be_visible()
    await dialog.get_by_label("Name *", exact=True).fill("Strict host, renamed")
    await dialog.get_by_role("button", name="Save").click()
    await panel.dialog_gone()
    saved = await stack.api.get("/api/v1/providers/strict-host")
    assert {name: saved[name] for name in said} == said


async def test_columns_are_as_wide_as_they_were_pulled_and_give_way_where_there_is_no_room(panel: Panel) -> None:
    page = panel.page
    await panel.go("/models", "Models & prices")
    headers = page.get_by_role("columnheader")
    await expect(headers.filter(has_text="Retires")).to_be_visible()
    edge = page.get_by_role("separator", name="Width of Model")
    before = await headers.first.evaluate("(head) => head.offsetWidth")
    await edge.focus()
    await panel.press("ArrowRight", "ArrowRight")
    assert await headers.first.evaluate("(head) => head.offsetWidth") == before + 32
    await page.reload()
    await panel.heading("Models & prices")
    await expect(edge).to_be_visible()
    assert await headers.first.evaluate("(head) => head.offsetWidth") == before + 32
    await edge.dblclick()
    await page.set_viewport_size({"width": 760, "height": 900})
    await expect(headers.filter(has_text="Retires")).to_have_count(0)
    await expect(headers.filter(has_text="Model")).to_be_visible()


async def test_an_invitation_lets_somebody_in_and_shows_them_their_workspace_alone(panel: Panel, stack: Stack) -> None:
    await panel.go("/members", "Members")
    await panel.button("Invite somebody").click()
    dialog = panel.page.get_by_role("dialog")
    await dialog.get_by_label("E-mail address").fill("guest@example.com")
    await dialog.get_by_role("button", name="Make the link").click()
    link = await panel.secret()
    assert panel.page.context.browser is not None
    async with Panel.open(panel.page.context.browser, stack.control_plane_url) as guest:
        await guest.page.goto(link)
        await guest.page.get_by_label("Your name").fill("Guest")
        await guest.page.locator("input[type=password]").fill("correct horse battery")
        await guest.button("Join").click()
        await guest.heading("Home")
        pages = guest.page.get_by_role("navigation", name="Pages")
        await expect(pages.get_by_role("link", name="API keys")).to_be_visible()
        await expect(pages.get_by_role("link", name="Members")).to_have_count(0)
        await expect(pages.get_by_role("link", name="Gateways")).to_have_count(0)
        guest.check()


async def test_an_address_brings_a_screen_back(panel: Panel) -> None:
    await panel.go("/models", "Models & prices")
    box = panel.page.get_by_label("Filter", exact=True)
    await box.fill("provider:openai type:chat")
    await box.press("Enter")
    await panel.page.get_by_role("button", name="Model").first.click()
    await panel.row("openai").first.click()
    await expect(panel.page.get_by_role("complementary", name="Details")).to_be_visible()
    address = panel.page.url
    shown = await panel.page.get_by_role("row").all_inner_texts()
    await panel.page.goto("about:blank")
    await panel.page.goto(address)
    await expect(panel.page.get_by_role("complementary", name="Details")).to_be_visible()
    assert await panel.page.get_by_role("row").all_inner_texts() == shown


async def test_what_is_refused_says_what_where_and_which_request(panel: Panel) -> None:
    await panel.go("/configs/never-was?workspace=workspace-0")
    alert = panel.page.get_by_role("alert")
    await expect(alert).to_contain_text("never-was")
    await expect(alert).to_contain_text("rq_")
    await expect(alert.get_by_role("button", name="Copy request id")).to_be_visible()


async def test_a_key_that_reads_everything_reads_records_and_analytics_too(panel: Panel, stack: Stack) -> None:
    await panel.go("/admin-keys", "Admin keys")
    await panel.button("Make an admin key").first.click()
    dialog = panel.page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("Reader")
    await dialog.get_by_role("button", name="Make the key").click()
    key = await panel.secret()
    headers = {"authorization": f"Bearer {key}"}
    refused = []
    description = await stack.api.get("/api/openapi.json")
    async with ClientSession() as session:
        for path, there in description["paths"].items():
            if (
                "get" not in there
                or "{" in path
                or not path.startswith("/api/")
                or path.endswith(("/feed", "/session"))
            ):
                continue
            async with session.get(stack.control_plane_url + path, headers=headers) as answer:
                if answer.status in (401, 403):
                    refused.append(path)
    assert refused == []


async def test_an_administrator_makes_a_key_that_may_all_they_may(panel: Panel, stack: Stack) -> None:
    """It was refused: the owner's own permission was among those of “everything”."""
    password = "correct horse battery"
    body = {"email": "grace@example.com", "role": "admin"}
    token = (await stack.api.post("/api/v1/invitations", body))["path"].removeprefix("/invite/")
    async with connected(stack.control_plane_url) as other:
        body = {"token": token, "name": "Grace", "password": password}
        grace = (await other.post("/api/v1/invitations/accept", body))["account"]["id"]
    await panel.page.context.clear_cookies()
    await panel.log_in("grace@example.com", password)
    await panel.go("/admin-keys", "Admin keys")
    await panel.button("Make an admin key").first.click()
    dialog = panel.page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("Pipeline")
    await dialog.get_by_text("All that you may").click()
    await dialog.get_by_role("button", name="Make the key").click()
    assert (await panel.secret()).startswith("gha_")
    await stack.api.delete(f"/api/v1/members/{grace}")


async def test_home_says_that_all_is_well_only_where_it_knows(panel: Panel, stack: Stack) -> None:
    well = panel.page.get_by_text("Gateways beat")
    await panel.page.route("**/api/v1/gateways?*", lambda route: route.fulfill(status=500, json={}))
    await panel.go("/", "Home")
    await expect(panel.page.get_by_text("the server answered 500").first).to_be_visible()
    await expect(well).to_have_count(0)


async def test_a_time_that_is_over_is_not_waited_for(panel: Panel) -> None:
    await panel.go("/requests?workspace=workspace-0&range=2026-01-01/2026-01-02", "Requests")
    await expect(panel.page.get_by_text("No request in this time")).to_be_visible()


async def test_who_has_no_role_anywhere_is_told_so_and_whom_to_ask(panel: Panel, stack: Stack) -> None:
    """Lists of a workspace's things were on their way for ever."""
    password = "correct horse battery"
    invited = await stack.api.post("/api/v1/invitations", {"email": "new@example.com"})
    body = {"token": invited["path"].removeprefix("/invite/"), "name": "New", "password": password}
    async with connected(stack.control_plane_url) as other:
        account = (await other.post("/api/v1/invitations/accept", body))["account"]["id"]
    await panel.page.context.clear_cookies()
    await panel.log_in("new@example.com", password)
    for path in ("/", "/analytics", "/requests", "/configs", "/configs/default", "/virtual-keys", "/api-keys"):
        await panel.go(path)
        await expect(panel.page.get_by_text("Ask an administrator of your organisation")).to_be_visible()
    await panel.go("/models", "Models & prices")
    await stack.api.delete(f"/api/v1/members/{account}")


async def test_examples_name_a_model_that_can_be_called(panel: Panel, stack: Stack) -> None:
    """They named the simulator's, whatever there was."""
    place = await stack.api.post("/api/v1/workspaces", {"slug": "examples", "name": "Examples"})
    key = {"slug": "ours", "name": "Ours", "provider": "anthropic", "credential": {"api_key": "sk-x"}}
    made = await stack.api.post(f"/api/v1/workspaces/{place['id']}/virtual-keys", key)
    await panel.go("/requests?workspace=examples", "Requests")
    example = panel.page.locator("pre")
    await expect(example).to_contain_text("@ours/claude")
    await panel.go(f"/virtual-keys?workspace=examples&open={made['id']}", "Virtual keys")
    await expect(example).to_contain_text("@ours/claude")
    await stack.api.delete(f"/api/v1/workspaces/{place['id']}/virtual-keys/ours")
    await stack.api.delete(f"/api/v1/workspaces/{place['id']}")
