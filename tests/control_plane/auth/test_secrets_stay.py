"""No password, token, code or key is in the database, in a list or in the audit log."""

import asyncpg

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
