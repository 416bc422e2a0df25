"""A service account's token: a signed assertion is exchanged for it (pure). Source: RFC 7523; Google's OAuth guide."""

import hashlib
from urllib.parse import urlencode

from gateway.providers.base import MASK, Grant, TokenForm, Translated
from gateway.providers.token import FORM_HEADERS, granted
from gateway.upstream.messages import Origin
from shared.crypto.secret import Secret
from shared.models.credential import ServiceAccountForm, Word

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
AUDIENCE = "https://oauth2.googleapis.com/token"
"""Whatever a key file says: an account is nobody's way to another host."""
_ORIGIN = Origin("https", "oauth2.googleapis.com", 443)
_GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class AccountToken(TokenForm):
    """What an account's key became."""

    project: Word
    location: Word


class ServiceAccount:
    """An Exchange (`providers/base.py`)."""

    __slots__ = ("_keys", "name")

    def __init__(self, keys: ServiceAccountForm) -> None:
        self._keys = keys
        self.name = hashlib.sha256(keys.sealable().reveal()).hexdigest()

    @property
    def mask(self) -> AccountToken:
        return self._token(MASK)

    def request(self, now_ms: int) -> Translated:
        """Raises GrantRefused for a private key that is none."""
        from gateway.providers.vertex.assertion import assertion  # noqa: PLC0415 - loaded by `Vertex.prepare`

        said = assertion(self._keys.service_account, SCOPE, AUDIENCE, now_ms // 1_000)
        asked = {"grant_type": _GRANT_TYPE, "assertion": said}
        return Translated(target="/token", headers=FORM_HEADERS, body=urlencode(asked).encode(), origin=_ORIGIN)

    def grant(self, status: int, body: bytes, now_ms: int) -> Grant:
        token, expires_at_ms = granted(status, body, now_ms)
        return Grant(self._token(token), expires_at_ms)

    def _token(self, token: Secret) -> AccountToken:
        return AccountToken(project=self._keys.project, location=self._keys.location, token=token)
