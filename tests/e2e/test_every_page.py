"""Every page in both themes: axe finds nothing serious; what people write is shown and never run."""

from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from chaos.stack import OWNER, SIMULATOR, Stack, chat
from tests.e2e.panel import Panel
from tests.e2e.test_journeys import status

pytestmark = pytest.mark.asyncio(loop_scope="session")

IN_WORKSPACE = "workspace=workspace-0&range=1h"
PAGES = (
    f"/?{IN_WORKSPACE}",
    *(f"/analytics?{IN_WORKSPACE}&tab={tab}" for tab in ("overview", "cost", "latency", "errors", "tokens")),
    f"/analytics?{IN_WORKSPACE}&compare=previous",
    f"/requests?{IN_WORKSPACE}",
    f"/requests?{IN_WORKSPACE}&open={{record}}",
    f"/configs?{IN_WORKSPACE}",
    f"/configs/default?{IN_WORKSPACE}",
    f"/configs/default?{IN_WORKSPACE}&tab=changes",
    f"/configs/default?{IN_WORKSPACE}&tab=use",
    f"/virtual-keys?{IN_WORKSPACE}&open={{virtual_key}}",
    "/providers?open=simulator",
    f"/api-keys?{IN_WORKSPACE}&open={{api_key}}",
    "/gateways",
    "/gateways/{gateway}",
    "/gateways/{gateway}?tab=enrol",
    "/models?open=openai/gpt-4o",
    "/models?tab=prices&open={price}",
    "/workspaces",
    "/workspaces/{workspace}",
    "/workspaces/{workspace}?tab=members",
    "/members",
    "/members?tab=invitations",
    "/admin-keys?open={admin_key}",
    "/audit?open={audit}",
    "/settings",
    "/no-such-page",
)
DIALOGS = (
    (f"/api-keys?{IN_WORKSPACE}", "Make an API key"),
    (f"/virtual-keys?{IN_WORKSPACE}", "Add a virtual key"),
    ("/gateways", "Register a gateway"),
    ("/members", "Invite somebody"),
    ("/admin-keys", "Make an admin key"),
    ("/providers", "Add your own"),
    ("/models?tab=prices", "Add a price"),
    (f"/configs?{IN_WORKSPACE}", "Write a config"),
)
STRANGERS = ("/login", "/invite/some-token")

CORPUS = (
    "<script>window.ran = 1</script>",
    "<img src=x onerror='window.ran = 1'>",
    '"><svg onload=window.ran=1>',
    "javascript:window.ran=1//",
    "';window.ran=1;//",
    "{{constructor.constructor('window.ran=1')()}}",
    "${window.ran=1}",
    "<iframe srcdoc='<script>parent.ran=1</script>'></iframe>",
    "<a href='javascript:window.ran=1'>press</a>",
    "]]><!--<style>*{background:url(javascript:window.ran=1)}</style>",
    "<math><mtext><table><mglyph><style><img src=x onerror=window.ran=1>",
    "\u202e<b onmouseover=window.ran=1>x</b>",
)

THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
_THEME = "(theme) => document.documentElement.dataset.mantineColorScheme === theme"
_STILL = """async () => {
  // Colours that are on their way from one theme to the other are those of neither.
  for (let frame = 0; frame < 2; frame++) await new Promise((done) => requestAnimationFrame(done))
  const ending = document.getAnimations().filter((one) => one.effect.getComputedTiming().endTime !== Infinity)
  await Promise.allSettled(ending.map((one) => one.finished))
}"""
_HOVER = """() => {
  for (const each of document.querySelectorAll("#content *"))
    each.dispatchEvent(new MouseEvent("mouseover", { bubbles: true }))
}"""
_AXE = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] })
  return found.violations
    .filter((one) => one.impact === "serious" || one.impact === "critical")
    .map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`)
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ids(stack: Stack) -> AsyncIterator[dict[str, str]]:
    """Of something of each kind, so that details have something to show."""
    workspace = stack.workspaces[0]
    for model in ("sim-chat", "sim-error-503", "sim-slow-50"):
        await status(stack, workspace.api_key, chat(model=model))

    price = await stack.api.post("/api/v1/prices", {"provider": SIMULATOR, "model": "sim-chat", "multiplier": "0.9"})

    async def first(path: str) -> str:
        rows: list[dict[str, Any]] = (await stack.api.get(path, limit="1"))["data"]
        return rows[0]["id"] if rows else ""

    async def told() -> bool:
        return len((await stack.api.get("/api/v1/records", workspace=workspace.id))["data"]) > 2

    await stack.control_plane.until(told)
    yield {
        "workspace": workspace.id,
        "record": await first("/api/v1/records"),
        "virtual_key": await first(f"{workspace.path}/virtual-keys"),
        "api_key": await first(f"{workspace.path}/api-keys"),
        "gateway": await first("/api/v1/gateways"),
        "price": price["id"],
        "admin_key": await first("/api/v1/admin-keys"),
        "audit": await first("/api/v1/audit-logs"),
    }


_SETTLED = """() => document.querySelectorAll(".mantine-Skeleton-root").length === 0
  && !document.body.innerText.includes("Loading…")"""


async def settled(panel: Panel) -> None:
    """Until what was asked for is there."""
    await panel.page.wait_for_function(_SETTLED)


async def test_axe_finds_nothing_serious_on_any_page_in_either_theme(
    chromium: Browser, stack: Stack, ids: dict[str, str], axe: str
) -> None:
    found: dict[str, list[str]] = {theme: [] for theme in THEMES}
    screens = 0
    # What the test injects is no file of ours, so this one context takes it in spite of the policy.
    async with Panel.open(chromium, stack.control_plane_url, bypass_csp=True) as panel:

        async def look(place: str) -> None:
            nonlocal screens
            screens += 1
            await panel.page.evaluate(axe)
            for theme, violations in found.items():
                await panel.page.emulate_media(color_scheme=theme)
                await panel.page.wait_for_function(_THEME, arg=theme)
                await panel.page.evaluate(_STILL)
                violations.extend(f"{place}: {said}" for said in await panel.page.evaluate(_AXE))

        for path in STRANGERS:
            await panel.go(path)
            await settled(panel)
            await look(path)
        await panel.log_in(OWNER, stack.password)
        for path in PAGES:
            await panel.go(path.format(**ids))
            await settled(panel)
            await look(path)
        for path, button in DIALOGS:
            await panel.go(path)
            await settled(panel)
            await panel.button(button).first.click()
            await panel.page.get_by_role("dialog").wait_for()
            await look(f"{path}: {button}")
        await panel.go("/")
        await panel.press("?")
        await panel.page.get_by_role("dialog").wait_for()
        await look("keys")
        await panel.press("Escape", "Control+k")
        await panel.page.get_by_role("dialog", name="Palette").wait_for()
        await look("palette")
    for theme, violations in found.items():
        print(f"\naxe: {screens} screens, {theme}: {len(violations)} serious violations")
    assert found == {theme: [] for theme in THEMES}


async def test_axe_would_find_what_is_wrong(chromium: Browser, stack: Stack, axe: str) -> None:
    """The test above can fail."""
    async with Panel.open(chromium, stack.control_plane_url, bypass_csp=True) as panel:
        await panel.go("/login")
        await panel.page.evaluate("() => document.body.append(document.createElement('button'))")
        await panel.page.evaluate(axe)
        found = await panel.page.evaluate(_AXE)
    assert [said.split(":")[0] for said in found] == ["button-name"]


async def test_what_people_write_is_never_run(chromium: Browser, stack: Stack, ids: dict[str, str]) -> None:
    api = stack.api
    workspace = (await api.post("/api/v1/workspaces", {"slug": "corpus", "name": CORPUS[0]}))["id"]
    path = f"/api/v1/workspaces/{workspace}"
    secret = {"api_key": stack.simulator_key.reveal_text()}
    for number, text in enumerate(CORPUS):
        name = text[:200]
        # A `*` has a meaning in this one field, and stands at an end alone.
        await api.post(f"{path}/api-keys", {"name": name, "models": [name.replace("*", "")]})
        key = {"slug": f"vk-{number}", "name": name, "provider": "simulator", "credential": secret, "models": [name]}
        await api.post(f"{path}/virtual-keys", key)
        config = {"virtual_key": f"vk-{number}", "name": name, "override_params": {"model": text, text: text}}
        await api.post(f"{path}/configs", {"slug": f"pc-{number}", "name": name, "body": config})
        await api.post("/api/v1/gateways", {"name": name})
        await api.post("/api/v1/admin-keys", {"name": name, "scopes": ["configs.list"]})
        await api.post(
            "/api/v1/providers",
            {"id": f"xss-{number}", "name": name, "base_url": "https://x.test/v1", "models": [name]},
        )
        await api.post("/api/v1/prices", {"provider": "simulator", "model": name, "multiplier": "1"})
    plain = {"slug": "plain", "name": "Plain", "provider": "simulator", "credential": secret}
    await api.post(f"{path}/virtual-keys", plain)
    await api.patch(path, {"name": CORPUS[1], "settings": {"metadata_keys": list(CORPUS)}})
    key = (await api.post(f"{path}/api-keys", {"name": "caller"}))["key"]
    caller = {"x-portkey-metadata": '{"' + "<img src=x onerror='window.ran = 1'>" + '": "<svg onload=window.ran=1>"}'}

    async def answered() -> bool:
        return await status(stack, key, chat(model="@plain/sim-chat"), **caller) == 200

    await stack.nodes[0].program.until(answered)
    marked = {**ids, "workspace": workspace}
    async with Panel.open(chromium, stack.control_plane_url) as panel:
        panel.page.on("dialog", lambda dialog: panel.faults.append(f"a dialog: {dialog.message}"))
        await panel.log_in(OWNER, stack.password)
        ran = 0
        for page in (*PAGES, "/configs/pc-1?tab=changes", "/configs/pc-2", "/gateways/{gateway}"):
            address = page.format(**marked).replace("workspace-0", "corpus")
            await panel.go(address)
            await settled(panel)
            await panel.page.evaluate(_HOVER)
            ran += await panel.page.evaluate("() => (window.ran ? 1 : 0)")
            assert (
                await panel.page.evaluate(
                    "() => document.querySelectorAll('[onerror], [onload], [onmouseover]').length"
                )
                == 0
            )
        for text in CORPUS:
            # From the address and from the boxes too.
            await panel.page.goto(f"{panel.url}/models")
            await panel.heading()
            box = panel.page.get_by_label("Filter", exact=True)
            await box.fill(text)
            await box.press("Enter")
            await settled(panel)
            ran += await panel.page.evaluate("() => (window.ran ? 1 : 0)")
        print(f"\ntexts that would run: {len(CORPUS)} in every field, on {len(PAGES) + 3} screens: {ran} executions")
        assert ran == 0
        panel.check()
