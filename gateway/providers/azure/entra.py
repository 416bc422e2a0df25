"""An application's token of its Entra tenant (pure). Source: Microsoft identity platform, client credentials flow."""

import hashlib
from urllib.parse import urlencode

from gateway.providers.base import MASK, Grant, TokenForm, Translated
from gateway.providers.token import FORM_HEADERS, granted
from gateway.upstream.messages import Origin
from shared.crypto.secret import Secret
from shared.models.credential import EntraForm, Word

SCOPE = "https://cognitiveservices.azure.com/.default"
_ORIGIN = Origin("https", "login.microsoftonline.com", 443)


class EntraToken(TokenForm):
    """What an application's credential became."""

    resource: Word
    api_version: Word | None = None


class TenantToken:
    """An Exchange (`providers/base.py`)."""

    __slots__ = ("_keys", "name")

    def __init__(self, keys: EntraForm) -> None:
        self._keys = keys
        self.name = hashlib.sha256(keys.sealable().reveal()).hexdigest()

    @property
    def mask(self) -> EntraToken:
        return self._token(MASK)

    def request(self, now_ms: int) -> Translated:  # noqa: ARG002 - a secret needs no time
        keys = self._keys
        assert keys.client_secret is not None
        asked = {
            "grant_type": "client_credentials",
            "client_id": keys.client_id,
            "client_secret": keys.client_secret.reveal_text(),
            "scope": SCOPE,
        }
        return Translated(
            target=f"/{keys.tenant_id}/oauth2/v2.0/token",
            headers=FORM_HEADERS,
            body=urlencode(asked).encode(),
            origin=_ORIGIN,
        )

    def grant(self, status: int, body: bytes, now_ms: int) -> Grant:
        token, expires_at_ms = granted(status, body, now_ms)
        return Grant(self._token(token), expires_at_ms)

    def _token(self, token: Secret) -> EntraToken:
        return EntraToken(resource=self._keys.resource, api_version=self._keys.api_version, token=token)
