"""Which of a caller's headers a config may have sent on to a provider, by name (pure)."""

import re

from shared.models.provider import FRAMING

NAMES_MAX = 50

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]{1,100}")
_OURS = ("x-portkey-", "x-gatehouse-")
_STAY = FRAMING | {"accept", "cookie", "set-cookie", "proxy-authenticate", "proxy-authorization"}


def forwardable(name: str) -> str:
    """The header's name in lower case. Raises ValueError for one that never goes on."""
    name = name.strip(" \t").lower()
    if not _TOKEN.fullmatch(name):
        raise ValueError("the name of a header is wanted here: letters, digits and hyphens")
    if name in _STAY or name.startswith(_OURS):
        raise ValueError(f"`{name}` is not sent on: it is the gateway's own business, or the caller's with the gateway")
    return name
