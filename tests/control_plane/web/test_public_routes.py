"""Public routes: marked as such, described as such, and never by accident."""

import pytest
from aiohttp import web

from control_plane.ids import Ids
from control_plane.permissions import Principal
from control_plane.web.api import Api
from control_plane.web.openapi import describe
from control_plane.web.route import Call, Route
from shared.clock import FakeClock


class Nobody:
    """Lets nobody in, and has nothing against any page."""

    async def principal(self, request: web.Request) -> Principal:
        raise AssertionError(request.path)

    def require_own_page(self, request: web.Request) -> None:
        assert request.path


async def answer(_: Call) -> None:
    return None


@pytest.mark.parametrize(("action", "public"), [("configs.list", True), ("configs.fly", False), ("", False)])
def test_a_route_is_public_or_has_a_permission_and_never_both(action: str, public: bool) -> None:
    route = Route("GET", "/x", action, answer, "X", public=public)
    with pytest.raises(ValueError, match="/x"):
        Api(Nobody(), Ids(FakeClock())).add(web.Application(), [route])


def test_the_description_says_who_needs_no_login() -> None:
    routes = [
        Route("POST", "/open", "open.create", answer, "Open", public=True),
        Route("GET", "/closed", "configs.list", answer, "Closed"),
    ]
    paths = describe(routes, "1")["paths"]
    assert paths["/open"]["post"]["security"] == []
    assert paths["/open"]["post"]["operationId"] == "open_create"
    assert "security" not in paths["/closed"]["get"]
