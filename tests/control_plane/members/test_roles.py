"""Every role against every change of every role."""

from itertools import product

import pytest

from control_plane.errors import Conflict, Forbidden
from control_plane.members.roles import check_change, check_workspace_change
from control_plane.permissions import (
    GRANTABLE,
    PERSONAL,
    STRANGER,
    TABLE,
    ActorKind,
    OrganisationRole,
    Principal,
    WorkspaceRole,
    may,
    may_give_role,
    may_give_workspace_role,
    outranks,
)

Org, Ws = OrganisationRole, WorkspaceRole
# Written out: who (first) may move somebody of a role to another (None: out of the organisation).
ALLOWED = {
    Org.OWNER: {(before, after) for before in Org for after in (*Org, None)},
    Org.ADMIN: {(before, after) for before in (Org.ADMIN, Org.MEMBER) for after in (Org.ADMIN, Org.MEMBER, None)},
    Org.MEMBER: {(Org.MEMBER, Org.MEMBER), (Org.MEMBER, None)},
}
WORKSPACE_ALLOWED = {
    Ws.ADMIN: {Ws.ADMIN, Ws.MANAGER, Ws.MEMBER},
    Ws.MANAGER: {Ws.MANAGER, Ws.MEMBER},
    Ws.MEMBER: {Ws.MEMBER},
}


def person(role: OrganisationRole | None, workspaces: dict[str, WorkspaceRole] | None = None) -> Principal:
    return Principal(ActorKind.ACCOUNT, "ac_1", "org_1", role, workspaces or {})


def key(*scopes: str) -> Principal:
    return Principal(ActorKind.ADMIN_KEY, "ak_1", "org_1", scopes=frozenset(scopes))


@pytest.mark.parametrize(("role", "before", "after"), list(product(Org, Org, (*Org, None))))
def test_nobody_gives_or_takes_more_than_they_have(
    role: OrganisationRole, before: OrganisationRole, after: OrganisationRole | None
) -> None:
    if (before, after) in ALLOWED[role]:
        check_change(person(role), before, after, owners=2)
    else:
        with pytest.raises(Forbidden):
            check_change(person(role), before, after, owners=2)


@pytest.mark.parametrize(("before", "after"), list(product(Org, (*Org, None))))
@pytest.mark.parametrize("owners", [1, 2])
def test_the_last_owner_stays(before: OrganisationRole, after: OrganisationRole | None, owners: int) -> None:
    if before is Org.OWNER and after is not Org.OWNER and owners == 1:
        with pytest.raises(Conflict):
            check_change(person(Org.OWNER), before, after, owners)
    else:
        check_change(person(Org.OWNER), before, after, owners)


@pytest.mark.parametrize(("role", "before", "after"), list(product(Ws, (*Ws, None), (*Ws, None))))
def test_nobody_gives_or_takes_more_in_a_workspace(
    role: WorkspaceRole, before: WorkspaceRole | None, after: WorkspaceRole | None
) -> None:
    member = person(Org.MEMBER, {"ws_1": role})
    if {before, after} - {None} <= WORKSPACE_ALLOWED[role]:
        check_workspace_change(member, "ws_1", before, after)
    else:
        with pytest.raises(Forbidden):
            check_workspace_change(member, "ws_1", before, after)


@pytest.mark.parametrize("role", Ws)
def test_a_role_in_one_workspace_is_nothing_in_another(role: WorkspaceRole) -> None:
    assert not may_give_workspace_role(person(Org.MEMBER, {"ws_1": Ws.ADMIN}), "ws_2", role)
    assert may_give_workspace_role(person(Org.ADMIN), "ws_2", role)


@pytest.mark.parametrize("role", Org)
def test_a_key_gives_a_role_only_if_it_may_all_that_the_role_may(role: OrganisationRole) -> None:
    needed = {action for action in GRANTABLE if may(person(role), action, None)}
    assert may_give_role(key(*needed), role)
    for missing in needed:
        assert not may_give_role(key(*needed - {missing}), role), missing


@pytest.mark.parametrize("role", Ws)
def test_a_key_gives_a_workspace_role_only_if_it_may_all_that_the_role_may(role: WorkspaceRole) -> None:
    nobody, member = person(None), person(None, {"ws_1": role})
    needed = {a for a in GRANTABLE if may(member, a, "ws_1") and not may(nobody, a, "ws_1")}
    assert may_give_workspace_role(key(*needed), "ws_1", role)
    for missing in needed:
        assert not may_give_workspace_role(key(*needed - {missing}), "ws_1", role), missing


def test_a_stranger_may_nothing() -> None:
    assert not any(may(STRANGER, action, workspace) for action in TABLE for workspace in (None, "ws_1"))
    assert not any(may_give_role(STRANGER, role) for role in Org)
    assert not any(may_give_workspace_role(STRANGER, "ws_1", role) for role in Ws)
    assert not STRANGER.sees_every_workspace


def test_a_higher_role_may_all_that_a_lower_one_may() -> None:
    for one, other in product(Org, Org):
        more = {a for a in TABLE if may(person(one), a, None)} > {a for a in TABLE if may(person(other), a, None)}
        assert outranks(one, other) is more


def test_what_is_personal_is_everybodys_and_no_keys() -> None:
    assert TABLE.keys() >= PERSONAL
    assert all(may(person(Org.MEMBER), action, None) for action in PERSONAL)
    assert frozenset(TABLE) == GRANTABLE | PERSONAL
    assert not GRANTABLE & PERSONAL


def test_what_an_owner_alone_may_is_what_the_panel_thinks() -> None:
    """`pages/admin_keys/AdminKeys.tsx` leaves it out of the key that may all an administrator may."""
    assert {a for a in GRANTABLE if TABLE[a].organisation is OrganisationRole.OWNER} == {"organisation.update"}
