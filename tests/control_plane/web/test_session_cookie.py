"""The session's cookie: read only from text, written so that scripts and other sites do not get it."""

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from control_plane.web import session_cookie
from shared.crypto.secret import Secret


@pytest.mark.parametrize(
    ("origin", "secure"),
    [(None, False), ("http://house.example", False), ("https://house.example", True)],
)
def test_it_is_secure_when_the_browser_came_by_https(origin: str | None, secure: bool) -> None:
    request = make_mocked_request("POST", "/", headers={} if origin is None else {"Origin": origin})
    response = web.Response()
    session_cookie.write(request, response, Secret("token"))
    written = response.cookies[session_cookie.NAME]
    assert bool(written["secure"]) is secure
    assert written["httponly"] is True
    assert written["samesite"] == "Lax"


@pytest.mark.parametrize(("sent", "read"), [("abc", "abc"), ("", None), ("\u00e9", None)])
def test_only_ascii_is_a_token(sent: str, read: str | None) -> None:
    request = make_mocked_request("GET", "/", headers={"Cookie": f"{session_cookie.NAME}={sent}"})
    token = session_cookie.read(request)
    assert (None if token is None else token.reveal_text()) == read
