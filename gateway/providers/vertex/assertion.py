"""What a service account says of itself to be granted a token, signed by Google's own library (pure).

Whoever imports this module loads google-auth: `Vertex.prepare` does, beside the calls.
"""

from typing import Any

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from google.auth import jwt
from google.auth.crypt import RSASigner

from gateway.providers.base import GrantRefused
from shared.crypto.secret import Secret

ASSERTION_S = 3_600


def assertion(key_file: Secret, scope: str, audience: str, now_s: int) -> str:
    """A JWT, made of the text of a service account's key file. Raises GrantRefused for a key that is none."""
    account: dict[str, Any] = orjson.loads(key_file.reveal())
    claims = {
        "iss": account["client_email"],
        "scope": scope,
        "aud": audience,
        "iat": now_s,
        "exp": now_s + ASSERTION_S,
    }
    try:
        said: bytes = jwt.encode(RSASigner.from_service_account_info(account), claims)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Of another kind of key the library makes a signer too, which cannot sign.
        raise GrantRefused("the service account's private key is none of RSA") from None
    return said.decode("ascii")
