"""Members in the database. Every statement names the organisation."""

from collections.abc import Mapping
from datetime import datetime

import asyncpg

from control_plane.web.listing import Listing

LISTING = Listing(
    table="member join account on account.id = member.account",
    columns="account.id, account.email, account.name, member.role, member.created_at, member.updated_at",
    text={"email": "account.email", "name": "account.name"},
    exact={"id": "account.id", "role": "member.role"},
    sort={
        "created_at": "member.created_at",
        "email": "account.email",
        "name": "account.name",
        "role": "member.role",
    },
    time={"created_at": "member.created_at"},
    id="account.id",
)
WORKSPACE_LISTING = Listing(
    table="workspace_member join account on account.id = workspace_member.account",
    columns="account.id, account.email, account.name, workspace_member.role, workspace_member.updated_at",
    text={"email": "account.email", "name": "account.name"},
    exact={"id": "account.id", "role": "workspace_member.role"},
    sort={"email": "account.email", "name": "account.name", "role": "workspace_member.role"},
    id="account.id",
    default_sort="email",
)


async def page(
    connection: asyncpg.Connection, organisation: str, query: Mapping[str, str]
) -> tuple[list[asyncpg.Record], str | None]:
    return await LISTING.page(connection, query, "member.organisation = $1", (organisation,))


async def find(connection: asyncpg.Connection, organisation: str, account: str) -> asyncpg.Record | None:
    return await connection.fetchrow(
        f"select {LISTING.columns} from {LISTING.table} where member.organisation = $1 and account.id = $2",  # noqa: S608
        organisation,
        account,
    )


async def lock(connection: asyncpg.Connection, organisation: str) -> None:
    """One edit of an organisation's members at a time, so that two owners cannot demote each other at once."""
    await connection.execute("select from organisation where id = $1 for no key update", organisation)


async def owners(connection: asyncpg.Connection, organisation: str) -> int:
    count: int = await connection.fetchval(
        "select count(*) from member where organisation = $1 and role = 'owner'", organisation
    )
    return count


async def set_role(connection: asyncpg.Connection, organisation: str, account: str, role: str) -> datetime:
    """When that was. Of one who is there."""
    updated_at: datetime = await connection.fetchval(
        "update member set role = $3, updated_at = now() where organisation = $1 and account = $2 returning updated_at",
        organisation,
        account,
        role,
    )
    return updated_at


async def end_sessions(connection: asyncpg.Connection, organisation: str, account: str) -> None:
    """Those in this organisation."""
    await connection.execute("delete from session where organisation = $1 and account = $2", organisation, account)


async def delete(connection: asyncpg.Connection, organisation: str, account: str) -> None:
    """Sessions and workspace roles go with it, by foreign key."""
    await connection.execute("delete from member where organisation = $1 and account = $2", organisation, account)


# In workspaces --------------------------------------------------------------------------------------------------------


async def workspace_page(
    connection: asyncpg.Connection, organisation: str, workspace: str, query: Mapping[str, str]
) -> tuple[list[asyncpg.Record], str | None]:
    where = "workspace_member.organisation = $1 and workspace_member.workspace = $2"
    return await WORKSPACE_LISTING.page(connection, query, where, (organisation, workspace))


async def find_there(
    connection: asyncpg.Connection, organisation: str, workspace: str, account: str, *, lock: bool = False
) -> asyncpg.Record | None:
    held = " for update of workspace_member" if lock else ""
    return await connection.fetchrow(
        f"select {WORKSPACE_LISTING.columns} from {WORKSPACE_LISTING.table}"  # noqa: S608
        f" where workspace_member.organisation = $1 and workspace_member.workspace = $2 and account.id = $3{held}",
        organisation,
        workspace,
        account,
    )


async def put_workspace_role(
    connection: asyncpg.Connection, organisation: str, workspace: str, account: str, role: str
) -> datetime:
    """When that was."""
    updated_at: datetime = await connection.fetchval(
        "insert into workspace_member (organisation, workspace, account, role) values ($1, $2, $3, $4)"
        " on conflict (workspace, account) do update set role = excluded.role, updated_at = now()"
        " where workspace_member.organisation = excluded.organisation returning updated_at",
        organisation,
        workspace,
        account,
        role,
    )
    return updated_at


async def delete_workspace_role(
    connection: asyncpg.Connection, organisation: str, workspace: str, account: str
) -> None:
    await connection.execute(
        "delete from workspace_member where organisation = $1 and workspace = $2 and account = $3",
        organisation,
        workspace,
        account,
    )
