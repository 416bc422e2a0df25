"""How heavy the panel is: what a first visit loads, and a list of ten thousand rows. Figures are printed."""

import gzip
import re
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession
from playwright.async_api import Browser

from chaos.stack import Stack
from control_plane.panel.pages import BUILT
from tests.e2e.panel import Panel

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCRIPT_KB_MAX = 250
ROWS = 10_000
LONG_TASK_MS_MAX = 100

_SCROLL = """async (rows) => {
  const list = document.querySelector('[role="grid"]').parentElement
  const frame = () => new Promise((done) => requestAnimationFrame(done))
  const end = performance.now() + 120000
  const last = () => Math.max(...[...list.querySelectorAll("[data-index]")].map((row) => Number(row.dataset.index)))
  while (last() < rows - 1 && performance.now() < end) {
    list.scrollTop += 700
    await frame()
  }
  const reached = last()
  for (let step = 0; step < 120; step++) {
    list.scrollTop -= 4000
    await frame()
  }
  return reached
}"""


async def test_what_a_first_visit_loads_is_small() -> None:
    page = (BUILT / "index.html").read_text()
    names = re.findall(r'(?:src|href)="/assets/([^"]+\.js)"', page)
    assert names
    kilobytes = sum(len(gzip.compress((BUILT / "assets" / name).read_bytes(), 9)) for name in names) / 1000
    print(f"\ninitial script: {kilobytes:.0f} kB gzipped in {len(names)} files (at most {SCRIPT_KB_MAX})")
    assert kilobytes <= SCRIPT_KB_MAX


async def test_the_page_is_served_with_a_policy_that_allows_no_inline_script(stack: Stack) -> None:
    async with ClientSession() as session, session.get(stack.control_plane_url, allow_redirects=False) as answer:
        policy, page = answer.headers["content-security-policy"], await answer.text()
    assert answer.status == 200
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"\son\w+=", page) == []


def tasks_ms(trace: bytes) -> Iterator[float]:
    """Of the page's main thread: how long each kept the processor, so that a busy machine makes none of them longer."""
    events: list[dict[str, Any]] = orjson.loads(trace)["traceEvents"]
    named = (event for event in events if event["name"] == "thread_name")
    pages = {(event["pid"], event["tid"]) for event in named if event["args"]["name"] == "CrRendererMain"}
    for event in events:
        if event["name"].endswith("RunTask") and (event["pid"], event["tid"]) in pages:
            yield event.get("tdur", 0) / 1000


async def test_ten_thousand_rows_scroll_without_a_long_task(chromium: Browser, panel: Panel, stack: Stack) -> None:
    await stack.sql(
        "insert into audit (id, organisation, at, actor, actor_kind, action, kind, resource, request_id)"
        " select 'au_row_' || lpad(n::text, 6, '0'), $1, now() - n * interval '1 second', 'nobody', 'instance',"
        " 'configs.update', 'config', 'pc_' || n, 'rq_rows' from generate_series(1, $2) as n",
        stack.organisation,
        ROWS,
    )
    await panel.go("/audit?filter=request_id=rq_rows", "Audit")
    await panel.row("config").nth(1).wait_for()
    await chromium.start_tracing(page=panel.page, categories=["toplevel", "devtools.timeline"])
    try:
        last = await panel.page.evaluate(_SCROLL, ROWS)
    finally:
        tasks = sorted(tasks_ms(await chromium.stop_tracing()))
    drawn = await panel.page.locator("[data-index]").count()
    longest = f"longest task {tasks[-1]:.0f} ms of {len(tasks)} (at most {LONG_TASK_MS_MAX})"
    print(f"\n{ROWS} rows: {longest}, {drawn} rows drawn at once")
    assert last == ROWS - 1
    assert drawn < 100
    assert len(tasks) > ROWS / 100
    assert tasks[-1] <= LONG_TASK_MS_MAX
