"""`/sync/v1`: what nodes call. Every request is signed by its node; refusals are problem documents."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import web

from control_plane.db.pool import Database
from control_plane.errors import Unauthenticated
from control_plane.snapshots.lease import GatewayGone, LeaseIssuer
from control_plane.sync import store
from control_plane.sync.authenticate import Node, NodeAuthenticator, Signed
from control_plane.sync.enrol import Enrolments, require_common_protocol
from control_plane.sync.notices import Notices
from control_plane.telemetry.ingest import Ingest
from control_plane.web import bodies
from control_plane.web.api import Api, parse_body
from shared.protocol import answer as answers
from shared.protocol.batch import PATH as RECORDS_PATH
from shared.protocol.enrolment import PATH as ENROL_PATH
from shared.protocol.heartbeat import HEARTBEAT_PATH, WATCH_PATH, Heartbeat, Question, Watch
from shared.protocol.request import BODY_BYTES_MAX

BODY_S_MAX = 300.0
"""As long as a node itself tries: a batch may come over a slow link."""
HEARTBEAT_MS = 30_000
JITTER = 0.1

T = TypeVar("T")


class SyncApi:
    def __init__(
        self,
        api: Api,
        database: Database,
        authenticator: NodeAuthenticator,
        enrolments: Enrolments,
        issuer: LeaseIssuer,
        notices: Notices,
        ingest: Ingest,
        chance: random.Random,
        *,
        body_s_max: float = BODY_S_MAX,
    ) -> None:
        """`notices` runs beside it. `body_s_max`: how long a body may take to come."""
        self._api = api
        self._database = database
        self._authenticator = authenticator
        self._enrolments = enrolments
        self._issuer = issuer
        self._notices = notices
        self._ingest = ingest
        self._chance = chance
        self._body_s_max = body_s_max

    def add(self, application: web.Application) -> None:
        application.router.add_post(ENROL_PATH, self._handler(self._enrol, bytes_max=bodies.STRANGERS_BYTES_MAX))
        for path, serve in (
            (HEARTBEAT_PATH, self._heartbeat),
            (WATCH_PATH, self._watch),
            (RECORDS_PATH, self._records),
        ):
            application.router.add_post(path, self._handler(serve, bytes_max=BODY_BYTES_MAX))

    def _handler(
        self, serve: Callable[[Signed, str], Awaitable[bytes]], *, bytes_max: int
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            async def known() -> None:
                await self._authenticator.require_enrolled(request.headers)

            async def answer(request_id: str) -> web.StreamResponse:
                body = await bodies.read(request, bytes_max=bytes_max, s_max=self._body_s_max, known=known)
                await self._notices.require_ready()
                told = await serve(Signed(request.method, request.path, request.headers, body), request_id)
                return web.Response(content_type="application/json", body=told)

            return await self._api.guarded(request, answer)

        return handle

    async def _enrol(self, signed: Signed, request_id: str) -> bytes:
        enrolment = await self._enrolments.enrol(signed, request_id)
        return enrolment.model_dump_json().encode()

    async def _heartbeat(self, signed: Signed, _: str) -> bytes:
        node = await self._authenticator.node(signed)
        heartbeat = await asyncio.to_thread(parse_body, signed.body, Heartbeat)
        async with self._database.tenant(node.organisation) as connection:
            told = heartbeat.model_dump(mode="json", exclude={"lease"})
            await store.save_heartbeat(connection, node.organisation, node.id, told)
        require_common_protocol(heartbeat.protocol)
        return await self._answer(node, heartbeat)

    async def _watch(self, signed: Signed, _: str) -> bytes:
        node = await self._authenticator.node(signed)
        watch = await asyncio.to_thread(parse_body, signed.body, Watch)
        await self._news(node, watch)
        await self._authenticator.require_still(node)
        return await self._answer(node, watch)

    async def _records(self, signed: Signed, _: str) -> bytes:
        node = await self._authenticator.node(signed)
        told = await self._ingest.deliver(node.organisation, node.gateway, node.id, signed.body)
        return told.model_dump_json().encode()

    async def _news(self, node: Node, watch: Watch) -> None:
        """Return when the node's state is not the newest any more, or the wait is over (GHS/1 15.2)."""
        deadline_s = asyncio.get_running_loop().time() + watch.wait_s
        # Waiting begins before the look, so that an edit in between wakes as well.
        with self._notices.waiting(node.organisation) as event:
            while not self._notices.ended and not await _known(self._issuer.has_news(node.gateway, watch)):
                try:
                    async with asyncio.timeout_at(deadline_s):
                        await event.wait()
                except TimeoutError:
                    return
                event.clear()

    async def _answer(self, node: Node, question: Question) -> bytes:
        next_ms = round(HEARTBEAT_MS * self._chance.uniform(1 - JITTER, 1 + JITTER))
        answer = await _known(self._issuer.answer(node.gateway, question, next_ms))
        return await asyncio.to_thread(answers.encode, answer)


async def _known(answer: Awaitable[T]) -> T:
    """Raises Unauthenticated for a gateway that was deleted meanwhile."""
    try:
        return await answer
    except GatewayGone:
        raise Unauthenticated("the gateway was deleted", code="gateway_unknown") from None
