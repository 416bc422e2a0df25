"""Login, logout, and the session in between."""

from pydantic import Field

from control_plane.auth import sessions, store
from control_plane.auth.attempts import Attempts
from control_plane.auth.passwords import Passwords
from control_plane.auth.sessions import SessionView
from control_plane.db.pool import Database
from control_plane.errors import NotFound, Unauthenticated
from control_plane.people import Email, GivenPassword, PasswordBody
from control_plane.permissions import ActorKind, Principal
from control_plane.snapshots.change import Change, Changes
from control_plane.web.route import Body, Call, Route, SessionReply
from shared.crypto.secret import Secret
from shared.models.noun import Id

_SESSION = "/api/v1/session"


class Login(PasswordBody):
    email: Email
    password: GivenPassword
    organisation: Id | None = None
    """Id of one that the account belongs to; left out: the first it belonged to."""


class OrganisationSwitch(Body):
    organisation: str = Field(min_length=1, max_length=200)
    """Id of one that the account belongs to."""


class Logins:
    def __init__(self, database: Database, changes: Changes, passwords: Passwords, attempts: Attempts) -> None:
        self._database = database
        self._changes = changes
        self._passwords = passwords
        self._attempts = attempts

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/api/v1/login", "session.create", self.login, "Log in", Login, SessionView, public=True),
            Route("POST", "/api/v1/logout", "session.delete", self.logout, "Log out"),
            Route("GET", _SESSION, "session.read", self.read, "Who am I", answer=SessionView),
            Route(
                "POST",
                f"{_SESSION}/organisation",
                "session.update",
                self.switch,
                "Go on in another organisation",
                OrganisationSwitch,
                SessionView,
            ),
        ]

    async def login(self, call: Call) -> SessionReply:
        """One answer for every failure, after the same steps: nobody learns here who has an account."""
        body = call.parsed(Login)
        with self._attempts.from_address(call.client.address), self._attempts.at_account(body.email):
            async with self._database.instance() as connection:
                account = await store.account_by_email(connection, body.email)
            right = await self._passwords.right(body.password, None if account is None else account["password_hash"])
            organisations: list[str] = [] if account is None else account["organisations"]
            wanted = [id_ for id_ in organisations if body.organisation in (None, id_)]
            if account is None or not right or not wanted:
                raise _refused()
        principal = Principal(ActorKind.ACCOUNT, account["id"], wanted[0])
        async with self._changes.open_instance(principal, principal.organisation, call.request_id) as change:
            if not await store.hold_account(change.connection, principal.id, account["password_hash"]):
                raise _refused()
            return await _started(change, "session.create", before=call.client.session)

    async def switch(self, call: Call) -> SessionReply:
        """The session goes on under a new token: another organisation is another role."""
        account, organisation = call.principal.id, call.parsed(OrganisationSwitch).organisation
        async with self._database.instance() as connection:
            mine = await store.memberships(connection, account)
        if organisation not in {membership["id"] for membership in mine}:
            raise NotFound(f"you belong to no organisation {organisation!r}", pointer="/organisation")
        assert call.client.session is not None
        principal = Principal(ActorKind.ACCOUNT, account, organisation)
        async with self._changes.open_instance(principal, organisation, call.request_id) as change:
            await store.hold_account(change.connection, account)
            if not await store.end_session(change.connection, sessions.hashed(call.client.session)):
                raise sessions.ended()
            return await _started(change, "session.update")

    async def read(self, call: Call) -> SessionView:
        assert call.client.session is not None
        async with self._database.instance() as connection:
            return await sessions.view(connection, call.client.session)

    async def logout(self, call: Call) -> SessionReply:
        assert call.client.session is not None
        async with self._changes.open(call.principal, call.request_id) as change:
            await store.end_session(change.connection, sessions.hashed(call.client.session))
            change.record("session.delete", "account", call.principal.id)
        return SessionReply(None, None)


async def _started(change: Change, action: str, *, before: Secret | None = None) -> SessionReply:
    account, organisation = change.principal.id, change.organisation
    change.record(action, "account", account)
    return await sessions.start(change.connection, account, organisation, before=before)


def _refused() -> Unauthenticated:
    return Unauthenticated("no such e-mail address with this password here", code="login_failed")
