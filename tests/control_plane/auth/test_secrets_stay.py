"""No password, token, code or key is in the database, in a list or in the audit log."""

from typing import Any

import asyncpg
import pytest

from control_plane.admin_keys.api import AdminKeyCreated
from control_plane.api_keys.api import ApiKeyCreated
from control_plane.gateways.tokens import EnrolmentTokenCreated
from control_plane.invitations.api import InvitationCreated
from control_plane.web.route import View
from tests.fixtures.people import PASSWORD, People

EMAIL = "owner@example.com"
"""Must be found, or the search finds nothing."""


async def everything(connection: asyncpg.Connection) -> str:
    """Every row of every table as text; bytes as hex."""
    tables = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
    texts = [
        await connection.fetchval(f"select coalesce(string_agg(t::text, ' '), '') from {row['tablename']} as t")
        for row in tables
    ]
    return "\n".join(texts)


async def test_no_secret_is_stored_or_told_again(people: People) -> None:
    code = await people.first_run.make_code()
    assert code is not None
    owner = await people.browser()
    body = {"email": EMAIL, "password": PASSWORD, "name": "O", "organisation": "Acme"}
    await owner.ok("POST", "/api/v1/first-run", {"code": code.reveal_text(), **body})
    invited = await owner.ok("POST", "/api/v1/invitations", {"email": "guest@example.com"})
    made = await owner.ok("POST", "/api/v1/admin-keys", {"name": "robot", "scopes": ["organisation.read"]})
    secrets = [
        code.reveal_text(),
        PASSWORD,
        owner.token,
        owner.session["csrf_token"],
        invited["path"].removeprefix("/invite/"),
        made["key"],
    ]
    async with people.database.instance() as connection:
        stored = await everything(connection)
    lists = ["audit-logs", "admin-keys", "invitations", "members"]
    told = str([await owner.ok("GET", f"/api/v1/{name}") for name in lists])
    for text in (stored, told):
        assert EMAIL in text
        for secret in secrets:
            assert secret not in text
            assert secret.encode().hex() not in text


@pytest.mark.parametrize(
    ("view", "field"),
    [
        (AdminKeyCreated, "key"),
        (ApiKeyCreated, "key"),
        (EnrolmentTokenCreated, "token"),
        (EnrolmentTokenCreated, "environment"),
        (InvitationCreated, "path"),
    ],
)
def test_what_is_shown_once_does_not_print(view: type[View], field: str) -> None:
    fields: dict[str, Any] = {field: "sk-marker-3d0c", "id": EMAIL}
    printed = repr(view.model_construct(**fields))
    assert EMAIL in printed
    assert "sk-marker-3d0c" not in printed
