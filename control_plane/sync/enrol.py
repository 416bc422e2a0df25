"""Enrolment: a one-use token makes a node one of a gateway's (GHS/1 11)."""

from collections.abc import Sequence

import structlog

from control_plane.db.pool import Database
from control_plane.errors import Conflict, Invalid, Unauthenticated
from control_plane.permissions import ActorKind, Principal
from control_plane.snapshots.change import CHANNEL, Changes
from control_plane.sync import store
from control_plane.sync.authenticate import NodeAuthenticator, Signed
from control_plane.web.api import parse_body
from shared.crypto import hpke
from shared.crypto.api_keys import well_formed
from shared.crypto.secret import Secret
from shared.protocol.enrolment import (
    PREFIX,
    Enrolment,
    EnrolRequest,
    ProtocolRange,
    SignedEnrolment,
    sign_enrolment,
    token_hash,
)
from shared.protocol.node import NodePublic, node_id
from shared.protocol.resource import organisation_shard
from shared.protocol.version import NEWEST, OLDEST, PROTOCOL

log = structlog.get_logger("sync")


class Enrolments:
    def __init__(
        self,
        database: Database,
        changes: Changes,
        authenticator: NodeAuthenticator,
        signing_key: Secret,
        endpoints: Sequence[str],
    ) -> None:
        """`endpoints`: URLs by which gateways reach this control plane."""
        self._database = database
        self._changes = changes
        self._authenticator = authenticator
        self._signing_key = signing_key
        self._endpoints = list(endpoints)

    async def enrol(self, signed: Signed, request_id: str) -> SignedEnrolment:
        """The same answer each time the same node sends the same token. Raises Unauthenticated, Invalid, Conflict."""
        stamp = self._authenticator.stamp(signed)
        asked = parse_body(signed.body, EnrolRequest)
        node = asked.node
        _check_node(node)
        if stamp.node != node.node:
            raise Unauthenticated("the request is signed by another node than it names", code="signature_wrong")
        self._authenticator.require_signature(stamp, node.sign, signed)
        require_common_protocol(asked.protocol)
        if not well_formed(asked.token, PREFIX):
            raise Unauthenticated("this is no enrolment token", code="token_unknown")
        gateway, organisation = await self._consume(token_hash(Secret(asked.token)), node, request_id)
        enrolment = Enrolment(
            protocol=PROTOCOL, organisation=organisation, gateway=gateway, node=node.node, endpoints=self._endpoints
        )
        return sign_enrolment(self._signing_key, enrolment)

    async def _consume(self, hash_: bytes, node: NodePublic, request_id: str) -> tuple[str, str]:
        """Gateway and organisation that the token was made for."""
        async with self._database.instance() as connection:
            token = await store.find_token(connection, hash_)
        if token is None:
            raise Unauthenticated("no such enrolment token; make one for this gateway", code="token_unknown")
        organisation: str = token["organisation"]
        principal = Principal(ActorKind.NODE, node.node, organisation)
        async with self._changes.open_instance(principal, organisation, request_id) as change:
            used = await store.use_token(change.connection, hash_, node.sign)
            # To repeat an answer is not to enrol anew: a token that let a node in does not undo its revocation.
            if used is not None and (used["first"] or not await store.is_revoked(change.connection, node.node)):
                gateway: str = used["gateway"]
                if not await store.enrol_node(change.connection, organisation, gateway, node):
                    raise Conflict("this node is enrolled at another gateway", code="node_elsewhere")
                change.record("gateways.enrol", "node", node.node, after={"gateway": gateway, "token": used["id"]})
                # Nodes of the gateway that watch get the key chain that now also names this one.
                await change.connection.execute("select pg_notify($1, $2)", CHANNEL, organisation_shard(organisation))
                return gateway, organisation
        await self._refuse(hash_, node, principal, request_id)
        raise Unauthenticated("the enrolment token has expired; make a new one for this gateway", code="token_expired")

    async def _refuse(self, hash_: bytes, node: NodePublic, principal: Principal, request_id: str) -> None:
        """Raises Conflict for a used token, having noted an attempt by somebody else where it shows."""
        async with self._changes.open_instance(principal, principal.organisation, request_id) as change:
            token = await store.find_token(change.connection, hash_)
            if token is None or token["used_by"] is None:
                return
            stolen = token["used_by"] != node.sign
            if stolen:
                await store.mark_used_again(change.connection, principal.organisation, token["id"])
                change.record("gateways.token_used_again", "enrolment_token", token["id"], after={"node": node.node})
        # Raised out here: what was noted stays.
        if stolen:
            log.error("enrolment_token_used_again", token=token["id"], gateway=token["gateway"], node=node.node)
        raise Conflict("the enrolment token has been used; make a new one for this gateway", code="token_used")


def require_common_protocol(spoken: ProtocolRange) -> None:
    """Raises Conflict where this build and the node have no version of the protocol in common (GHS/1 13.5)."""
    if spoken.min > NEWEST or spoken.max < OLDEST:
        here = f"{OLDEST} to {NEWEST}"
        raise Conflict(f"the node speaks protocol {spoken.min} to {spoken.max}; here it is {here}", code="protocol")


def _check_node(node: NodePublic) -> None:
    try:
        fits = node.node == node_id(node.sign) and len(node.sign) == hpke.KEY_BYTES
        hpke.seal(node.open, b"", Secret(b""))
    except hpke.HpkeError:
        raise Invalid("not an X25519 public key", pointer="/node/open") from None
    if not fits:
        raise Invalid("the id is not that of the signing key", pointer="/node/node")
