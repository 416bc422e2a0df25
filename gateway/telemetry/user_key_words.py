"""What nodes of one gateway say to each other about the user key: signed, and only nodes are heard (GHS/1 17.14). Pure.

A statement is `{payload, sign, signature}`: the payload is the canonical form of `{gateway, node, …}`, signed by the
node's key over its kind. Whose key that is is in its id, and the verified key chain says which nodes there are, so
whoever can write to Redis and is no node says nothing that anybody heeds.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeVar

import orjson
from pydantic import ValidationError

from gateway.sync.node_keys import NodeKeys
from shared.crypto import hpke, sign
from shared.crypto.secret import Secret
from shared.protocol import canonical
from shared.protocol.node import node_id
from shared.protocol.wire import Base64, Count, Hex256, Name, WirePart


class _Payload(WirePart):
    gateway: Name
    node: Name


class Claim(_Payload):
    """This node has the key of this fingerprint."""

    fingerprint: Hex256
    """SHA-256 of the key."""
    at_ms: Count
    """When it was signed."""


class Request(_Payload):
    """This node wants the key."""

    open: Base64
    """Its raw X25519 public key."""


class Answer(_Payload):
    """This node gives the key to another."""

    to: Name
    fingerprint: Hex256
    sealed: Base64
    """By HPKE to the other's opening key."""


class _Statement(WirePart):
    payload: Base64
    sign: Base64
    """The node's raw Ed25519 public key."""
    signature: Base64


P = TypeVar("P", Claim, Request, Answer)


@dataclass(frozen=True, slots=True)
class Circle:
    """Who speaks to whom: the nodes of one gateway, by its verified key chain."""

    organisation: str
    gateway: str
    nodes: Collection[str]


def say(word: Claim | Request | Answer, node_keys: NodeKeys) -> bytes:
    payload = canonical.encode(word.model_dump(mode="json"))
    signature = sign.sign(node_keys.signing, _head(type(word)) + payload)
    statement = _Statement(payload=payload, sign=node_keys.public.sign, signature=signature)
    return orjson.dumps(statement.model_dump(mode="json"))


def hear(kind: type[P], data: bytes | None, circle: Circle) -> P | None:
    """What a node of this gateway said; None for anything else."""
    if data is None:
        return None
    try:
        statement = _Statement.model_validate(orjson.loads(data))
        if not sign.verify(statement.sign, _head(kind) + statement.payload, statement.signature):
            return None
        word = kind.model_validate(canonical.decode(statement.payload))
    except (orjson.JSONDecodeError, ValidationError, canonical.CanonicalError):
        return None
    known = word.node == node_id(statement.sign) and word.node in circle.nodes and word.gateway == circle.gateway
    return word if known else None


def seal(key: Secret, fingerprint: str, request: Request, circle: Circle, node_keys: NodeKeys) -> bytes | None:
    """The answer to a request; None if what it brings is no opening key."""
    try:
        sealed = hpke.seal(request.open, _info(circle, request.node, fingerprint), key)
    except hpke.HpkeError:
        return None
    answer = Answer(
        gateway=circle.gateway, node=node_keys.node, to=request.node, fingerprint=fingerprint, sealed=sealed
    )
    return say(answer, node_keys)


def open_(answer: Answer, circle: Circle, node_keys: NodeKeys) -> Secret | None:
    """The key; None if it is for somebody else."""
    try:
        return hpke.open_(node_keys.opening, _info(circle, node_keys.node, answer.fingerprint), answer.sealed)
    except hpke.HpkeError:
        return None


def _head(kind: type[WirePart]) -> bytes:
    return b"GHS/1 user key " + kind.__name__.lower().encode() + b"\n"


def _info(circle: Circle, node: str, fingerprint: str) -> bytes:
    return canonical.encode(["GHS/1 user key", circle.organisation, circle.gateway, node, fingerprint])
