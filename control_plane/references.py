"""What refers to what, across rooms: rooms do not know each other, so the questions that need two nouns stand here.

`require_…` holds the row it found until the transaction ends, and who deletes a row holds it before asking
`require_unused_…`: of a reference and a deletion at the same time, one sees the other.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import asyncpg

from control_plane.errors import Conflict, Forbidden, Invalid, NotFound
from control_plane.permissions import ActorKind, Principal
from shared.models.config import pointer, slug_in

Path = tuple[str | int, ...]

_NAMED_MAX = 5
"""Of many that stand in the way."""


async def check_config(connection: asyncpg.Connection, organisation: str, workspace: str, body: dict[str, Any]) -> None:
    """Every virtual key a config names is there. Raises Invalid with the place."""
    for path, slug in _virtual_keys(body, ()):
        await require_virtual_key(connection, organisation, workspace, slug, "/body" + pointer(path))


async def require_unused_config(connection: asyncpg.Connection, organisation: str, workspace: str, slug: str) -> None:
    """Raises Conflict naming what still uses the config."""
    used = await connection.fetchval(
        "select 'API key ' || name from api_key where organisation = $1 and workspace = $2 and default_config = $3"
        " and revoked_at is null union all"
        " select 'workspace ' || name from workspace where organisation = $1 and id = $2"
        " and settings ->> 'default_config' = $3 limit 1",
        organisation,
        workspace,
        slug,
    )
    if used is not None:
        raise Conflict(f"this config is the default of {used}; choose another default there first", code="in_use")


async def require_unused_virtual_key(
    connection: asyncpg.Connection, organisation: str, workspace: str, slug: str
) -> None:
    """Raises Conflict naming a config or an alias that still names the virtual key."""
    # One at a time, and only those that hold the slug somewhere: all of them may be more than there is room for.
    configs = connection.cursor(
        "select name, body from config where organisation = $1 and workspace = $2 and position($3 in body::text) > 0",
        organisation,
        workspace,
        slug,
        prefetch=1,
    )
    async for row in configs:
        if any(named == slug for _, named in _virtual_keys(row["body"], ())):
            raise Conflict(f"the config {row['name']!r} names this virtual key; change it first", code="in_use")
    alias = await connection.fetchval(
        "select alias.key from workspace, jsonb_each(coalesce(settings -> 'model_aliases', '{}')) as alias"
        " where organisation = $1 and id = $2 and alias.value ->> 'virtual_key' = $3 limit 1",
        organisation,
        workspace,
        slug,
    )
    if alias is not None:
        raise Conflict(f"the model alias {alias!r} names this virtual key; change it first", code="in_use")


async def require_config(
    connection: asyncpg.Connection, organisation: str, workspace: str, slug: str, where: str
) -> None:
    """Raises Invalid at the pointer `where` if there is no such config."""
    known = await connection.fetchval(
        "select 1 from config where organisation = $1 and workspace = $2 and slug = $3 for share",
        organisation,
        workspace,
        slug,
    )
    if known is None:
        raise Invalid(f"no config {slug!r} in this workspace", code="slug_unknown", pointer=where)


def key_in(node: Any, path: Path = ()) -> Path | None:
    """Where a config brings a provider's key along; None if it does not."""
    if not isinstance(node, dict):
        return None
    if "api_key" in node:
        return (*path, "api_key")
    targets = node.get("targets")
    found = (key_in(target, (*path, "targets", i)) for i, target in enumerate(targets or ()))
    return next((place for place in found if place is not None), None)


def _virtual_keys(node: Any, path: Path, model: Any = None) -> Iterator[tuple[Path, str]]:
    """Where a config names virtual keys: `virtual_key`, and `provider` beginning with `@`; where neither stands, the
    model that is put in the place of the caller's.
    """
    if not isinstance(node, dict):
        return
    slug, provider, targets = node.get("virtual_key"), node.get("provider"), node.get("targets")
    overrides = node.get("override_params")
    model = overrides["model"] if isinstance(overrides, dict) and "model" in overrides else model
    if isinstance(slug, str):
        yield (*path, "virtual_key"), slug
    if isinstance(provider, str) and provider.startswith("@"):
        yield (*path, "provider"), provider[1:]
    if isinstance(targets, list):
        for index, target in enumerate(targets):
            yield from _virtual_keys(target, (*path, "targets", index), model)
    elif slug is None and provider is None and path and not node.get("passthrough") and (named := slug_in(model)):
        yield (*path, "override_params", "model"), named


async def require_virtual_key(
    connection: asyncpg.Connection, organisation: str, workspace: str, slug: str, where: str
) -> None:
    """Raises Invalid at the pointer `where` if there is no such virtual key."""
    known = await connection.fetchval(
        "select 1 from virtual_key where organisation = $1 and workspace = $2 and slug = $3 for share",
        organisation,
        workspace,
        slug,
    )
    if known is None:
        raise Invalid(f"no virtual key @{slug} in this workspace", code="slug_unknown", pointer=where)


async def require_workspace(connection: asyncpg.Connection, organisation: str, workspace: str) -> None:
    """Raises NotFound. Who may see every workspace may name one that is not there."""
    known = await connection.fetchval(
        "select 1 from workspace where organisation = $1 and id = $2", organisation, workspace
    )
    if known is None:
        raise NotFound(f"no workspace {workspace!r}")


async def require_workspaces(
    connection: asyncpg.Connection, organisation: str, workspaces: Sequence[str], where: str
) -> None:
    """Raises Invalid at the pointer `where` and its index for the first that is not there."""
    rows = await connection.fetch(
        "select id from workspace where organisation = $1 and id = any($2) for share", organisation, list(workspaces)
    )
    known = {row["id"] for row in rows}
    for index, workspace in enumerate(workspaces):
        if workspace not in known:
            raise Invalid(f"no workspace {workspace!r}", code="workspace_unknown", pointer=f"{where}/{index}")


async def require_allowed_provider(
    connection: asyncpg.Connection, organisation: str, workspace: str, provider: str, where: str
) -> None:
    """Raises Invalid at the pointer `where` if the workspace's calls may not go to this provider."""
    allowed = await connection.fetchval(
        "select settings -> 'allowed_providers' from workspace where organisation = $1 and id = $2",
        organisation,
        workspace,
    )
    if allowed is not None and provider not in allowed:
        raise Invalid(
            f"this workspace's calls may not go to {provider!r}; its settings list the providers they may go to",
            code="provider_not_allowed",
            pointer=where,
        )


async def require_unused_provider(connection: asyncpg.Connection, organisation: str, provider: str) -> None:
    """Raises Conflict naming a virtual key that still uses the provider, or a price for it."""
    await require_no_credentials(connection, organisation, provider)
    price = await connection.fetchval(
        "select id from own_price where organisation = $1 and provider = $2 limit 1", organisation, provider
    )
    if price is not None:
        raise Conflict(f"the price {price!r} is for this provider; delete it first", code="in_use")


async def require_no_credentials(connection: asyncpg.Connection, organisation: str, provider: str) -> None:
    """Raises Conflict naming a virtual key that still uses the provider."""
    used = await connection.fetchrow(
        "select virtual_key.slug, workspace.name from virtual_key"
        " join workspace on workspace.organisation = virtual_key.organisation and workspace.id = virtual_key.workspace"
        " where virtual_key.organisation = $1 and virtual_key.provider = $2 limit 1",
        organisation,
        provider,
    )
    if used is not None:
        raise Conflict(
            f"the virtual key @{used['slug']} in the workspace {used['name']!r} uses this provider; delete it first",
            code="in_use",
        )


async def require_credentials_elsewhere(
    connection: asyncpg.Connection, organisation: str, provider: str, where: str
) -> None:
    """Raises Conflict at the pointer `where`, naming virtual keys whose credentials go to its own address."""
    rows = await connection.fetch(
        "select virtual_key.slug, workspace.name, count(*) over () as count from virtual_key"
        " join workspace on workspace.organisation = virtual_key.organisation and workspace.id = virtual_key.workspace"
        " where virtual_key.organisation = $1 and virtual_key.provider = $2 and virtual_key.base_url is null"
        " order by workspace.name, virtual_key.slug limit $3",
        organisation,
        provider,
        _NAMED_MAX,
    )
    if not rows:
        return
    named = ", ".join(f"@{row['slug']} in {row['name']!r}" for row in rows)
    if more := rows[0]["count"] - len(rows):
        named += f" and {more} more"
    raise Conflict(
        f"a stored credential goes to no other host than the one it was saved for, and here are those of {named}; add a"
        " provider with the new address and save credentials for it, or give each of these virtual keys a base URL of"
        " its own, with its credential",
        code="credentials_stored",
        pointer=where,
    )


async def require_held(connection: asyncpg.Connection, principal: Principal) -> None:
    """Raises Forbidden if the caller's role or key is not what it was when the request came in.

    Asked inside edits that hand rights on, and holds the row, so that they end before the caller's own rights do.
    """
    if principal.kind is ActorKind.ACCOUNT:
        held = await connection.fetchval(
            "select 1 from member where organisation = $1 and account = $2 and role = $3 for share",
            principal.organisation,
            principal.id,
            principal.role,
        )
    elif principal.kind is ActorKind.ADMIN_KEY:
        held = await connection.fetchval(
            "select 1 from admin_key where organisation = $1 and id = $2 and revoked_at is null for share",
            principal.organisation,
            principal.id,
        )
    else:
        return
    if held is None:
        raise _changed()


async def require_held_there(connection: asyncpg.Connection, principal: Principal, workspace: str) -> None:
    """The same where a role in the workspace may be what the caller's rights there rest on."""
    await require_held(connection, principal)
    if principal.sees_every_workspace:
        return
    held = await connection.fetchval(
        "select 1 from workspace_member where organisation = $1 and workspace = $2 and account = $3 and role = $4"
        " for share",
        principal.organisation,
        workspace,
        principal.id,
        principal.workspaces.get(workspace),
    )
    if held is None:
        raise _changed()


def _changed() -> Forbidden:
    return Forbidden("your own rights changed just now")


async def end_delegations(connection: asyncpg.Connection, organisation: str, maker: str) -> None:
    """What a member handed out with a role they have no longer ends, and what was made with a key that was revoked:
    admin keys and the keys made with those, and the open invitations and unused enrolment tokens of any of them.
    """
    makers, made = [maker], [maker]
    while made:
        # A generation at a time: each statement waits for edits by the keys it ends; the next sees what they made.
        rows = await connection.fetch(
            "update admin_key set revoked_at = coalesce(revoked_at, now())"
            " where organisation = $1 and created_by = any($2) returning id",
            organisation,
            made,
        )
        made = [row["id"] for row in rows]
        makers += made
    await connection.execute(
        "delete from invitation where organisation = $1 and invited_by = any($2) and accepted_at is null",
        organisation,
        makers,
    )
    await connection.execute(
        "update enrolment_token set expires_at = now()"
        " where organisation = $1 and created_by = any($2) and used_at is null and expires_at > now()",
        organisation,
        makers,
    )
