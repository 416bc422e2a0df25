"""A service account's token: a signed assertion is exchanged for it (pure). Source: RFC 7523; Google's OAuth guide."""

import base64
import hashlib
from typing import Any
from urllib.parse import urlencode

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.providers.base import Grant, GrantRefused, Translated
from gateway.providers.token import FORM_HEADERS, granted
from gateway.upstream.messages import Origin
from shared.crypto.secret import Secret
from shared.models.credential import Form, ServiceAccountForm, Word

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
AUDIENCE = "https://oauth2.googleapis.com/token"
"""Whatever a key file says: an account is nobody's way to another host."""
ASSERTION_S = 3_600
_ORIGIN = Origin("https", "oauth2.googleapis.com", 443)
_GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class AccountToken(Form):
    """What an account's key became: words for the address, and who calls."""

    project: Word
    location: Word
    token: Secret


class ServiceAccount:
    """An Exchange (`providers/base.py`)."""

    __slots__ = ("_keys", "name")

    def __init__(self, keys: ServiceAccountForm) -> None:
        self._keys = keys
        self.name = hashlib.sha256(keys.sealable().reveal()).hexdigest()

    def request(self, now_ms: int) -> Translated:
        """Raises GrantRefused for a private key that is none."""
        asked = {"grant_type": _GRANT_TYPE, "assertion": self._assertion(now_ms // 1_000)}
        return Translated(target="/token", headers=FORM_HEADERS, body=urlencode(asked).encode(), origin=_ORIGIN)

    def grant(self, status: int, body: bytes, now_ms: int) -> Grant:
        token, expires_at_ms = granted(status, body, now_ms)
        keys = self._keys
        return Grant(AccountToken(project=keys.project, location=keys.location, token=token), expires_at_ms)

    def _assertion(self, now_s: int) -> str:
        account: dict[str, Any] = orjson.loads(self._keys.service_account.reveal())
        head = {"alg": "RS256", "typ": "JWT"}
        if isinstance(id_ := account.get("private_key_id"), str):
            head["kid"] = id_
        claims = {
            "iss": account["client_email"],
            "scope": SCOPE,
            "aud": AUDIENCE,
            "iat": now_s,
            "exp": now_s + ASSERTION_S,
        }
        said = b".".join([_encoded(orjson.dumps(head)), _encoded(orjson.dumps(claims))])
        signature = _private_key(account["private_key"]).sign(said, padding.PKCS1v15(), hashes.SHA256())
        return b".".join([said, _encoded(signature)]).decode("ascii")


def _private_key(pem: str) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise GrantRefused("the service account's private key is none") from None
    if not isinstance(key, RSAPrivateKey):
        raise GrantRefused("the service account's private key is none of RSA")
    return key


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
