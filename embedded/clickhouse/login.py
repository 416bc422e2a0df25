"""Who may ask: one user with one password, by HTTP's basic authentication. Pure."""

import base64
import binascii
from typing import Final

from shared.crypto.secret import Secret

USER: Final = "gatehouse"


class Login:
    def __init__(self, password: Secret) -> None:
        self._credentials = Secret(USER.encode() + b":" + password.reveal())

    def admits(self, authorization: str) -> bool:
        """`authorization`: the header's value, empty if there is none."""
        scheme, _, value = authorization.partition(" ")
        try:
            shown = base64.b64decode(value.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        return scheme.lower() == "basic" and self._credentials.matches(shown)


def header(password: Secret) -> str:
    """What a caller shows."""
    return "Basic " + base64.b64encode(USER.encode() + b":" + password.reveal()).decode()
