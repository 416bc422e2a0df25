"""First run: the one-use code that the start prints, and the first owner, who redeems it."""

import hmac
import secrets
from typing import Annotated, Protocol

from pydantic import SecretStr, StringConstraints

from control_plane.auth import sessions, store
from control_plane.auth.attempts import Attempts
from control_plane.auth.passwords import Passwords
from control_plane.auth.sessions import SessionView
from control_plane.data_keys import digest
from control_plane.db.pool import Database
from control_plane.errors import Forbidden
from control_plane.ids import Ids
from control_plane.people import Email, NewPassword, PasswordBody, PersonName
from control_plane.permissions import ActorKind, OrganisationRole, Principal
from control_plane.snapshots.change import Change, Changes
from control_plane.web.route import Call, Route, SessionReply, View
from shared.crypto.secret import Secret

_PATH = "/api/v1/first-run"
_CODE_BYTES = 32


class FirstRunView(View):
    needed: bool
    """Whether this control plane still waits for its first owner."""


class FirstRunRedeem(PasswordBody):
    code: SecretStr
    email: Email
    password: NewPassword
    name: PersonName
    organisation: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class OrganisationMaker(Protocol):
    async def make(self, change: Change, name: str) -> object:
        """A new organisation under the id `change.organisation`, within an instance edit."""
        ...


class FirstRun:
    def __init__(
        self,
        database: Database,
        changes: Changes,
        organisations: OrganisationMaker,
        passwords: Passwords,
        attempts: Attempts,
        ids: Ids,
    ) -> None:
        self._database = database
        self._changes = changes
        self._organisations = organisations
        self._passwords = passwords
        self._attempts = attempts
        self._ids = ids

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                _PATH,
                "first_run.read",
                self.read,
                "Whether the first owner is missing",
                None,
                FirstRunView,
                public=True,
            ),
            Route(
                "POST",
                _PATH,
                "first_run.create",
                self.redeem,
                "Make the first owner, with the code that the start printed",
                FirstRunRedeem,
                SessionView,
                201,
                public=True,
            ),
        ]

    async def make_code(self) -> Secret | None:
        """A fresh code, to be printed; one made earlier is void. None: there is an account already."""
        code = Secret(secrets.token_urlsafe(_CODE_BYTES))
        async with self._database.instance() as connection:
            made = await store.set_first_run(connection, digest(code.reveal_text()))
        return code if made else None

    async def read(self, _: Call) -> FirstRunView:
        async with self._database.instance() as connection:
            return FirstRunView(needed=await store.first_run(connection) is not None)

    async def redeem(self, call: Call) -> SessionReply:
        body = call.parsed(FirstRunRedeem)
        given = digest(body.code.get_secret_value())
        with self._attempts.from_address(call.client.address):
            async with self._database.instance() as connection:
                stored = await store.first_run(connection)
            # No code at all is compared too, with a hash that no code has.
            if not hmac.compare_digest(given, stored or bytes(len(given))):
                raise _refused()
            hashed = await self._passwords.hash(body.password)
            return await self._make_owner(call, body, given, hashed)

    async def _make_owner(self, call: Call, body: FirstRunRedeem, code_hash: bytes, password_hash: str) -> SessionReply:
        account, organisation = self._ids.new("ac"), self._ids.new("org")
        owner = Principal(ActorKind.ACCOUNT, account, organisation, OrganisationRole.OWNER)
        async with self._changes.open_instance(owner, organisation, call.request_id) as change:
            connection = change.connection
            if not await store.use_first_run(connection, code_hash):
                raise _refused()
            await self._organisations.make(change, body.organisation)
            await store.insert_account(connection, account, body.email, body.name, password_hash)
            await store.insert_member(connection, organisation, account, OrganisationRole.OWNER)
            told = {"email": body.email, "role": OrganisationRole.OWNER}
            change.record("first_run.create", "member", account, after=told)
            return await sessions.start(connection, account, organisation, before=call.client.session)


def _refused() -> Forbidden:
    return Forbidden("this code is not the one the control plane printed, or it was used", code="code_refused")
