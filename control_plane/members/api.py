"""`/api/v1/members` and `/api/v1/workspaces/{workspace}/members`: who belongs where, as what."""

from datetime import datetime

import asyncpg

from control_plane.db.pool import Database
from control_plane.errors import NotFound
from control_plane.members import store
from control_plane.members.roles import check_change, check_workspace_change
from control_plane.permissions import OrganisationRole, WorkspaceRole, outranks
from control_plane.references import end_delegations, require_held, require_held_there, require_workspace
from control_plane.snapshots.change import Changes
from control_plane.web.listing import Page
from control_plane.web.route import Body, Call, Route, View

_PATH = "/api/v1/members"
_WORKSPACE_PATH = "/api/v1/workspaces/{workspace}/members"


class MemberUpdate(Body):
    role: OrganisationRole


class MemberView(View):
    id: str
    """Of the account."""
    email: str
    name: str
    role: OrganisationRole
    created_at: datetime
    """When they joined."""
    updated_at: datetime
    """When they got this role."""


class MemberPage(Page[MemberView]):
    """One page of members."""


class WorkspaceMemberPut(Body):
    role: WorkspaceRole


class WorkspaceMemberView(View):
    id: str
    """Of the account."""
    email: str
    name: str
    role: WorkspaceRole
    updated_at: datetime
    """When they got this role."""


class WorkspaceMemberPage(Page[WorkspaceMemberView]):
    """One page of a workspace's members."""


class Members:
    def __init__(self, database: Database, changes: Changes) -> None:
        self._database = database
        self._changes = changes

    def routes(self) -> list[Route]:
        one, one_there = _PATH + "/{member}", _WORKSPACE_PATH + "/{member}"
        users, there = "organisation_users", "workspace_users"
        return [
            Route(
                "GET", _PATH, f"{users}.list", self.list, "List members", answer=MemberPage, query=store.LISTING.query
            ),
            Route("GET", one, f"{users}.read", self.read, "Read a member", answer=MemberView),
            Route("PATCH", one, f"{users}.update", self.update, "Change a member's role", MemberUpdate, MemberView),
            Route("DELETE", one, f"{users}.delete", self.remove, "Remove a member; their sessions end"),
            Route(
                "GET",
                _WORKSPACE_PATH,
                f"{there}.list",
                self.list_there,
                "List a workspace's members",
                answer=WorkspaceMemberPage,
                query=store.WORKSPACE_LISTING.query,
            ),
            Route(
                "GET",
                one_there,
                f"{there}.list",
                self.read_there,
                "Read a workspace's member",
                answer=WorkspaceMemberView,
                operation="workspace_users_read",
            ),
            Route(
                "PUT",
                one_there,
                f"{there}.update",
                self.put_there,
                "Give a member a role in a workspace",
                WorkspaceMemberPut,
                WorkspaceMemberView,
            ),
            Route("DELETE", one_there, f"{there}.delete", self.remove_there, "Take a member out of a workspace"),
        ]

    async def list(self, call: Call) -> MemberPage:
        async with self._database.tenant(call.principal.organisation) as connection:
            rows, cursor = await store.page(connection, call.principal.organisation, call.query)
        return MemberPage(data=tuple(_view(row) for row in rows), next_cursor=cursor)

    async def read(self, call: Call) -> MemberView:
        async with self._database.tenant(call.principal.organisation) as connection:
            return await _found(connection, call)

    async def update(self, call: Call) -> MemberView:
        """Their sessions end: who logs in again has a token that never was anything else."""
        role, organisation = call.parsed(MemberUpdate).role, call.principal.organisation
        async with self._changes.open(call.principal, call.request_id) as change:
            connection = change.connection
            await store.lock(connection, organisation)
            await require_held(connection, call.principal)
            before = await _found(connection, call)
            call.require_unchanged(before.updated_at)
            check_change(call.principal, before.role, role, await store.owners(connection, organisation))
            if role is before.role:
                return before
            updated_at = await store.set_role(connection, organisation, before.id, role)
            await store.end_sessions(connection, organisation, before.id)
            if outranks(before.role, role):
                await end_delegations(connection, organisation, before.id)
            change.record(
                "organisation_users.update", "member", before.id, before={"role": before.role}, after={"role": role}
            )
        return before.model_copy(update={"role": role, "updated_at": updated_at})

    async def remove(self, call: Call) -> None:
        organisation = call.principal.organisation
        async with self._changes.open(call.principal, call.request_id) as change:
            connection = change.connection
            await store.lock(connection, organisation)
            await require_held(connection, call.principal)
            before = await _found(connection, call)
            check_change(call.principal, before.role, None, await store.owners(connection, organisation))
            await store.delete(connection, organisation, before.id)
            await end_delegations(connection, organisation, before.id)
            told = {"email": before.email, "role": before.role}
            change.record("organisation_users.delete", "member", before.id, before=told)

    async def list_there(self, call: Call) -> WorkspaceMemberPage:
        organisation, workspace = call.principal.organisation, call.path["workspace"]
        async with self._database.tenant(organisation) as connection:
            await require_workspace(connection, organisation, workspace)
            rows, cursor = await store.workspace_page(connection, organisation, workspace, call.query)
        return WorkspaceMemberPage(data=tuple(WorkspaceMemberView(**row) for row in rows), next_cursor=cursor)

    async def read_there(self, call: Call) -> WorkspaceMemberView:
        organisation = call.principal.organisation
        async with self._database.tenant(organisation) as connection:
            await require_workspace(connection, organisation, call.path["workspace"])
            return await _found_there(connection, call)

    async def put_there(self, call: Call) -> WorkspaceMemberView:
        role = call.parsed(WorkspaceMemberPut).role
        organisation, workspace = call.principal.organisation, call.path["workspace"]
        async with self._changes.open(call.principal, call.request_id) as change:
            connection = change.connection
            await store.lock(connection, organisation)
            await require_workspace(connection, organisation, workspace)
            await require_held_there(connection, call.principal, workspace)
            member = await _found(connection, call)
            found = await _there(connection, call, lock=True)
            call.require_unchanged(None if found is None else found.updated_at)
            before = None if found is None else found.role
            check_workspace_change(call.principal, workspace, before, role)
            updated_at = await store.put_workspace_role(connection, organisation, workspace, member.id, role)
            change.record(
                "workspace_users.update",
                "workspace_member",
                member.id,
                workspace=workspace,
                before=None if before is None else {"role": before},
                after={"role": role},
            )
        return WorkspaceMemberView(id=member.id, email=member.email, name=member.name, role=role, updated_at=updated_at)

    async def remove_there(self, call: Call) -> None:
        organisation, workspace, account = call.principal.organisation, call.path["workspace"], call.path["member"]
        async with self._changes.open(call.principal, call.request_id) as change:
            await store.lock(change.connection, organisation)
            await require_held_there(change.connection, call.principal, workspace)
            before = await _found_there(change.connection, call, lock=True)
            check_workspace_change(call.principal, workspace, before.role, None)
            await store.delete_workspace_role(change.connection, organisation, workspace, account)
            told = {"role": before.role}
            change.record("workspace_users.delete", "workspace_member", account, workspace=workspace, before=told)


async def _found(connection: asyncpg.Connection, call: Call) -> MemberView:
    row = await store.find(connection, call.principal.organisation, call.path["member"])
    if row is None:
        raise NotFound(f"no member {call.path['member']!r}")
    return _view(row)


async def _found_there(connection: asyncpg.Connection, call: Call, *, lock: bool = False) -> WorkspaceMemberView:
    found = await _there(connection, call, lock=lock)
    if found is None:
        raise NotFound(f"no member {call.path['member']!r} in this workspace")
    return found


async def _there(connection: asyncpg.Connection, call: Call, *, lock: bool = False) -> WorkspaceMemberView | None:
    workspace, account = call.path["workspace"], call.path["member"]
    row = await store.find_there(connection, call.principal.organisation, workspace, account, lock=lock)
    return None if row is None else WorkspaceMemberView(**row)


def _view(row: asyncpg.Record) -> MemberView:
    return MemberView(**row)
