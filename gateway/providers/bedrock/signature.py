"""AWS Signature Version 4 (pure). Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html.

Ours because it stands on the hot path: the vendor's signer takes the time from the clock, ten times as long, and twelve
megabytes of each worker. Tests hold it to that signer.
"""

import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import quote

from gateway.upstream.messages import Origin
from shared.crypto.secret import Secret

_ALGORITHM = "AWS4-HMAC-SHA256"


class AwsSigner:
    """A Signer (`providers/base.py`) for one service in one region."""

    __slots__ = ("_access_key_id", "_region", "_secret", "_service", "_session_token")

    def __init__(
        self, access_key_id: Secret, secret_access_key: Secret, session_token: Secret | None, region: str, service: str
    ) -> None:
        self._access_key_id = access_key_id
        self._secret = secret_access_key
        self._session_token = session_token
        self._region = region
        self._service = service

    def sign(self, method: str, origin: Origin, target: str, headers: bytes, body: bytes, now_ms: int) -> bytes:
        stamp = datetime.fromtimestamp(now_ms // 1_000, UTC).strftime("%Y%m%dT%H%M%SZ")
        signed = {"content-type": _content_type(headers), "host": origin.authority, "x-amz-date": stamp}
        if self._session_token is not None:
            signed["x-amz-security-token"] = self._session_token.reveal_text()
        names = ";".join(signed)
        path, _, query = target.partition("?")
        asked = "\n".join(
            (
                method,
                quote(path, safe="/~"),  # Once more than it was sent: so it is for every service but S3.
                "&".join(sorted(query.split("&"))),
                *(f"{name}:{value}" for name, value in signed.items()),
                "",
                names,
                hashlib.sha256(body).hexdigest(),
            )
        )
        scope = f"{stamp[:8]}/{self._region}/{self._service}/aws4_request"
        to_sign = f"{_ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(asked.encode()).hexdigest()}"
        key = b"AWS4" + self._secret.reveal()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        credential = f"{self._access_key_id.reveal_text()}/{scope}"
        lines = f"x-amz-date: {stamp}\r\n"
        if self._session_token is not None:
            lines += f"x-amz-security-token: {signed['x-amz-security-token']}\r\n"
        lines += (
            f"authorization: {_ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}\r\n"
        )
        return lines.encode()


def _content_type(headers: bytes) -> str:
    """Each of our requests has one, on the first line."""
    name, _, value = headers.partition(b"\r\n")[0].partition(b": ")
    assert name == b"content-type"
    return value.decode()
