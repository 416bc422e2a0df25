"""`/api/v1/invitations`: links to send to people; how one is accepted stands in `auth/join.py`."""

import secrets
from datetime import datetime
from typing import Annotated, Any, Literal

import asyncpg
from pydantic import Field

from control_plane.data_keys import digest
from control_plane.db.pool import Database
from control_plane.errors import Conflict, Forbidden, Invalid, NotFound
from control_plane.ids import Ids
from control_plane.invitations import store
from control_plane.people import Email
from control_plane.permissions import (
    OrganisationRole,
    Principal,
    WorkspaceRole,
    may_give_role,
    may_give_workspace_role,
)
from control_plane.references import require_held, require_workspaces
from control_plane.snapshots.change import Changes
from control_plane.web.listing import Page
from control_plane.web.route import Body, Call, Route, View
from shared.models.noun import Id

_PATH = "/api/v1/invitations"
AGE_S_MAX = 7 * 24 * 3600.0
WORKSPACES_MAX = 200
_TOKEN_BYTES = 32


class WorkspacePlace(Body):
    workspace: Id
    role: WorkspaceRole


class InvitationCreate(Body):
    email: Email
    role: OrganisationRole = OrganisationRole.MEMBER
    workspaces: Annotated[tuple[WorkspacePlace, ...], Field(max_length=WORKSPACES_MAX)] = ()
    """Roles in workspaces from the first day on."""


class InvitationView(View):
    id: str
    email: str
    role: OrganisationRole
    workspaces: tuple[WorkspacePlace, ...]
    state: Literal["open", "accepted", "expired"]
    invited_by: str
    created_at: datetime
    expires_at: datetime
    accepted_at: datetime | None


class InvitationCreated(InvitationView):
    path: str = Field(repr=False)
    """Of the link, below the panel's address. Shown this once; whoever has it can use it, once."""


class InvitationPage(Page[InvitationView]):
    """One page of invitations."""


class Invitations:
    def __init__(self, database: Database, changes: Changes, ids: Ids) -> None:
        self._database = database
        self._changes = changes
        self._ids = ids

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                _PATH,
                "invitations.list",
                self.list,
                "List invitations",
                answer=InvitationPage,
                query=store.LISTING.query,
            ),
            Route(
                "POST",
                _PATH,
                "invitations.create",
                self.create,
                "Invite somebody; the link is shown once",
                InvitationCreate,
                InvitationCreated,
                201,
            ),
            Route("DELETE", _PATH + "/{invitation}", "invitations.delete", self.revoke, "Take an invitation back"),
        ]

    async def list(self, call: Call) -> InvitationPage:
        async with self._database.tenant(call.principal.organisation) as connection:
            rows, cursor = await store.page(connection, call.principal.organisation, call.query)
        return InvitationPage(data=tuple(InvitationView(**_fields(row)) for row in rows), next_cursor=cursor)

    async def create(self, call: Call) -> InvitationCreated:
        body = call.parsed(InvitationCreate)
        organisation = call.principal.organisation
        _check_roles(call.principal, body)
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        async with self._changes.open(call.principal, call.request_id) as change:
            connection = change.connection
            await require_held(connection, call.principal)
            await require_workspaces(connection, organisation, [p.workspace for p in body.workspaces], "/workspaces")
            if await store.is_member(connection, organisation, body.email):
                raise Conflict(f"{body.email} is a member already", code="already_member", pointer="/email")
            row = await store.insert(
                connection,
                organisation,
                self._ids.new("in"),
                digest(token),
                body.email,
                body.role,
                [place.model_dump(mode="json") for place in body.workspaces],
                call.principal.id,
                AGE_S_MAX,
            )
            view = InvitationView(**_fields(row))
            change.record("invitations.create", "invitation", view.id, after=_told(view))
        return InvitationCreated(**view.model_dump(), path=f"/invite/{token}")

    async def revoke(self, call: Call) -> None:
        async with self._changes.open(call.principal, call.request_id) as change:
            row = await store.delete(change.connection, call.principal.organisation, call.path["invitation"])
            if row is None:
                raise NotFound(f"no invitation {call.path['invitation']!r} that is still to be accepted")
            view = InvitationView(**_fields(row))
            change.record("invitations.delete", "invitation", view.id, before=_told(view))


def _check_roles(principal: Principal, body: InvitationCreate) -> None:
    """Nobody invites to more than they have. Raises Forbidden, Invalid."""
    if not may_give_role(principal, body.role):
        raise Forbidden(f"the role {body.role.value!r} is above your own", code="role_above_own", pointer="/role")
    seen: set[str] = set()
    for index, place in enumerate(body.workspaces):
        where = f"/workspaces/{index}"
        if place.workspace in seen:
            raise Invalid("this workspace is named twice", pointer=f"{where}/workspace")
        seen.add(place.workspace)
        if not may_give_workspace_role(principal, place.workspace, place.role):
            message = f"the role {place.role.value!r} there is above your own"
            raise Forbidden(message, code="role_above_own", pointer=f"{where}/role")


def _fields(row: asyncpg.Record) -> dict[str, Any]:
    return {name: row[name] for name in InvitationView.model_fields}


def _told(view: InvitationView) -> dict[str, Any]:
    return view.model_dump(mode="json", include={"email", "role", "workspaces"})
