"""An application's token of its Entra tenant (pure). Source: Microsoft identity platform, client credentials flow."""

import hashlib
from urllib.parse import urlencode

from gateway.providers.base import Grant, Translated
from gateway.providers.token import FORM_HEADERS, granted
from gateway.upstream.messages import Origin
from shared.crypto.secret import Secret
from shared.models.credential import EntraForm, Form, Word

SCOPE = "https://cognitiveservices.azure.com/.default"
_ORIGIN = Origin("https", "login.microsoftonline.com", 443)


class EntraToken(Form):
    """What an application's credential became: words for the address, and who calls."""

    resource: Word
    api_version: Word | None = None
    token: Secret


class TenantToken:
    """An Exchange (`providers/base.py`)."""

    __slots__ = ("_keys", "name")

    def __init__(self, keys: EntraForm) -> None:
        self._keys = keys
        self.name = hashlib.sha256(keys.sealable().reveal()).hexdigest()

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
        keys = self._keys
        return Grant(EntraToken(resource=keys.resource, api_version=keys.api_version, token=token), expires_at_ms)
