"""Serves the built panel: assets under `/assets/`, and the page at every address that is not another part's."""

import asyncio
import re
import secrets
from pathlib import Path

from aiohttp import web

from control_plane.panel import headers

BUILT = Path(__file__).parents[1] / "ui" / "dist"
OTHERS = ("api", "assets", "livez", "metrics", "readyz", "sync", "v1")
"""First parts of addresses that are not the panel's."""
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_NONCE_BYTES = 18

_MISSING = """The panel is not built.

Build it with ./scripts/build-ui and reload this page. The API works without it: see /api.
"""


class Pages:
    """`built` is the folder that the build writes. It is looked at for each answer: a build needs no restart."""

    def __init__(self, built: Path = BUILT) -> None:
        self._page = built / "index.html"
        self._assets = built / "assets"

    def add(self, application: web.Application) -> None:
        application.router.add_get("/assets/{name}", self._asset)
        application.router.add_get("/", self._panel)
        application.router.add_get(f"/{{path:(?!(?:{'|'.join(OTHERS)})(?:/|$)).+}}", self._panel)

    async def _panel(self, _: web.Request) -> web.Response:
        """The one page. Which of its views is wanted stands in the address, and the page reads it there."""
        try:
            page = await asyncio.to_thread(self._page.read_text)
        except FileNotFoundError:
            plain = {**headers.PAGE, "content-security-policy": headers.PLAIN_POLICY}
            return web.Response(status=503, text=_MISSING, headers=plain)
        nonce = secrets.token_urlsafe(_NONCE_BYTES)
        told = {**headers.PAGE, "content-security-policy": headers.policy(nonce)}
        return web.Response(text=page.replace(headers.NONCE, nonce), content_type="text/html", headers=told)

    async def _asset(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        path = self._assets / name
        if not _NAME.fullmatch(name) or not await asyncio.to_thread(path.is_file):
            # A page from before an update asks for the assets it was built with; it loads anew (`src/main.tsx`).
            return web.Response(status=404, text="no such asset\n", headers=headers.PAGE)
        return web.FileResponse(path, headers=headers.ASSET)
