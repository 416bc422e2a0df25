"""The control plane's API as any client speaks it: JSON there and back, lists whole, refusals by name."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout, CookieJar

ANSWER_S_MAX = 60.0
JSON = {"content-type": "application/json"}

Row = dict[str, Any]


class ApiError(Exception):
    """A request was refused, or nobody answered. The text names it and holds nothing that was sent."""

    def __init__(self, request: str, detail: str, *, status: int = 0, code: str = "") -> None:
        super().__init__(f"{request}: {detail}")
        self.status = status
        """0: there was no answer."""
        self.code = code


@dataclass(frozen=True, slots=True)
class ApiClient:
    """Every method raises ApiError."""

    _session: ClientSession
    _headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def sending(self, headers: Mapping[str, str]) -> "ApiClient":
        """The same client, which sends these with every request."""
        return replace(self, _headers={**self._headers, **headers})

    async def get(self, path: str, **query: str) -> Row:
        return await self._call("GET", path, query=query)

    async def post(self, path: str, body: Row | None = None) -> Row:
        return await self._call("POST", path, body)

    async def patch(self, path: str, body: Row) -> Row:
        return await self._call("PATCH", path, body)

    async def put(self, path: str, body: Row) -> Row:
        return await self._call("PUT", path, body)

    async def delete(self, path: str) -> None:
        await self._call("DELETE", path)

    async def found(self, path: str) -> Row | None:
        """One row; None if there is none."""
        try:
            return await self.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def rows(self, path: str, **query: str) -> AsyncIterator[Row]:
        """Every row of a list, page after page."""
        while True:
            page = await self.get(path, **query)
            for row in page["data"]:
                yield row
            if page["next_cursor"] is None:
                return
            query["cursor"] = page["next_cursor"]

    async def _call(
        self, method: str, path: str, body: Row | None = None, query: Mapping[str, str] | None = None
    ) -> Row:
        request = f"{method} {path}"
        data = None if body is None else orjson.dumps(body)
        headers = {**self._headers, **(JSON if body is not None else {})}
        try:
            async with self._session.request(method, path, params=query, data=data, headers=headers) as response:
                answer = await response.read()
                if response.ok:
                    row: Row = orjson.loads(answer) if answer else {}
                    return row
                status = response.status
        except (ClientError, TimeoutError) as error:
            raise ApiError(request, f"no answer ({type(error).__name__})") from None
        try:
            problem = orjson.loads(answer)
            raise ApiError(request, f"{status} {problem['detail']}", status=status, code=problem["code"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise ApiError(request, f"status {status}", status=status) from None


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[ApiClient]:
    """A client of the control plane at `url`. It keeps cookies, as a browser does."""
    jar, timeout = CookieJar(unsafe=True), ClientTimeout(total=ANSWER_S_MAX)  # Unsafe: also of an address in digits.
    async with ClientSession(url, cookie_jar=jar, timeout=timeout) as session:
        yield ApiClient(session)
