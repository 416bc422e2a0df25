"""Taking a role: keys are exchanged for those of a session (pure). Source: AWS STS API reference, AssumeRole."""

import hashlib
import html
import re
from datetime import datetime
from urllib.parse import urlencode

from gateway.providers.base import MASK, USER_AGENT, Grant, GrantRefused, Signer, Translated
from gateway.upstream.messages import Origin
from shared.crypto.secret import Secret
from shared.models.credential import AwsForm

SESSION_NAME = "gatehouse"
SESSION_S = 3_600
"""What every role allows, also one that is taken by another."""
_FIELDS = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
_HEADERS = b"content-type: application/x-www-form-urlencoded\r\naccept: application/xml\r\n" + USER_AGENT


class AssumedRole:
    """An Exchange (`providers/base.py`)."""

    __slots__ = ("_keys", "name")

    def __init__(self, keys: AwsForm) -> None:
        self._keys = keys
        self.name = hashlib.sha256(keys.sealable().reveal()).hexdigest()

    @property
    def mask(self) -> AwsForm:
        keys = {"access_key_id": MASK, "secret_access_key": MASK, "session_token": MASK}
        return self._keys.model_copy(update={**keys, "role_arn": None, "external_id": None})

    def request(self, now_ms: int) -> Translated:  # noqa: ARG002 - the time is in its signature
        keys = self._keys
        asked = {
            "Action": "AssumeRole",
            "Version": "2011-06-15",
            "RoleArn": keys.role_arn,
            "RoleSessionName": SESSION_NAME,
            "DurationSeconds": SESSION_S,
        }
        if keys.external_id is not None:
            asked["ExternalId"] = keys.external_id
        return Translated(
            target="/",
            headers=_HEADERS,
            body=urlencode(asked).encode(),
            origin=Origin("https", f"sts.{keys.region}.amazonaws.com", 443),
            signer=signer_of(keys, "sts"),
        )

    def grant(self, status: int, body: bytes, now_ms: int) -> Grant:  # noqa: ARG002 - it tells when it ends
        text = body.decode("utf-8", "replace")
        if status != 200:
            raise GrantRefused(f"the role cannot be taken: {_element('Code', text) or f'status {status}'}")
        found = {name: _element(name, text) for name in _FIELDS}
        try:
            ends = datetime.fromisoformat(found["Expiration"])
        except ValueError:
            ends = None
        if ends is None or ends.tzinfo is None or not all(found.values()):
            raise GrantRefused("the role cannot be taken: what came is no session")
        session = self._keys.model_copy(
            update={
                "access_key_id": Secret(found["AccessKeyId"]),
                "secret_access_key": Secret(found["SecretAccessKey"]),
                "session_token": Secret(found["SessionToken"]),
                "role_arn": None,
                "external_id": None,
            }
        )
        return Grant(session, int(ends.timestamp() * 1_000))


def signer_of(keys: AwsForm, service: str) -> Signer | None:
    """None: the key goes into a header."""
    if keys.access_key_id is None or keys.secret_access_key is None:
        return None
    from gateway.providers.bedrock.signature import AwsSigner  # noqa: PLC0415 - loaded by `Bedrock.prepare`

    return AwsSigner(keys.access_key_id, keys.secret_access_key, keys.session_token, keys.region, service)


def _element(name: str, text: str) -> str:
    """The text of the first element of this name; no parser, so that no document can make one work hard."""
    found = re.search(rf"<{name}>([^<]{{1,8192}})</{name}>", text)
    return html.unescape(found[1]).strip() if found else ""
