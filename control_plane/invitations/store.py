"""Invitations in the database. Every statement names the organisation."""

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from control_plane.web.listing import Listing

_STATE = "case when accepted_at is not null then 'accepted' when expires_at <= now() then 'expired' else 'open' end"
LISTING = Listing(
    table="invitation",
    columns=f"id, email, role, workspaces, {_STATE} as state, invited_by, created_at, expires_at, accepted_at",
    text={"email": "email"},
    exact={"id": "id", "role": "role", "state": _STATE, "invited_by": "invited_by"},
    sort={"created_at": "created_at", "expires_at": "expires_at", "email": "email"},
    time={"created_at": "created_at", "expires_at": "expires_at", "accepted_at": "accepted_at"},
)


async def page(
    connection: asyncpg.Connection, organisation: str, query: Mapping[str, str]
) -> tuple[list[asyncpg.Record], str | None]:
    return await LISTING.page(connection, query, "organisation = $1", (organisation,))


async def is_member(connection: asyncpg.Connection, organisation: str, email: str) -> bool:
    found = await connection.fetchval(
        "select 1 from member join account on account.id = member.account"
        " where member.organisation = $1 and account.email = $2",
        organisation,
        email,
    )
    return found is not None


async def insert(
    connection: asyncpg.Connection,
    organisation: str,
    id_: str,
    token_hash: bytes,
    email: str,
    role: str,
    workspaces: Sequence[Mapping[str, Any]],
    invited_by: str,
    age_s_max: float,
) -> asyncpg.Record:
    return await connection.fetchrow(
        "insert into invitation (id, organisation, token_hash, email, role, workspaces, invited_by, expires_at)"  # noqa: S608
        " values ($1, $2, $3, $4, $5, $6, $7, now() + make_interval(secs => $8))"
        f" returning {LISTING.columns}",
        id_,
        organisation,
        token_hash,
        email,
        role,
        workspaces,
        invited_by,
        age_s_max,
    )


async def delete(connection: asyncpg.Connection, organisation: str, id_: str) -> asyncpg.Record | None:
    """The invitation; None if it is not there, or was accepted."""
    return await connection.fetchrow(
        "delete from invitation where organisation = $1 and id = $2 and accepted_at is null"  # noqa: S608
        f" returning {LISTING.columns}",
        organisation,
        id_,
    )
