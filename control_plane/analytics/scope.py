"""Whose records a caller may see: those of their organisation, and of the workspaces they are in."""

import asyncpg

from control_plane.analytics.question import Visible
from control_plane.errors import NotFound
from control_plane.permissions import Principal


async def visible(connection: asyncpg.Connection, principal: Principal, workspace: str | None) -> Visible:
    """`workspace`, an id or a slug, narrows it. Raises NotFound for one that is not there, or not for this caller.

    Who sees every workspace also sees records without one, and of those that were deleted.
    """
    every = principal.sees_every_workspace
    if workspace is None:
        return Visible(principal.organisation, None if every else tuple(sorted(principal.workspaces)))
    id_ = None
    if "\0" not in workspace:
        id_ = await connection.fetchval(
            "select id from workspace where organisation = $1 and (id = $2 or slug = $2) order by id = $2 desc limit 1",
            principal.organisation,
            workspace,
        )
    if id_ is None or not (every or id_ in principal.workspaces):
        raise NotFound(f"no workspace {workspace!r}")
    return Visible(principal.organisation, (id_,))
