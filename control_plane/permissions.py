"""Who may do what: one table as data, and the one function that reads it.

Actions carry the original's scope names (`resource.verb`), so an admin key's scopes are actions. A person is measured
by roles; an organisation's owner and admin stand above every workspace's roles.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class OrganisationRole(StrEnum):
    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"


class WorkspaceRole(StrEnum):
    ADMIN = "admin"
    MANAGER = "manager"
    MEMBER = "member"


class _Rank(IntEnum):
    NOBODY = 0
    MEMBER = 1
    MANAGER = 2
    ADMIN = 3
    OWNER = 4


_ORGANISATION_RANK = {
    OrganisationRole.OWNER: _Rank.OWNER,
    OrganisationRole.ADMIN: _Rank.ADMIN,
    OrganisationRole.MEMBER: _Rank.MEMBER,
}
_WORKSPACE_RANK = {
    WorkspaceRole.ADMIN: _Rank.ADMIN,
    WorkspaceRole.MANAGER: _Rank.MANAGER,
    WorkspaceRole.MEMBER: _Rank.MEMBER,
}


@dataclass(frozen=True, slots=True)
class Rule:
    organisation: OrganisationRole
    """The lowest role in the organisation that may."""
    workspace: WorkspaceRole | None = None
    """The lowest role in the resource's workspace that may; None: no workspace role is enough."""


_OWNER = Rule(OrganisationRole.OWNER)
_ADMIN = Rule(OrganisationRole.ADMIN)
_EVERYBODY = Rule(OrganisationRole.MEMBER)
_WORKSPACE_ADMIN = Rule(OrganisationRole.ADMIN, WorkspaceRole.ADMIN)
_WORKSPACE_MANAGER = Rule(OrganisationRole.ADMIN, WorkspaceRole.MANAGER)
_WORKSPACE_MEMBER = Rule(OrganisationRole.ADMIN, WorkspaceRole.MEMBER)

TABLE: Mapping[str, Rule] = {
    "organisation.read": _EVERYBODY,
    "organisation.update": _OWNER,
    "session.read": _EVERYBODY,
    "session.update": _EVERYBODY,
    "session.delete": _EVERYBODY,
    "account.update": _EVERYBODY,
    "organisation_users.list": _ADMIN,
    "organisation_users.read": _ADMIN,
    "organisation_users.update": _ADMIN,
    "organisation_users.delete": _ADMIN,
    "invitations.list": _ADMIN,
    "invitations.create": _ADMIN,
    "invitations.delete": _ADMIN,
    "admin_keys.list": _ADMIN,
    "admin_keys.create": _ADMIN,
    "admin_keys.delete": _ADMIN,
    "workspaces.list": _EVERYBODY,
    "workspaces.create": _ADMIN,
    "workspaces.read": _WORKSPACE_MEMBER,
    "workspaces.update": _WORKSPACE_ADMIN,
    "workspaces.delete": _ADMIN,
    "workspace_users.list": _WORKSPACE_MEMBER,
    "workspace_users.update": _WORKSPACE_ADMIN,
    "workspace_users.delete": _WORKSPACE_ADMIN,
    "api_keys.list": _WORKSPACE_MEMBER,
    "api_keys.read": _WORKSPACE_MEMBER,
    "api_keys.create": _WORKSPACE_MANAGER,
    "api_keys.update": _WORKSPACE_MANAGER,
    "api_keys.delete": _WORKSPACE_MANAGER,
    "virtual_keys.list": _WORKSPACE_MEMBER,
    "virtual_keys.read": _WORKSPACE_MEMBER,
    "virtual_keys.create": _WORKSPACE_MANAGER,
    "virtual_keys.update": _WORKSPACE_MANAGER,
    "virtual_keys.delete": _WORKSPACE_MANAGER,
    "configs.list": _WORKSPACE_MEMBER,
    "configs.read": _WORKSPACE_MEMBER,
    "configs.create": _WORKSPACE_MANAGER,
    "configs.update": _WORKSPACE_MANAGER,
    "configs.delete": _WORKSPACE_MANAGER,
    "providers.list": _EVERYBODY,
    "providers.read": _EVERYBODY,
    "providers.create": _ADMIN,
    "providers.update": _ADMIN,
    "providers.delete": _ADMIN,
    "models.list": _EVERYBODY,
    "models.read": _EVERYBODY,
    "prices.list": _EVERYBODY,
    "prices.read": _EVERYBODY,
    "prices.create": _ADMIN,
    "prices.update": _ADMIN,
    "prices.delete": _ADMIN,
    "gateways.list": _ADMIN,
    "gateways.read": _ADMIN,
    "gateways.create": _ADMIN,
    "gateways.update": _ADMIN,
    "gateways.delete": _ADMIN,
    "gateways.enrol": _ADMIN,
    "enrolment_tokens.list": _ADMIN,
    "nodes.list": _ADMIN,
    "nodes.read": _ADMIN,
    "nodes.delete": _ADMIN,
    "node_drops.list": _ADMIN,
    "audit_logs.list": _ADMIN,
    # What is told of requests: everybody may ask, and is answered about their own workspaces.
    "analytics.view": _EVERYBODY,
    "logs.list": _EVERYBODY,
    "logs.view": _EVERYBODY,
}
"""Every action of the API. A route whose action is not here does not start."""

PERSONAL = frozenset({"session.read", "session.update", "session.delete", "account.update"})
"""About the person who is asking, so no admin key can have them."""
GRANTABLE = frozenset(TABLE) - PERSONAL
"""What an admin key's scopes may be."""


class ActorKind(StrEnum):
    ACCOUNT = "account"
    ADMIN_KEY = "admin_key"
    NODE = "node"
    INSTANCE = "instance"
    STRANGER = "stranger"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking, in the one organisation the request is about."""

    kind: ActorKind
    id: str
    organisation: str
    role: OrganisationRole | None = None
    workspaces: Mapping[str, WorkspaceRole] = field(default_factory=dict)
    scopes: frozenset[str] = frozenset()
    """An admin key's; a person has roles instead."""

    @property
    def sees_every_workspace(self) -> bool:
        every = self.kind in (ActorKind.ADMIN_KEY, ActorKind.INSTANCE)
        return every or _organisation_rank(self) >= _Rank.ADMIN


STRANGER = Principal(ActorKind.STRANGER, id="", organisation="")
"""Who calls a public route; may do nothing that has a permission."""


def may(principal: Principal, action: str, workspace: str | None) -> bool:
    """Whether `principal` may do `action`, in `workspace` if it is about one. KeyError: no such action."""
    rule = TABLE[action]
    if principal.kind is ActorKind.INSTANCE:
        return True
    if principal.kind is ActorKind.ADMIN_KEY:
        return action in principal.scopes
    if _organisation_rank(principal) >= _ORGANISATION_RANK[rule.organisation]:
        return True
    if rule.workspace is None or workspace is None:
        return False
    role = principal.workspaces.get(workspace)
    return role is not None and _WORKSPACE_RANK[role] >= _WORKSPACE_RANK[rule.workspace]


def outranks(one: OrganisationRole, other: OrganisationRole) -> bool:
    """Whether `one` may do more than `other`."""
    return _ORGANISATION_RANK[one] > _ORGANISATION_RANK[other]


def may_give_role(principal: Principal, role: OrganisationRole) -> bool:
    """Whether `principal` may make somebody this, or touch somebody who is: nobody gives more than they have."""
    if principal.kind is ActorKind.INSTANCE:
        return True
    if principal.kind is ActorKind.ADMIN_KEY:
        rank = _ORGANISATION_RANK[role]
        return {a for a in GRANTABLE if _ORGANISATION_RANK[TABLE[a].organisation] <= rank} <= principal.scopes
    return _organisation_rank(principal) >= _ORGANISATION_RANK[role]


def may_give_workspace_role(principal: Principal, workspace: str, role: WorkspaceRole) -> bool:
    """The same inside a workspace."""
    if principal.kind is ActorKind.INSTANCE:
        return True
    rank = _WORKSPACE_RANK[role]
    if principal.kind is ActorKind.ADMIN_KEY:
        floors = {action: TABLE[action].workspace for action in GRANTABLE}
        return {a for a, floor in floors.items() if floor and _WORKSPACE_RANK[floor] <= rank} <= principal.scopes
    if _organisation_rank(principal) >= _Rank.ADMIN:
        return True
    own = principal.workspaces.get(workspace)
    return own is not None and _WORKSPACE_RANK[own] >= rank


def _organisation_rank(principal: Principal) -> _Rank:
    return _Rank.NOBODY if principal.role is None else _ORGANISATION_RANK[principal.role]
