"""Certificates as people paste them: checked as far as it can be told without the host they are for. Pure.

What reads them is loaded where it is used: of a gateway's start it is a twentieth, and few have certificates to read.
"""

from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm

from shared.crypto.secret import Secret

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

PEM_CHARS_MAX = 64 * 1024


def pem_certificates(value: object) -> str:
    """One or more certificates in PEM. Raises ValueError, which shows nothing of them."""
    text = _text(value)
    _loaded(text)
    return text


def client_certificate(value: object) -> Secret:
    """A certificate, its chain, and the first one's private key. Raises ValueError, which shows nothing of them."""
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - see above
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    text = _text(value)
    first = _loaded(text)[0]
    try:
        key = load_pem_private_key(text.encode(), None)
    except TypeError:
        raise ValueError("the private key has a password; one without is wanted") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("a private key in PEM is wanted behind the certificates") from None
    shapes = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*shapes) != first.public_key().public_bytes(*shapes):
        raise ValueError("the private key is not that of the first certificate")
    return Secret(text)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a text is wanted here")  # noqa: TRY004 - pydantic turns only ValueError into a fault
    if len(value) > PEM_CHARS_MAX:
        raise ValueError(f"at most {PEM_CHARS_MAX} characters are wanted")
    return value.strip() + "\n"


def _loaded(text: str) -> "list[Certificate]":
    from cryptography import x509  # noqa: PLC0415 - see above

    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        raise ValueError("certificates in PEM are wanted (-----BEGIN CERTIFICATE-----)") from None
