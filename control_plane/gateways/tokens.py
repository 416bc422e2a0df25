"""`/api/v1/gateways/{gateway}/enrolment-tokens`: one-use tokens that let one node each into a gateway."""

from datetime import datetime
from typing import Any, Literal

import asyncpg
from pydantic import Field

from control_plane.db.pool import Database
from control_plane.gateways import store
from control_plane.gateways.api import PATH, found
from control_plane.ids import Ids
from control_plane.references import require_held
from control_plane.snapshots.change import Change, Changes
from control_plane.web.listing import Page
from control_plane.web.route import Call, Route, View
from shared.protocol.enrolment import TOKEN_LIFE_S, new_token
from shared.protocol.node import node_id

_PATH = PATH + "/{gateway}/enrolment-tokens"


class EnrolmentTokenView(View):
    id: str
    gateway: str
    state: Literal["unused", "used", "expired", "used_again"]
    """`used_again`: somebody tried a token that had let another node in. It, or that node, is not yours."""
    created_by: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    node: str | None
    """The node it let in."""
    used_again_at: datetime | None


class EnrolmentTokenCreated(EnrolmentTokenView):
    token: str = Field(repr=False)
    """The token itself. This is the only time it is shown."""
    fingerprint: str
    """Of this control plane's signing key. It stands in the token, and the node trusts no other key."""
    environment: dict[str, str] = Field(repr=False)
    """What the node's environment needs; `GATEHOUSE_REDIS_URL` beside it where nodes share a Redis."""
    command: str


class EnrolmentTokenPage(Page[EnrolmentTokenView]):
    """One page of enrolment tokens."""


class EnrolmentTokens:
    def __init__(self, database: Database, changes: Changes, ids: Ids, *, fingerprint: str, public_url: str) -> None:
        """`fingerprint` of the signing key, `sha256:…`; `public_url` as gateways reach the control plane."""
        self._database = database
        self._changes = changes
        self._ids = ids
        self._fingerprint = fingerprint
        self._public_url = public_url

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                _PATH,
                "enrolment_tokens.list",
                self.list,
                "List enrolment tokens",
                answer=EnrolmentTokenPage,
                query=store.TOKENS.query,
            ),
            Route(
                "POST",
                _PATH,
                "gateways.enrol",
                self.create,
                "Make a one-use token for a new node",
                answer=EnrolmentTokenCreated,
                status=201,
            ),
        ]

    async def list(self, call: Call) -> EnrolmentTokenPage:
        async with self._database.tenant(call.principal.organisation) as connection:
            gateway = await found(connection, call)
            rows, cursor = await store.token_page(connection, call.principal.organisation, gateway.id, call.query)
        return EnrolmentTokenPage(data=tuple(EnrolmentTokenView(**_fields(row)) for row in rows), next_cursor=cursor)

    async def create(self, call: Call) -> EnrolmentTokenCreated:
        async with self._changes.open(call.principal, call.request_id) as change:
            gateway = await found(change.connection, call)
            await require_held(change.connection, call.principal)
            return await self.make(change, gateway.id)

    async def make(self, change: Change, gateway: str) -> EnrolmentTokenCreated:
        """A token, within an edit."""
        token = new_token(self._fingerprint)
        row = await store.insert_token(
            change.connection,
            change.organisation,
            gateway,
            self._ids.new("et"),
            change.principal.id,
            hash_=token.hash,
            life_s=TOKEN_LIFE_S,
        )
        change.record("gateways.enrol", "enrolment_token", row["id"], after={"gateway": gateway})
        text = token.text.reveal_text()
        return EnrolmentTokenCreated(
            **_fields(row),
            token=text,
            fingerprint=self._fingerprint,
            environment={"GATEHOUSE_CONTROL_PLANE_URL": self._public_url, "GATEHOUSE_ENROLMENT_TOKEN": text},
            command="python -m gateway",
        )


def _fields(row: asyncpg.Record) -> dict[str, Any]:
    return {**row, "node": None if row["used_by"] is None else node_id(row["used_by"])}
