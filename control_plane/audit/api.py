"""`/api/v1/audit-logs`."""

from datetime import datetime
from typing import Any

import asyncpg

from control_plane.audit import store
from control_plane.db.pool import Database
from control_plane.web.listing import Page
from control_plane.web.route import Call, Route, View


class AuditView(View):
    id: str
    at: datetime
    actor: str
    """Id of the account or admin key, or `instance`."""
    actor_kind: str
    actor_name: str | None
    """The account's e-mail address or the key's name, as they are now."""
    action: str
    """The permission it took, `configs.update`."""
    kind: str
    resource: str
    """Its id."""
    workspace: str | None
    revision: int | None
    """Of the shard that gateways follow, where the change concerned them."""
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    request_id: str


class AuditPage(Page[AuditView]):
    """One page of the audit log, the newest first."""


class Audit:
    def __init__(self, database: Database) -> None:
        self._database = database

    def routes(self) -> list[Route]:
        path = "/api/v1/audit-logs"
        return [
            Route(
                "GET", path, "audit_logs.list", self.list, "Who did what", answer=AuditPage, query=store.LISTING.query
            )
        ]

    async def list(self, call: Call) -> AuditPage:
        async with self._database.tenant(call.principal.organisation) as connection:
            rows, cursor = await store.page(connection, call.principal.organisation, call.query)
        return AuditPage(data=tuple(_view(row) for row in rows), next_cursor=cursor)


def _view(row: asyncpg.Record) -> AuditView:
    return AuditView(**{name: row[name] for name in AuditView.model_fields})
