"""AWS Signature Version 4, by the vendor's own signer. Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html.

Whoever imports this module loads botocore, a quarter of a second and 8 MB: `Bedrock.prepare` does, beside the calls.
"""

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from gateway.upstream.messages import Origin
from shared.crypto.secret import Secret

_ADDED = ("x-amz-date", "x-amz-security-token", "authorization")


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

    def sign(self, method: str, origin: Origin, target: str, headers: bytes, body: bytes) -> bytes:
        signed = {"host": origin.authority, "content-type": _content_type(headers)}
        request = AWSRequest(method, f"{origin.scheme}://{origin.authority}{target}", signed, body)
        # Made for each request: what botocore holds of a key lives no longer than its signature.
        token = None if self._session_token is None else self._session_token.reveal_text()
        credentials = Credentials(self._access_key_id.reveal_text(), self._secret.reveal_text(), token)
        SigV4Auth(credentials, self._service, self._region).add_auth(request)
        return "".join(f"{name}: {request.headers[name]}\r\n" for name in _ADDED if name in request.headers).encode()


def _content_type(headers: bytes) -> str:
    """Each of our requests has one, on the first line."""
    name, _, value = headers.partition(b"\r\n")[0].partition(b": ")
    assert name == b"content-type"
    return value.decode()
