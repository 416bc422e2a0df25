"""`python -m tests.e2e.screenshots`: pictures of a running stack: those of docs/panel.md, or every page to look at."""

import argparse
import asyncio
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
from playwright.async_api import Browser, Page

from embedded.demo.scene import WORKSPACE
from tests.e2e import browser

SETTLE_MS_MAX = 30_000
DRAWN_MS = 250
"""For charts, which draw themselves after what they draw has come."""
HEIGHT_PX = 900
WIDTHS_PX = (1440, 1024)
THEMES = ("light", "dark")
QUALITY = 0.82
IN_DOCS = {
    "light": ("home", "analytics-overview", "request", "config", "api-keys", "gateway", "models"),
    "dark": ("analytics-latency",),
}
SETTLED = """() => document.querySelector("h1") !== null
  && document.querySelectorAll(".mantine-Skeleton-root").length === 0
  && !/Loading…|Connecting/.test(document.body.innerText)"""
_AS_WEBP = """async ([png, quality]) => {
  const picture = new Image()
  picture.src = "data:image/png;base64," + png
  await picture.decode()
  const canvas = document.createElement("canvas")
  canvas.width = picture.naturalWidth
  canvas.height = picture.naturalHeight
  canvas.getContext("2d").drawImage(picture, 0, 0)
  return canvas.toDataURL("image/webp", quality).split(",")[1]
}"""


@dataclass(frozen=True, slots=True)
class Look:
    """How a page is looked at."""

    theme: Any
    width_px: int

    def file(self, name: str, ending: str) -> str:
        return f"{name}-{self.width_px}-{self.theme}.{ending}"


def pages(ids: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Names and addresses."""
    here = f"workspace={WORKSPACE}"
    busy = f"{here}&range=1h"
    yield "home", f"/?{here}"
    for tab in ("overview", "cost", "latency", "errors", "tokens"):
        yield f"analytics-{tab}", f"/analytics?{busy}&tab={tab}"
    yield "analytics-by-team", f"/analytics?{busy}&by=meta.team&compare=previous"
    yield "requests", f"/requests?{busy}"
    yield "requests-filtered", f"/requests?{busy}&filter=status>=400"
    yield "request", f"/requests?{busy}&open={ids['record']}"
    yield "configs", f"/configs?{here}"
    yield "config", f"/configs/answers?{here}"
    yield "config-changes", f"/configs/answers?{here}&tab=changes"
    yield "config-use", f"/configs/answers?{here}&tab=use"
    yield "virtual-keys", f"/virtual-keys?{here}"
    yield "virtual-key", f"/virtual-keys?{here}&open={ids['virtual_key']}"
    yield "providers", f"/providers?{here}"
    yield "api-keys", f"/api-keys?{here}&filter=state:active"
    yield "api-key", f"/api-keys?{here}&open={ids['api_key']}"
    yield "gateways", f"/gateways?{here}"
    yield "gateway", f"/gateways/{ids['gateway']}?{here}"
    yield "enrol", f"/gateways/{ids['gateway']}?{here}&tab=enrol"
    yield "models", f"/models?{here}&filter=provider:openai+type:chat&open=openai/gpt-4.1"
    yield "prices", f"/models?{here}&tab=prices"
    yield "workspaces", f"/workspaces?{here}"
    yield "workspace", f"/workspaces/{ids['workspace']}?{here}"
    yield "workspace-members", f"/workspaces/{ids['workspace']}?{here}&tab=members"
    yield "members", f"/members?{here}"
    yield "invitations", f"/members?{here}&tab=invitations"
    yield "admin-keys", f"/admin-keys?{here}"
    yield "audit", f"/audit?{here}"
    yield "audit-entry", f"/audit?{here}&open={ids['audit']}"
    yield "settings", f"/settings?{here}"
    yield "not-found", "/no-such-page"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/screenshots", description=__doc__)
    parser.add_argument("--state-dir", type=Path, default=Path(".gatehouse"), help="of the running stack")
    parser.add_argument("--output", type=Path, default=Path("docs/panel"))
    parser.add_argument("--every", action="store_true", help="every page, both widths, both themes, as PNG")
    parser.add_argument("--page", action="append", help="only this one; repeatable")
    parser.add_argument("--width", type=int, choices=WIDTHS_PX, help="only this one, in pixels")
    parser.add_argument("--theme", choices=THEMES, help="only this one")
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
    return asyncio.run(_all(path, run, options))


async def _all(path: str, run: Mapping[str, Any], options: argparse.Namespace) -> int:
    async with browser.chromium(path) as chromium:
        ids = await _ids(chromium, run)
        if not ids["record"]:
            print("there is nothing to show yet; ./scripts/demo-traffic sends requests", file=sys.stderr)
            return 1
        for theme in THEMES:
            for width_px in WIDTHS_PX if options.every else WIDTHS_PX[:1]:
                if theme != (options.theme or theme) or width_px != (options.width or width_px):
                    continue
                wanted = None if options.every else set(IN_DOCS[theme])
                if options.page:
                    wanted = set(options.page)
                await _take(chromium, run, options, Look(theme, width_px), ids, wanted)
    return 0


async def _ids(chromium: Browser, run: Mapping[str, Any]) -> dict[str, str]:
    """Of what is opened in the pictures; empty where there is none."""
    context = await chromium.new_context(extra_http_headers={"authorization": f"Bearer {run['admin_key']}"})

    async def first(path: str, **query: str) -> str:
        answer = await context.request.get(
            f"{run['control_plane_url']}/api/v1/{path}?{urlencode({'limit': 1, **query})}"
        )
        rows = (await answer.json()).get("data", []) if answer.ok else []
        return rows[0]["id"] if rows else ""

    workspace = await first("workspaces", filter=f"slug={WORKSPACE}")
    ids = {
        "workspace": workspace,
        "gateway": await first("gateways", sort="created_at"),
        "record": await first("records", filter="fallbacks>0 status:2xx", workspace=WORKSPACE),
        "virtual_key": await first(f"workspaces/{workspace}/virtual-keys", filter="slug=openai"),
        "api_key": await first(f"workspaces/{workspace}/api-keys", filter="state:active"),
        "audit": await first("audit-logs", filter="action=configs.create", sort="-at"),
    }
    await context.close()
    return ids


async def _take(
    chromium: Browser,
    run: Mapping[str, Any],
    options: argparse.Namespace,
    look: Look,
    ids: Mapping[str, str],
    wanted: set[str] | None,
) -> None:
    size: Any = {"width": look.width_px, "height": HEIGHT_PX}
    context = await chromium.new_context(viewport=size, color_scheme=look.theme, reduced_motion="reduce")
    dark_room, page = await context.new_page(), await context.new_page()
    # A page behind another draws nothing.
    await page.bring_to_front()
    page.on("console", lambda message: print(f"{message.type}: {message.text}") if message.type == "error" else None)
    page.on("pageerror", lambda error: print(f"fault: {error}"))
    url = run["control_plane_url"]

    async def shoot(name: str) -> None:
        if wanted is not None and name not in wanted:
            return
        for _ in range(2):  # What has come may ask for more: an editor, a chart.
            await page.wait_for_function(SETTLED, timeout=SETTLE_MS_MAX)
            await page.wait_for_timeout(DRAWN_MS)
        picture = await page.screenshot()
        if not options.every:
            picture = b64decode(await dark_room.evaluate(_AS_WEBP, [b64encode(picture).decode(), QUALITY]))
        file = options.output / look.file(name, "png" if options.every else "webp")
        file.write_bytes(picture)
        print(f"{file} ({len(picture) / 1000:.0f} kB)")

    await _log_in(page, url, run, shoot)
    for name, address in pages(ids):
        if wanted is None or name in wanted:
            await page.goto(url + address)
            await shoot(name)
    await context.close()


async def _log_in(page: Page, url: str, run: Mapping[str, Any], shoot: Any) -> None:
    await page.goto(f"{url}/login")
    await page.get_by_label("E-mail address").wait_for()
    await shoot("login")
    await page.get_by_label("E-mail address").fill(run["owner"]["email"])
    await page.locator("input[name=password]").fill(run["owner"]["password"])
    await page.get_by_role("button", name="Log in").click()
    await page.get_by_role("heading", name="Home").wait_for()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
