"""Enrolment: the one-use token, what a node sends with it, and the signed answer (GHS/1 11). Pure."""

import hashlib
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field, ValidationError

from shared.crypto import api_keys
from shared.crypto.secret import Secret
from shared.protocol import canonical
from shared.protocol.node import NodePublic
from shared.protocol.signed import SignedDocument, sign_document
from shared.protocol.version import NEWEST, OLDEST, PROTOCOL
from shared.protocol.wire import Name, WirePart

PREFIX = "ghe"
TOKEN_LIFE_S = 3_600
"""From its making until it cannot be used any more."""
REPEAT_LIFE_S = 600
"""How long the node that used a token gets the same answer again, should the first have been lost."""
ENDPOINTS_MAX = 16

PATH = "/sync/v1/enrol"

_FINGERPRINT_HEAD = "sha256:"
_HEX_CHARS = 64


@dataclass(frozen=True, slots=True)
class EnrolmentToken:
    """`ghe_…` and, behind a dot, the hex of the fingerprint that the node is to pin."""

    secret: Secret = field(repr=False)
    """The part before the dot: what is sent, and what is stored by its hash."""
    fingerprint: str
    """`sha256:…` of the control plane's signing key."""

    @property
    def text(self) -> Secret:
        """The whole token, to be shown once."""
        return Secret(f"{self.secret.reveal_text()}.{self.fingerprint.removeprefix(_FINGERPRINT_HEAD)}")

    @property
    def hash(self) -> bytes:
        return token_hash(self.secret)


def new_token(fingerprint: str) -> EnrolmentToken:
    return EnrolmentToken(api_keys.new_api_key(PREFIX), fingerprint)


def parse_token(text: str) -> EnrolmentToken:
    """Raises ValueError; the error does not hold the token."""
    secret, dot, digits = text.partition(".")
    if not dot or not api_keys.well_formed(secret, PREFIX):
        raise ValueError("not an enrolment token (`ghe_…`), or one with a letter changed or lost")
    if len(digits) != _HEX_CHARS or set(digits) - set("0123456789abcdef"):
        raise ValueError("the enrolment token's end, the fingerprint of the control plane, is not whole")
    return EnrolmentToken(Secret(secret), _FINGERPRINT_HEAD + digits)


def token_hash(secret: Secret) -> bytes:
    """SHA-256: the secret has 256 random bits of its own, so nothing slower is needed (GHS/1 11.2)."""
    return hashlib.sha256(secret.reveal()).digest()


class ProtocolRange(WirePart):
    """The protocol versions a node speaks."""

    min: Annotated[int, Field(ge=1, le=1_000)] = OLDEST
    """The oldest version spoken."""
    max: Annotated[int, Field(ge=1, le=1_000)] = NEWEST
    """The newest one."""


class EnrolRequest(WirePart):
    token: Annotated[str, Field(min_length=1, max_length=100, repr=False)]
    """Its secret part."""
    node: NodePublic
    """The node's public half."""
    build: Name
    """Version of the gateway's program."""
    protocol: ProtocolRange
    """Protocol versions spoken."""


class Enrolment(WirePart):
    """What a node is from now on, and where it finds its control plane."""

    protocol: str
    organisation: Name
    gateway: Name
    node: Name
    endpoints: Annotated[list[Name], Field(max_length=ENDPOINTS_MAX)]
    """URLs: scheme, host and port."""


class SignedEnrolment(SignedDocument):
    """The answer: the same bytes each time, since nothing in it depends on when it was made."""

    head = b"GHS/1 enrolment\n"


class EnrolmentError(Exception):
    """An answer that is no enrolment by the control plane that the token names."""


def sign_enrolment(key: Secret, enrolment: Enrolment) -> SignedEnrolment:
    return sign_document(SignedEnrolment, key, canonical.encode(enrolment.model_dump(mode="json")))


def read_enrolment(data: bytes, *, fingerprint: str, node: str) -> Enrolment:
    """Raises EnrolmentError unless the key with this fingerprint signed it, for this node (GHS/1 11.5)."""
    try:
        signed = SignedEnrolment.model_validate_json(data)
    except ValidationError:
        raise EnrolmentError("the answer is no signed document") from None
    if signed.fingerprint != fingerprint:
        raise EnrolmentError(f"signed by {signed.fingerprint}; the token names {fingerprint}")
    if not signed.is_genuine():
        raise EnrolmentError("the signature does not fit the answer")
    try:
        enrolment = Enrolment.model_validate(canonical.decode(signed.payload))
    except (canonical.CanonicalError, ValidationError):
        raise EnrolmentError("what was signed is no enrolment") from None
    if enrolment.protocol != PROTOCOL:
        raise EnrolmentError(f"of protocol {enrolment.protocol!r}; this build speaks {PROTOCOL}")
    if enrolment.node != node:
        raise EnrolmentError(f"made for node {enrolment.node}; this is {node}")
    return enrolment
