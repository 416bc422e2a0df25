"""What the gateway serves, asked of the control plane: a problem document that says whose it is."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from control_plane.ids import Ids
from control_plane.web.api import Api
from shared.clock import FakeClock
from shared.paths import ADMIN_NOUNS, DIALECT_DOORS, PASSED_DOORS
from tests.control_plane.web.test_public_routes import Nobody

OURS = [*DIALECT_DOORS, "/v1/models", "/v1/models/x", "/v1/assistants", *(f"/v1/{noun}/x" for noun in PASSED_DOORS)]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        *((path, "gateway_api_elsewhere") for path in OURS),
        *((f"/v1/{noun}", "not_found") for noun in sorted(ADMIN_NOUNS)),
        ("/v1//configs", "not_found"),
    ],
)
async def test_a_path_no_route_serves_says_whose_it_is(path: str, code: str) -> None:
    application = web.Application()
    Api(Nobody(), Ids(FakeClock())).add(application, [])
    async with TestClient(TestServer(application)) as client:
        for method in ("GET", "POST"):
            answer = await client.request(method, path)
            document = await answer.json(content_type="application/problem+json")
            assert (answer.status, document["code"]) == (404, code)
            assert path in document["detail"]
