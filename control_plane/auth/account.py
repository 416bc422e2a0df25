"""`/api/v1/account`: what people change about themselves."""

from control_plane.auth import sessions, store
from control_plane.auth.attempts import Attempts
from control_plane.auth.passwords import Passwords
from control_plane.auth.sessions import SessionView
from control_plane.db.pool import Database
from control_plane.errors import Conflict, Forbidden
from control_plane.people import GivenPassword, NewPassword, PasswordBody
from control_plane.snapshots.change import Changes
from control_plane.web.route import Call, Route, SessionReply


class PasswordChange(PasswordBody):
    current_password: GivenPassword
    new_password: NewPassword


class Accounts:
    def __init__(self, database: Database, changes: Changes, passwords: Passwords, attempts: Attempts) -> None:
        self._database = database
        self._changes = changes
        self._passwords = passwords
        self._attempts = attempts

    def routes(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/api/v1/account/password",
                "account.update",
                self.change_password,
                "Change your password; all your other sessions end",
                PasswordChange,
                SessionView,
            )
        ]

    async def change_password(self, call: Call) -> SessionReply:
        body = call.parsed(PasswordChange)
        account, organisation = call.principal.id, call.principal.organisation
        async with self._database.instance() as connection:
            before = await store.password_hash(connection, account)
        with self._attempts.at_account(account):
            if before is None or not await self._passwords.right(body.current_password, before):
                raise Forbidden("this is not your password", code="password_wrong", pointer="/current_password")
        after = await self._passwords.hash(body.new_password)
        async with self._changes.open_instance(call.principal, organisation, call.request_id) as change:
            if not await store.replace_password(change.connection, account, before, after):
                raise Conflict("the password was changed by another request just now")
            await store.end_sessions(change.connection, account)
            change.record("account.update", "account", account, after={"password": "changed"})
            return await sessions.start(change.connection, account, organisation)
