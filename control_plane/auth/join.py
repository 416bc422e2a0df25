"""Joining: an invitation's link is redeemed, by a new person or by one who has an account."""

from dataclasses import dataclass, field

import asyncpg
from pydantic import SecretStr

from control_plane.auth import sessions, store
from control_plane.auth.attempts import Attempts
from control_plane.auth.passwords import Passwords
from control_plane.auth.sessions import SessionView
from control_plane.data_keys import digest
from control_plane.db.pool import Database
from control_plane.errors import Conflict, Forbidden
from control_plane.ids import Ids
from control_plane.people import NewPassword, PasswordBody, PersonName
from control_plane.permissions import ActorKind, Principal
from control_plane.snapshots.change import Changes
from control_plane.web.route import Call, Route, SessionReply


class InvitationAccept(PasswordBody):
    token: SecretStr
    """The last part of the link."""
    name: PersonName
    """Of a new person; who has an account keeps the name there."""
    password: NewPassword
    """A new person's own choice; who has an account under the invited address gives its password."""


class Joining:
    def __init__(
        self, database: Database, changes: Changes, passwords: Passwords, attempts: Attempts, ids: Ids
    ) -> None:
        self._database = database
        self._changes = changes
        self._passwords = passwords
        self._attempts = attempts
        self._ids = ids

    def routes(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/api/v1/invitations/accept",
                "invitations.accept",
                self.accept,
                "Join an organisation by an invitation's link",
                InvitationAccept,
                SessionView,
                201,
                public=True,
            )
        ]

    async def accept(self, call: Call) -> SessionReply:
        body = call.parsed(InvitationAccept)
        with self._attempts.from_address(call.client.address):
            async with self._database.instance() as connection:
                invitation = await store.open_invitation(connection, digest(body.token.get_secret_value()))
                if invitation is None:
                    raise _refused()
                known = await store.account_by_email(connection, invitation["email"])
            # Passwords are slow, so they come before the edit: no row stays locked meanwhile.
            if known is None:
                newcomer = _Newcomer(body.name, await self._passwords.hash(body.password))
                return await self._join(call, invitation, self._ids.new("ac"), newcomer, None)
            with self._attempts.at_account(invitation["email"]):
                if not await self._passwords.right(body.password, known["password_hash"]):
                    raise _wrong()
            return await self._join(call, invitation, known["id"], None, known["password_hash"])

    async def _join(
        self,
        call: Call,
        invitation: asyncpg.Record,
        account: str,
        newcomer: "_Newcomer | None",
        password_hash: str | None,
    ) -> SessionReply:
        """`password_hash`: that of an account which is there, and was given."""
        organisation, email, role = invitation["organisation"], invitation["email"], invitation["role"]
        principal = Principal(ActorKind.ACCOUNT, account, organisation)
        async with self._changes.open_instance(principal, organisation, call.request_id) as change:
            connection = change.connection
            if not await store.use_invitation(connection, invitation["id"]):
                raise _refused()
            if password_hash is not None and not await store.hold_account(connection, account, password_hash):
                raise _wrong()
            if newcomer is not None:
                await store.insert_account(connection, account, email, newcomer.name, newcomer.password_hash)
            if not await store.insert_member(connection, organisation, account, role):
                raise Conflict("you belong to this organisation already", code="already_member")
            given = {place["workspace"]: place["role"] for place in invitation["workspaces"]}
            await store.insert_workspace_members(connection, organisation, account, list(given), list(given.values()))
            told = {"email": email, "role": role, "workspaces": given, "invitation": invitation["id"]}
            change.record("invitations.accept", "member", account, after=told)
            return await sessions.start(connection, account, organisation, before=call.client.session)


@dataclass(frozen=True, slots=True)
class _Newcomer:
    name: str
    password_hash: str = field(repr=False)


def _wrong() -> Forbidden:
    message = "the invited address has an account, and this is not its password"
    return Forbidden(message, code="password_wrong", pointer="/password")


def _refused() -> Forbidden:
    return Forbidden("this invitation is not known, was used, or is over", code="invitation_refused")
