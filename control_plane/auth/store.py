"""Accounts, sessions, the first-run code and an invitation's last moment, in the database.

Who logs in belongs to no organisation yet, so these statements run in transactions that see the whole instance.
"""

from collections.abc import Sequence

import asyncpg

# Accounts -------------------------------------------------------------------------------------------------------------


async def account_by_email(connection: asyncpg.Connection, email: str) -> asyncpg.Record | None:
    """`organisations`: ids of those the account belongs to, the oldest membership first."""
    return await connection.fetchrow(
        "select id, password_hash, array(select organisation from member where account = account.id"
        " order by created_at, organisation) as organisations from account where email = $1",
        email,
    )


async def password_hash(connection: asyncpg.Connection, account: str) -> str | None:
    hash_: str | None = await connection.fetchval("select password_hash from account where id = $1", account)
    return hash_


async def hold_account(connection: asyncpg.Connection, account: str, password_hash: str | None = None) -> bool:
    """Its password stays until the transaction ends, so that who changes it ends what is begun here. False if the hash
    is not `password_hash` any more.
    """
    held = await connection.fetchval(
        "select 1 from account where id = $1 and ($2::text is null or password_hash = $2) for share",
        account,
        password_hash,
    )
    return held is not None


async def replace_password(connection: asyncpg.Connection, account: str, before: str, after: str) -> bool:
    """False if the hash is not `before` any more."""
    changed = await connection.fetchval(
        "update account set password_hash = $3 where id = $1 and password_hash = $2 returning 1", account, before, after
    )
    return changed is not None


async def insert_account(
    connection: asyncpg.Connection, account: str, email: str, name: str, password_hash: str
) -> None:
    """Raises db.Clash for an address in use."""
    await connection.execute(
        "insert into account (id, email, name, password_hash) values ($1, $2, $3, $4)",
        account,
        email,
        name,
        password_hash,
    )


async def insert_member(connection: asyncpg.Connection, organisation: str, account: str, role: str) -> bool:
    """False if the account is a member already."""
    made = await connection.fetchval(
        "insert into member (organisation, account, role) values ($1, $2, $3) on conflict do nothing returning 1",
        organisation,
        account,
        role,
    )
    return made is not None


async def insert_workspace_members(
    connection: asyncpg.Connection, organisation: str, account: str, workspaces: Sequence[str], roles: Sequence[str]
) -> None:
    """Roles in those of the workspaces that are still there."""
    await connection.execute(
        "insert into workspace_member (organisation, workspace, account, role)"
        " select $1, workspace.id, $2, given.role from unnest($3::text[], $4::text[]) as given (workspace, role)"
        " join workspace on workspace.organisation = $1 and workspace.id = given.workspace",
        organisation,
        account,
        workspaces,
        roles,
    )


# Sessions -------------------------------------------------------------------------------------------------------------


async def insert_session(
    connection: asyncpg.Connection, token_hash: bytes, account: str, organisation: str, age_s_max: float
) -> None:
    await connection.execute(
        "insert into session (token_hash, account, organisation, expires_at)"
        " values ($1, $2, $3, now() + make_interval(secs => $4))",
        token_hash,
        account,
        organisation,
        age_s_max,
    )


async def live_session(
    connection: asyncpg.Connection, token_hash: bytes, idle_s_max: float, touch_s: float
) -> asyncpg.Record | None:
    """Who it is and what they are; `untouched`: whether `seen_at` is older than `touch_s`."""
    return await connection.fetchrow(
        "select session.account, session.organisation, member.role,"
        " session.seen_at < now() - make_interval(secs => $3) as untouched,"
        " (select coalesce(jsonb_object_agg(workspace, role), '{}') from workspace_member"
        "  where organisation = session.organisation and account = session.account) as workspaces"
        " from session join member using (organisation, account)"
        " where session.token_hash = $1 and session.expires_at > now()"
        " and session.seen_at > now() - make_interval(secs => $2)",
        token_hash,
        idle_s_max,
        touch_s,
    )


async def touch_session(connection: asyncpg.Connection, token_hash: bytes) -> None:
    await connection.execute("update session set seen_at = now() where token_hash = $1", token_hash)


async def session_view(connection: asyncpg.Connection, token_hash: bytes) -> asyncpg.Record | None:
    return await connection.fetchrow(
        "select account.id as account_id, account.email, account.name, session.organisation, session.expires_at"
        " from session join account on account.id = session.account where session.token_hash = $1",
        token_hash,
    )


async def memberships(connection: asyncpg.Connection, account: str) -> list[asyncpg.Record]:
    """id, name, role, and the roles in the organisation's workspaces; the oldest membership first."""
    rows: list[asyncpg.Record] = await connection.fetch(
        "select organisation.id, organisation.name, member.role,"
        " (select coalesce(jsonb_object_agg(workspace, role), '{}') from workspace_member"
        "  where organisation = member.organisation and account = member.account) as workspaces"
        " from member join organisation on organisation.id = member.organisation"
        " where member.account = $1 order by member.created_at, member.organisation",
        account,
    )
    return rows


async def end_session(connection: asyncpg.Connection, token_hash: bytes) -> bool:
    """False if there is none."""
    ended = await connection.fetchval("delete from session where token_hash = $1 returning 1", token_hash)
    return ended is not None


async def end_sessions(connection: asyncpg.Connection, account: str) -> None:
    """All of them, in every organisation."""
    await connection.execute("delete from session where account = $1", account)


async def sweep_sessions(connection: asyncpg.Connection, account: str, idle_s_max: float) -> None:
    """Those of the account that are over."""
    await connection.execute(
        "delete from session where account = $1"
        " and (expires_at <= now() or seen_at <= now() - make_interval(secs => $2))",
        account,
        idle_s_max,
    )


async def live_admin_key(connection: asyncpg.Connection, hash_: bytes) -> asyncpg.Record | None:
    return await connection.fetchrow(
        "select id, organisation, scopes from admin_key"
        " where hash = $1 and revoked_at is null and (expires_at is null or expires_at > now())",
        hash_,
    )


# First run ------------------------------------------------------------------------------------------------------------


async def set_first_run(connection: asyncpg.Connection, code_hash: bytes) -> bool:
    """False if there is an account already, and nothing is set."""
    made = await connection.fetchval(
        "update instance set first_run = $1 where not exists (select from account) returning 1", code_hash
    )
    return made is not None


async def first_run(connection: asyncpg.Connection) -> bytes | None:
    """The code's hash while the first owner is still to come."""
    code_hash: bytes | None = await connection.fetchval(
        "select first_run from instance where not exists (select from account)"
    )
    return code_hash


async def use_first_run(connection: asyncpg.Connection, code_hash: bytes) -> bool:
    """True once, for one transaction: the row's lock lets the others look when the code is gone."""
    used = await connection.fetchval(
        "update instance set first_run = null where first_run = $1 and not exists (select from account) returning 1",
        code_hash,
    )
    return used is not None


# Invitations ----------------------------------------------------------------------------------------------------------


async def open_invitation(connection: asyncpg.Connection, token_hash: bytes) -> asyncpg.Record | None:
    return await connection.fetchrow(
        "select id, organisation, email, role, workspaces from invitation"
        " where token_hash = $1 and accepted_at is null and expires_at > now()",
        token_hash,
    )


async def use_invitation(connection: asyncpg.Connection, id_: str) -> bool:
    """True once, for one transaction."""
    used = await connection.fetchval(
        "update invitation set accepted_at = now() where id = $1 and accepted_at is null and expires_at > now()"
        " returning 1",
        id_,
    )
    return used is not None
