"""Who is asking: the account of a session cookie, or an admin key. Every guarded request passes here first."""

import hmac

from aiohttp import hdrs, web

from control_plane.auth import sessions, store
from control_plane.auth.origin import SAFE, OwnPages
from control_plane.data_keys import digest
from control_plane.db.pool import Database
from control_plane.errors import Forbidden, Invalid, Unauthenticated
from control_plane.permissions import GRANTABLE, ActorKind, Principal
from control_plane.web import portkey, session_cookie
from shared.crypto.api_keys import ADMIN_KEY, well_formed
from shared.crypto.secret import Secret

CSRF_HEADER = "x-gatehouse-csrf"


class SessionsAndAdminKeys:
    """The API's `Authenticator`. `public_url`: the panel's address where a proxy does not pass on its `Host`."""

    def __init__(self, database: Database, public_url: str | None) -> None:
        self._database = database
        self._own_pages = OwnPages(public_url)

    async def principal(self, request: web.Request) -> Principal:
        """Raises Unauthenticated; Forbidden for what another site's page may have sent; Invalid for two at once."""
        token = session_cookie.read(request)
        key = _bearer(request)
        if token is not None and key is not None:
            raise Invalid("both a session and an admin key were given; send one")
        if key is not None:
            return await self._admin_key(key)
        if token is None:
            raise Unauthenticated("log in, or send an admin key as `Authorization: Bearer gha_…`")
        async with self._database.instance() as connection:
            principal = await sessions.principal(connection, token)
        if request.method not in SAFE:
            self._own_pages.require(request)
            _require_csrf_token(request, token)
        return principal

    def require_own_page(self, request: web.Request) -> None:
        """Raises Forbidden for what another site's page makes a browser send."""
        self._own_pages.require(request)

    async def _admin_key(self, key: str) -> Principal:
        row = None
        if well_formed(key, ADMIN_KEY):
            async with self._database.instance() as connection:
                row = await store.live_admin_key(connection, digest(key))
        if row is None:
            raise Unauthenticated("this admin key is not known, or not any more", code="admin_key_unknown")
        scopes = frozenset(row["scopes"]) & GRANTABLE
        return Principal(ActorKind.ADMIN_KEY, row["id"], row["organisation"], scopes=scopes)


def _bearer(request: web.Request) -> str | None:
    """What stands behind `Bearer`; None without. Other schemes are a proxy's in front of us, and not read.

    On the original's paths also in its own header.
    """
    given = [value.split(None, 1) for value in request.headers.getall(hdrs.AUTHORIZATION, [])]
    keys = [parts[-1].strip() for parts in given if parts and parts[0].lower() == "bearer"]
    if request.path.startswith(portkey.PREFIX):
        keys += [value.strip() for value in request.headers.getall(portkey.KEY_HEADER, [])]
    if len(keys) > 1:
        raise Invalid("more than one admin key was given; send one")
    return keys[0] if keys else None


def _require_csrf_token(request: web.Request, token: Secret) -> None:
    given = request.headers.get(CSRF_HEADER, "").encode(errors="surrogateescape")
    if not hmac.compare_digest(given, sessions.csrf_token(token).encode()):
        raise Forbidden(
            f"the header `{CSRF_HEADER}` must hold the session's `csrf_token` (GET /api/v1/session)", code="csrf"
        )
