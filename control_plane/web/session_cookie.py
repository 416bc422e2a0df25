"""The cookie that holds a browser's session: its name, its attributes, and how it is read and written."""

from aiohttp import web

from shared.crypto.secret import Secret

NAME = "gatehouse_session"
AGE_S_MAX = 7 * 24 * 3600
"""How long a browser keeps it; the session itself may end sooner, and never later."""


def read(request: web.Request) -> Secret | None:
    """The token as it was sent; None without one. What is not ASCII is no token of ours."""
    value = request.cookies.get(NAME)
    return Secret(value) if value and value.isascii() else None


def write(request: web.Request, response: web.Response, token: Secret | None) -> None:
    """Give the browser a session, or with None take it away."""
    value, age_s = ("", 0) if token is None else (token.reveal_text(), AGE_S_MAX)
    response.set_cookie(
        NAME, value, max_age=age_s, path="/", httponly=True, samesite="Lax", secure=_came_by_https(request)
    )


def _came_by_https(request: web.Request) -> bool:
    # Behind a proxy that ends TLS only the browser knows: it names its own scheme in `Origin` with every POST.
    return request.secure or request.headers.get("Origin", "").startswith("https://")
