"""The HTTP side: who asks, what for, and the engine's answer in ClickHouse's form."""

import asyncio

import orjson
from aiohttp import BodyPartReader, web

from embedded.clickhouse import request
from embedded.clickhouse.engine import Answer, Engine
from embedded.clickhouse.limits import BODIES_BYTES_MAX, BODY_BYTES_MAX, BODY_S_MAX, FORM_FIELDS_MAX, REQUESTS_MAX
from embedded.clickhouse.login import Login
from embedded.clickhouse.refusal import (
    EngineError,
    Refusal,
    malformed,
    not_supported,
    unauthorised,
)
from embedded.clickhouse.request import Asked
from embedded.clickhouse.room import Body, Room


class Front:
    def __init__(self, engine: Engine, login: Login) -> None:
        self._engine = engine
        self._login = login
        self._room = Room(REQUESTS_MAX, BODY_BYTES_MAX, BODIES_BYTES_MAX)

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/ping", self._ping)
        app.router.add_post("/", self._post)
        return app

    async def _ping(self, _incoming: web.Request) -> web.Response:
        """The data folder was opened before anybody could connect: whoever is answered may ask."""
        return web.Response(text="Ok.\n")

    async def _post(self, incoming: web.Request) -> web.Response:
        try:
            if not self._login.admits(incoming.headers.get("authorization", "")):
                raise unauthorised()
            answer = await self._answer(incoming)
        except Refusal as refusal:
            return _told(refusal.status, refusal.code, str(refusal))
        except EngineError as error:
            return _told(500, error.code, str(error))
        headers = {
            "X-ClickHouse-Query-Id": answer.id,
            "X-ClickHouse-Summary": orjson.dumps(answer.summary).decode(),
            "X-ClickHouse-Timezone": self._engine.timezone,
        }
        if answer.format is not None:
            headers["X-ClickHouse-Format"] = answer.format
        return web.Response(body=answer.body, headers=headers, content_type="application/octet-stream")

    async def _answer(self, incoming: web.Request) -> Answer:
        with self._room.place() as body:
            asked, text = await self._read(incoming, body)
            return await self._run(asked, text)

    async def _read(self, incoming: web.Request, body: "Body") -> tuple[Asked, bytes]:
        """What is asked for, and the statement with its data."""
        try:
            async with asyncio.timeout(BODY_S_MAX):
                if incoming.content_type == "multipart/form-data":
                    asked = request.read([*incoming.query.items(), *await _form(incoming, body)])
                    return asked, asked.query.encode()
                asked = request.read(incoming.query.items())
                await body.take(incoming.content)
        except TimeoutError:
            raise malformed(f"the body had not come within {BODY_S_MAX:g} s") from None
        text = await body.plain(incoming.headers.get("content-encoding", "").strip().lower())
        if asked.query:
            text = asked.query.encode() + b"\n" + text
        if not text.strip():
            raise malformed("a statement is wanted, in the body or in `query`")
        return asked, text

    async def _run(self, asked: Asked, text: bytes) -> Answer:
        ticket = self._engine.hand_in(asked, text)
        try:
            return await asyncio.wrap_future(ticket.future)
        except asyncio.CancelledError:
            self._engine.drop(ticket)
            raise


async def _form(incoming: web.Request, body: Body) -> list[tuple[str, str]]:
    """The client sends parameters so when they are too long for an address."""
    fields: list[tuple[str, str]] = []
    async for part in await incoming.multipart():
        if not isinstance(part, BodyPartReader) or part.name is None or part.filename is not None:
            raise not_supported("external data are")
        if len(fields) == FORM_FIELDS_MAX:
            raise malformed(f"a form has at most {FORM_FIELDS_MAX} fields")
        value = bytearray()
        while piece := await part.read_chunk():
            body.add(piece)
            value += piece
        try:
            fields.append((part.name, value.decode()))
        except UnicodeDecodeError:
            raise malformed("the fields of a form are text in UTF-8") from None
    return fields


def _told(status: int, code: int, text: str) -> web.Response:
    headers = {"X-ClickHouse-Exception-Code": str(code)}
    if status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="ClickHouse"'
    return web.Response(status=status, text=text + "\n", headers=headers)
