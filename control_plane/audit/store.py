"""The audit log in the database: read only; each edit writes its own rows."""

from collections.abc import Mapping

import asyncpg

from control_plane.web.listing import Listing

LISTING = Listing(
    table="audit"
    " left join account on audit.actor_kind = 'account' and account.id = audit.actor"
    " left join admin_key on audit.actor_kind = 'admin_key' and admin_key.organisation = audit.organisation"
    " and admin_key.id = audit.actor",
    columns="audit.id, audit.at, audit.actor, audit.actor_kind, coalesce(account.email, admin_key.name) as actor_name,"
    " audit.action, audit.kind, audit.resource, audit.workspace, audit.revision, audit.before, audit.after,"
    " audit.request_id",
    text={"action": "audit.action", "actor_name": "coalesce(account.email, admin_key.name)"},
    exact={
        "id": "audit.id",
        "actor": "audit.actor",
        "actor_kind": "audit.actor_kind",
        "kind": "audit.kind",
        "resource": "audit.resource",
        "workspace": "audit.workspace",
        "request_id": "audit.request_id",
    },
    sort={
        "at": "audit.at",
        "action": "audit.action",
        "actor": "audit.actor",
        "kind": "audit.kind",
        "resource": "audit.resource",
        "workspace": "coalesce(audit.workspace, '')",
    },
    time={"at": "audit.at"},
    number={"revision": "audit.revision"},
    id="audit.id",
    default_sort="-at",
)


async def page(
    connection: asyncpg.Connection, organisation: str, query: Mapping[str, str]
) -> tuple[list[asyncpg.Record], str | None]:
    return await LISTING.page(connection, query, "audit.organisation = $1", (organisation,))
