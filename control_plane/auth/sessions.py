"""Sessions: a random token in the browser's cookie, its hash in the database, and a CSRF token derived from it.

The CSRF token is a MAC under the session's token: every tab of a browser gets the same one, only who holds the cookie
can make it, and nothing more is stored.
"""

import base64
import hmac
import secrets
from datetime import datetime

import asyncpg

from control_plane.auth import store
from control_plane.data_keys import digest
from control_plane.errors import Unauthenticated
from control_plane.permissions import ActorKind, OrganisationRole, Principal, WorkspaceRole
from control_plane.web import session_cookie
from control_plane.web.route import SessionReply, View
from shared.crypto.secret import Secret

IDLE_S_MAX = 12 * 3600.0
AGE_S_MAX = float(session_cookie.AGE_S_MAX)
TOUCH_S = 60.0
"""How old `seen_at` may get before a request writes it anew; reading rarely writes."""
_TOKEN_BYTES = 32
_CSRF = b"gatehouse csrf token"


class AccountView(View):
    id: str
    email: str
    name: str


class MembershipView(View):
    id: str
    name: str
    role: OrganisationRole


class SessionView(View):
    account: AccountView
    organisation: MembershipView
    """The one this session is about."""
    workspaces: dict[str, WorkspaceRole]
    """Roles in its workspaces, by id."""
    organisations: tuple[MembershipView, ...]
    """All that the account belongs to; `POST /api/v1/session/organisation` switches."""
    csrf_token: str
    """Goes into the header `x-gatehouse-csrf` of every request that changes something."""
    expires_at: datetime


def hashed(token: Secret) -> bytes:
    return digest(token.reveal_text())


def csrf_token(token: Secret) -> str:
    return base64.urlsafe_b64encode(hmac.digest(token.reveal(), _CSRF, "sha256")).decode().rstrip("=")


async def start(
    connection: asyncpg.Connection, account: str, organisation: str, *, before: Secret | None = None
) -> SessionReply:
    """A session under a fresh token. `before`, what the browser came with, ends: no token outlives a login."""
    await store.sweep_sessions(connection, account, IDLE_S_MAX)
    if before is not None:
        await store.end_session(connection, hashed(before))
    token = Secret(secrets.token_urlsafe(_TOKEN_BYTES))
    await store.insert_session(connection, hashed(token), account, organisation, AGE_S_MAX)
    return SessionReply(await view(connection, token), token)


async def principal(connection: asyncpg.Connection, token: Secret) -> Principal:
    """Raises Unauthenticated if the session is over, or never was."""
    row = await store.live_session(connection, hashed(token), IDLE_S_MAX, TOUCH_S)
    if row is None:
        raise ended()
    if row["untouched"]:
        await store.touch_session(connection, hashed(token))
    return Principal(
        ActorKind.ACCOUNT,
        row["account"],
        row["organisation"],
        OrganisationRole(row["role"]),
        {workspace: WorkspaceRole(role) for workspace, role in row["workspaces"].items()},
    )


async def view(connection: asyncpg.Connection, token: Secret) -> SessionView:
    """Raises Unauthenticated if the session is gone."""
    row = await store.session_view(connection, hashed(token))
    memberships = [] if row is None else await store.memberships(connection, row["account_id"])
    here = next((m for m in memberships if row is not None and m["id"] == row["organisation"]), None)
    if row is None or here is None:
        raise ended()
    return SessionView(
        account=AccountView(id=row["account_id"], email=row["email"], name=row["name"]),
        organisation=_membership(here),
        workspaces=here["workspaces"],
        organisations=tuple(_membership(m) for m in memberships),
        csrf_token=csrf_token(token),
        expires_at=row["expires_at"],
    )


def ended() -> Unauthenticated:
    return Unauthenticated("your session has ended; log in again", code="session_ended")


def _membership(row: asyncpg.Record) -> MembershipView:
    return MembershipView(id=row["id"], name=row["name"], role=row["role"])
