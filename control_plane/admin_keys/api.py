"""`/api/v1/admin-keys`."""

from datetime import UTC, datetime
from typing import Annotated, Any

import asyncpg
from pydantic import AwareDatetime, Field, WithJsonSchema

from control_plane.admin_keys import store
from control_plane.data_keys import digest
from control_plane.db.pool import Database
from control_plane.errors import Forbidden, Invalid, NotFound
from control_plane.ids import Ids
from control_plane.permissions import GRANTABLE, ActorKind, Principal, may
from control_plane.references import end_delegations, require_held
from control_plane.snapshots.change import Changes
from control_plane.web.listing import Page
from control_plane.web.route import Body, Call, Route, View
from shared.clock import Clock
from shared.crypto.api_keys import ADMIN_KEY, new_api_key

_PATH = "/api/v1/admin-keys"
EXPIRY_MS_MAX = 10 * 366 * 24 * 3600 * 1000
TAIL_CHARS = 4


Scope = Annotated[str, WithJsonSchema({"type": "string", "enum": sorted(GRANTABLE)})]


class AdminKeyCreate(Body):
    name: str = Field(min_length=1, max_length=200)
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1, max_length=len(GRANTABLE))]
    """Permissions, as each route of this description names its own."""
    expires_at: AwareDatetime | None = None
    """Within ten years, and not after the key that makes it; None: never."""


class AdminKeyView(View):
    id: str
    name: str
    tail: str
    """The key's last characters, by which to recognise it."""
    scopes: tuple[str, ...]
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class AdminKeyCreated(AdminKeyView):
    key: str = Field(repr=False)
    """Shown this once."""


class AdminKeyPage(Page[AdminKeyView]):
    """One page of admin keys."""


class AdminKeys:
    def __init__(self, database: Database, changes: Changes, ids: Ids, clock: Clock) -> None:
        self._database = database
        self._changes = changes
        self._ids = ids
        self._clock = clock

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                _PATH,
                "admin_keys.list",
                self.list,
                "List admin keys",
                answer=AdminKeyPage,
                query=store.LISTING.query,
            ),
            Route(
                "POST",
                _PATH,
                "admin_keys.create",
                self.create,
                "Make an admin key; it is shown once",
                AdminKeyCreate,
                AdminKeyCreated,
                201,
            ),
            Route("DELETE", _PATH + "/{admin_key}", "admin_keys.delete", self.revoke, "Revoke an admin key"),
        ]

    async def list(self, call: Call) -> AdminKeyPage:
        async with self._database.tenant(call.principal.organisation) as connection:
            rows, cursor = await store.page(connection, call.principal.organisation, call.query)
        return AdminKeyPage(data=tuple(_view(row) for row in rows), next_cursor=cursor)

    async def create(self, call: Call) -> AdminKeyCreated:
        body = call.parsed(AdminKeyCreate)
        check_scopes(call.principal, body.scopes)
        self._check_expiry(body.expires_at)
        key = new_api_key(ADMIN_KEY).reveal_text()
        async with self._changes.open(call.principal, call.request_id) as change:
            await require_held(change.connection, call.principal)
            await _require_own_life(change.connection, call.principal, body.expires_at)
            row = await store.insert(
                change.connection,
                call.principal.organisation,
                self._ids.new("ak"),
                body.name,
                digest(key),
                key[-TAIL_CHARS:],
                sorted(set(body.scopes)),
                call.principal.id,
                body.expires_at,
            )
            view = _view(row)
            change.record("admin_keys.create", "admin_key", view.id, after=_told(view))
        return AdminKeyCreated(**view.model_dump(), key=key)

    async def revoke(self, call: Call) -> None:
        async with self._changes.open(call.principal, call.request_id) as change:
            row = await store.revoke(change.connection, call.principal.organisation, call.path["admin_key"])
            if row is None:
                raise NotFound(f"no admin key {call.path['admin_key']!r} that still works")
            await end_delegations(change.connection, call.principal.organisation, row["id"])
            view = _view(row)
            change.record("admin_keys.delete", "admin_key", view.id, before=_told(view))

    def _check_expiry(self, expires_at: datetime | None) -> None:
        now_ms = self._clock.wall_ms()
        if expires_at is None:
            return
        if not _moment(now_ms) < expires_at <= _moment(now_ms + EXPIRY_MS_MAX):
            raise Invalid("a time to come, within ten years", pointer="/expires_at")


def check_scopes(principal: Principal, scopes: tuple[str, ...]) -> None:
    """A key may do what its maker may do everywhere, and nothing that is personal. Raises Invalid, Forbidden."""
    for index, scope in enumerate(scopes):
        if scope not in GRANTABLE:
            known = ", ".join(sorted(GRANTABLE))
            raise Invalid(f"no scope {scope!r}; there are {known}", pointer=f"/scopes/{index}")
        if not may(principal, scope, None):
            message = f"you may not do {scope!r} yourself"
            raise Forbidden(message, code="scope_above_own", pointer=f"/scopes/{index}")


async def _require_own_life(connection: asyncpg.Connection, principal: Principal, expires_at: datetime | None) -> None:
    """A key outlives the one that made it as little as it may do more. Raises Forbidden."""
    if principal.kind is not ActorKind.ADMIN_KEY:
        return
    own = await store.expiry(connection, principal.organisation, principal.id)
    if own is not None and (expires_at is None or expires_at > own):
        message = f"your own key ends at {own.isoformat()}: name that time or an earlier one"
        raise Forbidden(message, code="expiry_beyond_own", pointer="/expires_at")


def _moment(wall_ms: int) -> datetime:
    return datetime.fromtimestamp(wall_ms / 1000, UTC)


def _view(row: asyncpg.Record) -> AdminKeyView:
    return AdminKeyView(**{name: row[name] for name in AdminKeyView.model_fields})


def _told(view: AdminKeyView) -> dict[str, Any]:
    return view.model_dump(mode="json", include={"name", "tail", "scopes", "expires_at"})
