"""Whose request it is: headers, clock, signature, nonce, in that order (GHS/1 12)."""

from collections.abc import Mapping
from dataclasses import dataclass

from control_plane.db.pool import Database
from control_plane.errors import Unauthenticated
from control_plane.sync import store
from shared.clock import Clock
from shared.protocol import request
from shared.protocol.request import RequestError, Stamp


@dataclass(frozen=True, slots=True)
class Signed:
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Node:
    """An enrolled node."""

    id: str
    organisation: str
    gateway: str


class NodeAuthenticator:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def stamp(self, signed: Signed) -> Stamp:
        """The headers, if they are whole and of now. Raises Unauthenticated."""
        stamp = _stamp(signed.headers)
        now_ms = self._clock.wall_ms()
        if not stamp.is_timely(now_ms):
            off_s = abs(now_ms - stamp.time_ms) / 1000
            raise Unauthenticated(f"the request's time is {off_s:.0f} s off the clock here", code="signature_time")
        return stamp

    async def require_enrolled(self, headers: Mapping[str, str]) -> None:
        """Whether there is a node as which a request's headers sign; its body, which has not come, is to prove it.

        Raises Unauthenticated, Unavailable.
        """
        node = _stamp(headers).node
        async with self._database.instance() as connection:
            row = await store.find_node(connection, node)
        if row is None:
            raise _unknown(node)
        if row["revoked"]:
            raise _revoked(node)

    def require_signature(self, stamp: Stamp, public: bytes, signed: Signed) -> None:
        """Raises Unauthenticated."""
        if not stamp.is_by(public, signed.method, signed.path, signed.body):
            raise Unauthenticated("the signature does not fit the request", code="signature_wrong")

    async def node(self, signed: Signed) -> Node:
        """The enrolled node that signed, the first time it sent this. Raises Unauthenticated, Unavailable."""
        stamp = self.stamp(signed)
        async with self._database.instance() as connection:
            row = await store.find_node(connection, stamp.node)
            if row is None:
                raise _unknown(stamp.node)
            self.require_signature(stamp, row["sign"], signed)
            if row["revoked"]:
                raise _revoked(stamp.node)
            if not await store.take_nonce(connection, stamp.node, stamp.nonce):
                raise Unauthenticated("this very request came before", code="nonce_used")
        return Node(row["id"], row["organisation"], row["gateway"])

    async def require_still(self, node: Node) -> None:
        """Raises Unauthenticated for a node that was revoked while it waited (GHS/1 15.2)."""
        async with self._database.instance() as connection:
            row = await store.find_node(connection, node.id)
        if row is not None and row["revoked"]:
            raise _revoked(node.id)


def _stamp(headers: Mapping[str, str]) -> Stamp:
    try:
        return request.read_stamp(headers)
    except RequestError as error:
        raise Unauthenticated(str(error), code="signature_malformed") from None


def _unknown(node: str) -> Unauthenticated:
    told = f"no node {node} is enrolled here; to enrol it anew, start it with a new token and without its identity.json"
    return Unauthenticated(told, code="node_unknown")


def _revoked(node: str) -> Unauthenticated:
    return Unauthenticated(f"node {node} was revoked", code="node_revoked")
