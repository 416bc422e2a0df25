"""Which changes of roles are allowed (pure): nobody gives or takes more than they have; an owner remains."""

from control_plane.errors import Conflict, Forbidden
from control_plane.permissions import (
    OrganisationRole,
    Principal,
    WorkspaceRole,
    may_give_role,
    may_give_workspace_role,
)


def check_change(principal: Principal, before: OrganisationRole, after: OrganisationRole | None, owners: int) -> None:
    """A member goes from `before` to `after`, None: removed; the organisation has `owners`. Raises."""
    for role in (before, after):
        if role is not None and not may_give_role(principal, role):
            raise Forbidden(f"the role {role.value!r} is above your own", code="role_above_own", pointer="/role")
    if before is OrganisationRole.OWNER and after is not OrganisationRole.OWNER and owners <= 1:
        raise Conflict("an organisation keeps an owner; make somebody else one first", code="last_owner")


def check_workspace_change(
    principal: Principal, workspace: str, before: WorkspaceRole | None, after: WorkspaceRole | None
) -> None:
    """The same inside a workspace, which needs nobody. None: no role there."""
    for role in (before, after):
        if role is not None and not may_give_workspace_role(principal, workspace, role):
            raise Forbidden(f"the role {role.value!r} is above your own", code="role_above_own", pointer="/role")
