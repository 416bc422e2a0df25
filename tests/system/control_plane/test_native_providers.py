"""A virtual key for a provider with a dialect of its own, made in the control plane, is callable without a restart."""

from typing import Any

import orjson
import pytest

from chaos.stack import Stack, chat
from embedded.simulator.manners import ACCESS_KEY_ID
from tests.fixtures.wire import Reply, call, look

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def made(stack: Stack, slug: str, **fields: Any) -> None:
    """A virtual key whose host is the simulator, in effect at every worker."""
    path = f"/api/v1/workspaces/{stack.workspaces[0].id}/virtual-keys"
    await stack.api.post(path, {"slug": slug, "name": slug, **fields})
    await stack.at_rest()


async def asked(stack: Stack, model: str, path: str = "/v1/chat/completions", **fields: Any) -> Reply:
    own = {"authorization": f"Bearer {stack.workspaces[0].api_key}"}
    return await call(stack.nodes[0].port, path, chat(model=model, **fields), own)


def aws(stack: Stack, **fields: str) -> dict[str, str]:
    secret = stack.simulator_key.reveal_text()
    return {"region": "eu-west-1", "access_key_id": ACCESS_KEY_ID, "secret_access_key": secret, **fields}


async def test_a_key_of_the_messages_api_is_callable_at_both_its_doors(planes: Stack) -> None:
    key = {"api_key": planes.simulator_key.reveal_text()}
    await made(planes, "claude", provider="anthropic", credential=key, base_url=f"{planes.simulator_url}/v1")
    reply = await asked(planes, "@claude/sim-chat")
    assert (reply.status, reply.headers["x-portkey-provider"]) == (200, "anthropic")
    assert orjson.loads(reply.body)["id"].startswith("msg_")
    message = await asked(planes, "@claude/sim-chat", "/v1/messages", max_tokens=50)
    assert orjson.loads(message.body)["type"] == "message"


async def test_keys_of_aws_sign_and_their_form_is_told(planes: Stack) -> None:
    form = await planes.api.found("/api/v1/providers/bedrock/credential-schema")
    assert form is not None
    assert form["json_schema"]["required"] == ["region"]
    host = {"provider": "bedrock", "base_url": planes.simulator_url}
    await made(planes, "aws", **host, credential=aws(planes))
    reply = await asked(planes, "@aws/sim-chat")
    assert (reply.status, reply.headers["x-portkey-provider"]) == (200, "bedrock")
    streamed = await asked(planes, "@aws/sim-chat", stream=True)
    assert streamed.body.endswith(b"data: [DONE]\n\n")

    await made(planes, "aws-wrong", **host, credential=aws(planes, secret_access_key="another"))
    refused = await asked(planes, "@aws-wrong/sim-chat")
    assert refused.status == 403
    assert "signature" in orjson.loads(refused.body)["error"]["message"]


async def test_a_provider_of_one_s_own_has_a_form_headers_and_a_template(planes: Stack) -> None:
    host, port = planes.simulator_url.removeprefix("http://").split(":")
    assert host == "127.0.0.1"
    row = {
        "id": "own-aws",
        "name": "Own",
        "dialect": "bedrock",
        "credential": "aws",
        "base_url": f"http://{{region}}:{port}",
        "headers": {"x-team": "blue"},
        "doors": ["chat"],
    }
    await planes.api.post("/api/v1/providers", row)
    await made(planes, "own", provider="own-aws", credential=aws(planes))
    reply = await asked(planes, "@own/sim-chat")
    assert reply.status == 502, "there is no host of the region's name alone"
    assert "could not be reached" in orjson.loads(reply.body)["error"]["message"]

    moved = {"base_url": planes.simulator_url, "credential": aws(planes)}
    await planes.api.patch(f"/api/v1/workspaces/{planes.workspaces[0].id}/virtual-keys/own", moved)
    await planes.at_rest()
    assert (await asked(planes, "@own/sim-chat")).status == 200
    seen = await look(planes.ports.simulator, "/simulator/calls?after=0")
    assert ["x-team", "blue"] in orjson.loads(seen.body)[-1]["headers"]


async def test_a_host_that_wants_no_key_is_callable_without_one(planes: Stack) -> None:
    form = await planes.api.found("/api/v1/providers/ollama/credential-schema")
    assert form is not None
    assert "api_key" not in form["json_schema"].get("required", [])
    await made(planes, "own-host", provider="ollama", credential={}, base_url=planes.simulator_url)
    reply = await asked(planes, "@own-host/sim-chat")
    assert (reply.status, reply.headers["x-portkey-provider"]) == (200, "ollama")
    streamed = await asked(planes, "@own-host/sim-chat", stream=True)
    assert streamed.body.endswith(b"data: [DONE]\n\n")
    refused = await asked(planes, "@own-host/sim-chat", tool_choice="required")
    assert orjson.loads(refused.body)["error"]["param"] == "/tool_choice"


async def test_a_key_of_a_provider_with_ids_of_its_own_is_callable(planes: Stack) -> None:
    key = {"api_key": planes.simulator_key.reveal_text()}
    await made(planes, "le-chat", provider="mistral-ai", credential=key, base_url=f"{planes.simulator_url}/chunked/v1")
    reply = await asked(planes, "@le-chat/sim-chat", seed=1)
    assert (reply.status, reply.headers["x-portkey-provider"]) == (200, "mistral-ai")


@pytest.mark.parametrize(("provider", "prefix"), [("google", "/v1beta"), ("cohere", "/v2")])
async def test_a_key_of_a_provider_whose_chats_are_no_chats_is_callable(
    planes: Stack, provider: str, prefix: str
) -> None:
    key = {"api_key": planes.simulator_key.reveal_text()}
    await made(planes, f"own-{provider}", provider=provider, credential=key, base_url=planes.simulator_url + prefix)
    reply = await asked(planes, f"@own-{provider}/sim-chat")
    assert (reply.status, reply.headers["x-portkey-provider"]) == (200, provider)
    assert orjson.loads(reply.body)["choices"][0]["finish_reason"] == "stop"
    seen = await look(planes.ports.simulator, "/simulator/calls?after=0")
    assert orjson.loads(seen.body)[-1]["path"].startswith(prefix)


async def test_an_account_stands_in_the_address_of_a_provider_of_one_s_own(planes: Stack) -> None:
    port = planes.ports.simulator
    row = {
        "id": "accounts",
        "name": "Accounts",
        "credential": "account",
        "base_url": f"http://127.0.0.1:{port}/{{account}}",
        "doors": ["chat"],
    }
    await planes.api.post("/api/v1/providers", row)
    form = await planes.api.found("/api/v1/providers/accounts/credential-schema")
    assert form is not None
    assert set(form["json_schema"]["required"]) == {"account", "api_key"}
    key = planes.simulator_key.reveal_text()
    await made(planes, "account", provider="accounts", credential={"account": "v1", "api_key": key})
    assert (await asked(planes, "@account/sim-chat")).status == 200
    await made(planes, "nowhere", provider="accounts", credential={"account": "v2", "api_key": key})
    assert (await asked(planes, "@nowhere/sim-chat")).status == 404
