"""Whose page makes a browser send a request: ours, or another site's."""

from urllib.parse import urlsplit

from aiohttp import hdrs, web

from control_plane.errors import Forbidden

SAFE = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
"""Methods that change nothing."""
_PORTS = {"http": 80, "https": 443}

Site = tuple[str, str, int]
"""Scheme, host, port: what a browser calls an origin."""


class OwnPages:
    """`public_url`: the panel's address where a proxy in front does not pass on its `Host`."""

    def __init__(self, public_url: str | None) -> None:
        self._public = None if public_url is None else _site(public_url)

    def require(self, request: web.Request) -> None:
        """Raises Forbidden if a browser names another site in `Origin`. Programs, which send none, may pass."""
        origin = request.headers.get(hdrs.ORIGIN)
        if request.method in SAFE or origin is None:
            return
        sender = _site(origin)
        if sender is None or sender not in (self._public, _here(request, sender[0])):
            raise Forbidden("this request comes from a page of another site", code="origin_forbidden")


def _here(request: web.Request, scheme: str) -> Site | None:
    """This request's own site under the sender's scheme: a proxy may have ended TLS, but nothing can have added it."""
    if request.secure and scheme != "https":
        return None
    return _site(f"{scheme}://{request.host}")


def _site(url: str) -> Site | None:
    """None for what no page of ours can come from."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        return None
    return parts.scheme, parts.hostname or "", port
