"""A document that the control plane signed: the bytes as signed, the signature, and the key to check it with."""

from typing import ClassVar, TypeVar

from shared.crypto import sign
from shared.crypto.secret import Secret
from shared.protocol.wire import Base64Url, WirePart

S = TypeVar("S", bound="SignedDocument")


class SignedDocument(WirePart):
    """The key proves nothing by being there: its fingerprint must be the pinned one (GHS/1 6.4, 11.5)."""

    head: ClassVar[bytes]
    """Stands before the payload where it is signed, so that a signature over one kind of document fits no other."""

    payload: Base64Url
    """What was signed, as it came from the control plane."""
    signature: Base64Url
    """Ed25519 by the control plane."""
    public_key: Base64Url
    """The control plane's."""

    @property
    def fingerprint(self) -> str:
        return sign.fingerprint(self.public_key)

    def is_genuine(self) -> bool:
        """Whether the key it carries signed its payload. Whose key that is, the fingerprint says."""
        return sign.verify(self.public_key, self.head + self.payload, self.signature)


def sign_document(type_: type[S], key: Secret, payload: bytes) -> S:
    signature = sign.sign(key, type_.head + payload)
    return type_(payload=payload, signature=signature, public_key=sign.public_key(key))
