"""`python -m tests.e2e.screenshots`: pictures of every page of a running stack, for docs/panel.md and to look at."""

import argparse
import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
from playwright.async_api import Browser, Page

from tests.e2e import browser

SETTLE_MS_MAX = 15_000
HEIGHT_PX = 900


def pages(run: Mapping[str, Any], ids: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Names and addresses."""
    busy = "workspace=demo&range=1h"
    yield "home", f"/?{busy}"
    for tab in ("overview", "cost", "latency", "errors", "tokens"):
        yield f"analytics-{tab}", f"/analytics?{busy}&tab={tab}"
    yield "requests", f"/requests?{busy}"
    yield "request", f"/requests?{busy}&open={ids['record']}"
    yield "configs", "/configs"
    yield "config", "/configs/default"
    yield "virtual-keys", "/virtual-keys"
    yield "providers", "/providers"
    yield "api-keys", "/api-keys"
    yield "gateways", "/gateways"
    yield "gateway", f"/gateways/{ids['gateway']}"
    yield "enrol", f"/gateways/{ids['gateway']}?tab=enrol"
    yield "models", "/models"
    yield "workspaces", "/workspaces"
    yield "workspace", f"/workspaces/{ids['workspace']}"
    yield "members", "/members"
    yield "invitations", "/members?tab=invitations"
    yield "admin-keys", "/admin-keys"
    yield "audit", "/audit"
    yield "settings", "/settings"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/screenshots", description=__doc__)
    parser.add_argument("--state-dir", type=Path, default=Path(".gatehouse"), help="of the running stack")
    parser.add_argument("--output", type=Path, default=Path("docs/panel"))
    parser.add_argument("--width", type=int, action="append", help="pixels; repeatable; 1440 by default")
    parser.add_argument("--theme", choices=["light", "dark"], action="append", help="repeatable; light by default")
    parser.add_argument("--page", action="append", help="only this one; repeatable")
    options = parser.parse_args(arguments)
    path = browser.find()
    if path is None:
        print("no chromium on the PATH; on Debian: apt-get install chromium", file=sys.stderr)
        return 1
    try:
        run = orjson.loads((options.state_dir / "run.json").read_bytes())
    except FileNotFoundError:
        print(f"nothing runs in {options.state_dir}; start it with ./scripts/up", file=sys.stderr)
        return 1
    options.output.mkdir(parents=True, exist_ok=True)
    asyncio.run(_all(path, run, options))
    return 0


async def _all(path: str, run: Mapping[str, Any], options: argparse.Namespace) -> None:
    async with browser.chromium(path) as chromium:
        for theme in options.theme or ["light"]:
            for width in options.width or [1440]:
                await take(chromium, run, options.output, theme, width, options.page)


async def take(
    chromium: Browser, run: Mapping[str, Any], folder: Path, theme: Any, width: int, only: Sequence[str] | None
) -> None:
    context = await chromium.new_context(viewport={"width": width, "height": HEIGHT_PX}, color_scheme=theme)
    page = await context.new_page()
    page.on("console", lambda message: print(f"{message.type}: {message.text}") if message.type == "error" else None)
    page.on("pageerror", lambda error: print(f"fault: {error}"))
    url = run["control_plane_url"]
    await page.goto(f"{url}/login")
    await shoot(page, folder, "login", theme, width, only)
    await page.get_by_label("E-mail address").fill(run["owner"]["email"])
    await page.locator("input[name=password]").fill(run["owner"]["password"])
    await page.get_by_role("button", name="Log in").click()
    await page.get_by_role("heading", name="Home").wait_for()
    headers = {"authorization": f"Bearer {run['admin_key']}"}
    api = (await chromium.new_context(extra_http_headers=headers)).request

    async def first(noun: str, **query: str) -> str:
        rows = (await (await api.get(f"{url}/api/v1/{noun}?{urlencode({'limit': 1, **query})}")).json())["data"]
        return rows[0]["id"] if rows else ""

    ids = {
        "gateway": await first("gateways", sort="created_at"),
        "workspace": await first("workspaces", sort="created_at"),
        "record": await first("records", filter="fallbacks>0 status:2xx"),
    }
    for name, address in pages(run, ids):
        if only and name not in only:
            continue
        await page.goto(url + address)
        await shoot(page, folder, name, theme, width, only)
    await context.close()


async def shoot(page: Page, folder: Path, name: str, theme: str, width: int, only: Sequence[str] | None) -> None:
    if only and name not in only:
        return
    await page.get_by_role("heading", level=1).first.wait_for(timeout=SETTLE_MS_MAX)
    await page.wait_for_load_state("networkidle", timeout=SETTLE_MS_MAX)
    await page.wait_for_timeout(300)
    file = folder / f"{name}-{width}-{theme}.png"
    await page.screenshot(path=file)
    print(file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
