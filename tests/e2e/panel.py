"""The panel as somebody uses it: by names that can be read, by the keyboard alone where that is tried."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Literal

from playwright.async_api import Browser, Locator, Page, expect

HANG_MS = 60_000
"""Ten times what anything here takes on a busy machine."""
expect.set_options(timeout=HANG_MS)
TABS_MAX = 120
_NAME = """() => {
  const on = document.activeElement
  if (!on) return ""
  const labels = [...(on.labels ?? [])].map((label) => label.innerText).join(" ")
  return (on.getAttribute("aria-label") || labels || on.innerText || on.getAttribute("placeholder") || "").trim()
}"""
_NOT_OURS = "Failed to load resource"
"""What a browser says of every answer from 400 on; the page shows those itself."""


class Panel:
    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.faults: list[str] = []
        page.set_default_timeout(HANG_MS)
        page.on("console", lambda message: self._said(message.type, message.text))
        page.on("pageerror", lambda error: self.faults.append(str(error)))

    @classmethod
    @asynccontextmanager
    async def open(
        cls, chromium: Browser, url: str, theme: Literal["light", "dark"] = "light", **options: Any
    ) -> "AsyncIterator[Panel]":
        size: Any = {"width": 1440, "height": 900}
        context = await chromium.new_context(viewport=size, color_scheme=theme, reduced_motion="reduce", **options)
        page = await context.new_page()
        try:
            yield cls(page, url)
        except BaseException:
            # What was to be seen when it failed says more than where it failed.
            picture = Path(gettempdir()) / f"panel-failure-{os.getpid()}.png"
            await page.screenshot(path=picture)
            print(f"\nthe page as it was: {picture}, {page.url}")
            raise
        finally:
            await context.close()

    def check(self) -> None:
        """Nothing failed in the page, and the policy refused nothing."""
        assert self.faults == [], self.faults

    def _said(self, type_: str, text: str) -> None:
        if type_ == "error" and not text.startswith(_NOT_OURS):
            self.faults.append(text)

    async def go(self, path: str, heading: str | None = None) -> None:
        await self.page.goto(self.url + path)
        await self.heading(heading)

    async def heading(self, name: str | None = None) -> None:
        """Until the page is there."""
        wanted = self.page.get_by_role("heading", level=1, name=name) if name else self.page.locator("h1")
        await wanted.first.wait_for()

    async def log_in(self, email: str, password: str) -> None:
        await self.page.goto(f"{self.url}/login")
        await self.page.get_by_label("E-mail address").fill(email)
        await self.page.locator("input[name=password]").fill(password)
        await self.page.get_by_role("button", name="Log in").click()
        await self.heading("Home")

    def button(self, name: str, *, exact: bool = True) -> Locator:
        return self.page.get_by_role("button", name=name, exact=exact)

    def row(self, text: str) -> Locator:
        return self.page.get_by_role("row").filter(has_text=text)

    async def secret(self) -> str:
        """What is shown this once."""
        shown = self.page.get_by_test_id("secret")
        await shown.wait_for()
        return await shown.inner_text()

    # By keyboard alone

    async def focused(self) -> str:
        name: str = await self.page.evaluate(_NAME)
        return name

    async def tab_to(self, name: str) -> None:
        """Press Tab until what has this name has the focus. Fails if it cannot be reached so."""
        seen = []
        for _ in range(TABS_MAX):
            if (now := await self.focused()).startswith(name):
                return
            seen.append(now)
            await self.page.keyboard.press("Tab")
        raise AssertionError(f"{name!r} cannot be reached with Tab; there were {seen}")

    async def choose(self, option: str) -> None:
        """Take it from the list that is open. As a person does, look what is marked before taking it: whenever the list
        is drawn anew nothing is.
        """
        wanted = self.page.get_by_role("option", name=option)
        await wanted.wait_for()
        for _ in range(TABS_MAX):
            await self.page.keyboard.press("ArrowDown")
            if await wanted.get_attribute("data-combobox-selected") is not None:
                await self.page.keyboard.press("Enter")
                return
        raise AssertionError(f"{option!r} cannot be chosen by keyboard")

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.page.keyboard.press(key)

    async def type(self, text: str) -> None:
        await self.page.keyboard.type(text)

    async def fill_by_keyboard(self, *fields: tuple[str, str]) -> None:
        """Labels and texts, in the order in which they stand."""
        for label, text in fields:
            await self.tab_to(label)
            await self.type(text)

    async def dialog_there(self) -> None:
        """Until one is open and has the focus."""
        inside = "() => document.activeElement?.closest('[role=\"dialog\"]') !== null"
        await self.page.wait_for_function(inside)

    async def dialog_gone(self) -> None:
        await expect(self.page.get_by_role("dialog")).to_have_count(0)
