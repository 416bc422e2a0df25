"""A provider that is added in the control plane is called through a gateway that runs already."""

import pytest
from aiohttp import web

from chaos.stack import Stack, chat
from tests.fixtures.processes import free_ports
from tests.fixtures.wire import call

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


async def test_a_new_provider_is_called_with_its_quirks_and_without_a_restart(planes: Stack) -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((request.headers["x-key"], await request.json()))
        return web.json_response(ANSWER)

    app = web.Application()
    app.router.add_post("/llm/chat/completions", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    (port,) = free_ports(1)
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        row = {
            "id": "newcomer",
            "name": "Newcomer",
            "base_url": f"http://127.0.0.1:{port}/llm",
            "auth_header": "x-key",
            "auth_prefix": "",
            "renamed": {"seed": "random_seed"},
            "refused": ["logit_bias"],
        }
        await planes.api.post("/api/v1/providers", row)
        key = {"slug": "newcomer", "name": "n", "provider": "newcomer", "credential": {"api_key": "sk-new"}}
        await planes.api.post(f"{planes.workspaces[0].path}/virtual-keys", key)
        await planes.at_rest()

        said = {"authorization": f"Bearer {planes.workspaces[0].api_key}"}
        to = planes.nodes[0].port
        reply = await call(to, "/v1/chat/completions", chat(model="@newcomer/m", seed=7), said)
        refused = await call(to, "/v1/chat/completions", chat(model="@newcomer/m", logit_bias={"1": 1}), said)
    finally:
        await runner.cleanup()
    assert reply.status == 200
    ((sent_key, body),) = asked
    assert (sent_key, body["random_seed"], "seed" in body) == ("sk-new", 7, False)
    assert refused.status == 400
    assert b"logit_bias" in refused.body
