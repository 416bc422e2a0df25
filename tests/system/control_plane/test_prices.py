"""Money from end to end: prices made over the API, calls through a gateway, and what their records say they cost."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import clickhouse_connect
import pytest
import pytest_asyncio
from clickhouse_connect.driver.asyncclient import AsyncClient

from chaos.stack import Stack, chat
from tests.fixtures.wire import Reply, Wire, call, request

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = "/v1/chat/completions"
AMOUNTS = {"input_usd_per_mtok": "0.15", "output_usd_per_mtok": "0.6"}
MTOK = 1_000_000


@dataclass(frozen=True, slots=True)
class Records:
    stack: Stack
    clickhouse: AsyncClient

    async def of(self, reply: Reply) -> dict[str, Any]:
        """The record of the request that was answered so, when it has come."""
        return await self.by_id(reply.headers["x-portkey-request-id"])

    async def by_id(self, id_: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = []

        async def come() -> bool:
            result = await self.clickhouse.query("select * from record where id = {id:String}", parameters={"id": id_})
            found[:] = list(result.named_results())
            return bool(found)

        await self.stack.control_plane.until(come)
        (record,) = found
        return record


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def records(planes: Stack) -> AsyncIterator[Records]:
    client = await clickhouse_connect.get_async_client(dsn=planes.clickhouse_url.reveal_text())
    try:
        yield Records(planes, client)
    finally:
        await client.close()


def authorization(stack: Stack) -> dict[str, str]:
    return {"authorization": f"Bearer {stack.workspaces[0].api_key}"}


async def a_call(stack: Stack, model: str = "sim-chat", **fields: Any) -> Reply:
    return await call(stack.nodes[0].port, CHAT, chat(model=model, **fields), authorization(stack))


async def priced(stack: Stack, **fields: Any) -> str:
    """A new price for the simulator, in effect at every worker. Its id."""
    made = await stack.api.post("/api/v1/prices", {"provider": "simulator", "valid_from": "2026-01-01", **fields})
    await stack.at_rest()
    return str(made["id"])


def by_hand(record: dict[str, Any], *, input_: str, output: str) -> Decimal:
    return (record["input_tokens"] * Decimal(input_) + record["output_tokens"] * Decimal(output)) / MTOK


async def test_a_call_costs_what_its_price_says_and_an_edit_counts_for_the_next_call(
    planes: Stack, records: Records
) -> None:
    before = await records.of(await a_call(planes))
    assert (before["price"], before["cost_usd"], before["usage"]) == ("", None, "provider")

    id_ = await priced(planes, model="sim-chat", amounts=AMOUNTS)
    reply = await a_call(planes)
    record = await records.of(reply)
    told = reply.json()["usage"]
    assert (record["input_tokens"], record["output_tokens"]) == (told["prompt_tokens"], told["completion_tokens"])
    assert (record["price"], record["price_adjustment"]) == (id_, "")
    assert record["cost_usd"] == by_hand(record, input_="0.15", output="0.6") > 0
    assert record["cost_usd"] == record["cost_input_usd"] + record["cost_output_usd"]

    await planes.api.patch(f"/api/v1/prices/{id_}", {"multiplier": "0.85"})
    await planes.at_rest()
    record = await records.of(await a_call(planes))
    assert (record["price"], record["price_adjustment"]) == (id_, id_)
    assert record["cost_usd"] == by_hand(record, input_="0.1275", output="0.51")

    await planes.api.delete(f"/api/v1/prices/{id_}")
    await planes.at_rest()
    record = await records.of(await a_call(planes))
    assert (record["price"], record["cost_usd"]) == ("", None)


async def test_a_call_under_way_is_charged_by_the_price_it_began_with(planes: Stack, records: Records) -> None:
    model = "sim-long-100-drip-100"
    id_ = await priced(planes, model=model, amounts=AMOUNTS)
    async with await Wire.open(planes.nodes[0].port) as wire:
        await wire.send(request("POST", CHAT, authorization(planes), chat(model=model, stream=True)))
        head = await wire.head()
        await wire.chunk()
        await planes.api.patch(f"/api/v1/prices/{id_}", {"multiplier": "100"})
        await planes.at_rest()
        while await wire.chunk():
            pass
    record = await records.by_id(head.headers["x-portkey-request-id"])
    assert (record["price"], record["price_adjustment"]) == (id_, "")
    assert record["cost_usd"] == by_hand(record, input_="0.15", output="0.6")


async def test_a_price_for_a_provider_reaches_every_model_of_it(planes: Stack, records: Records) -> None:
    id_ = await priced(planes, amounts=AMOUNTS)
    model = "sim-long-3"
    record = await records.of(await a_call(planes, model))
    assert (record["model"], record["price"], record["output_tokens"]) == (model, id_, 3)
    assert record["cost_usd"] == by_hand(record, input_="0.15", output="0.6")

    embedded = await call(
        planes.nodes[0].port, "/v1/embeddings", {"model": "sim-embed", "input": "Hello"}, authorization(planes)
    )
    record = await records.of(embedded)
    assert (record["usage"], record["output_tokens"]) == ("provider", 0)
    assert record["cost_usd"] == by_hand(record, input_="0.15", output="0") > 0
    await planes.api.delete(f"/api/v1/prices/{id_}")


async def test_a_stream_that_was_cut_is_estimated_from_what_had_come_and_has_a_cost(
    planes: Stack, records: Records
) -> None:
    id_ = await priced(planes, model="sim-cut-3", amounts=AMOUNTS)
    reply = await a_call(planes, "sim-cut-3", stream=True)
    record = await records.of(reply)
    assert (record["ending"], record["usage"], record["price"]) == ("broken", "estimated", id_)
    assert (record["input_tokens"], record["output_tokens"]) == (2, 2)
    assert record["cost_usd"] == by_hand(record, input_="0.15", output="0.6")


async def test_a_caller_who_leaves_pays_for_what_had_come(planes: Stack, records: Records) -> None:
    model = "sim-long-1000-drip-20"
    id_ = await priced(planes, model=model, amounts=AMOUNTS)
    async with await Wire.open(planes.nodes[0].port) as wire:
        await wire.send(request("POST", CHAT, authorization(planes), chat(model=model, stream=True)))
        head = await wire.head()
        for _ in range(20):
            await wire.chunk()
    record = await records.by_id(head.headers["x-portkey-request-id"])
    assert (record["ending"], record["usage"], record["price"]) == ("left", "estimated", id_)
    assert 5 <= record["output_tokens"] < 1_000
    assert record["cost_usd"] == by_hand(record, input_="0.15", output="0.6")


async def test_a_refused_call_costs_nothing_and_a_silent_provider_nobody_knows(planes: Stack, records: Records) -> None:
    await priced(planes, model="sim-error-429", amounts=AMOUNTS)
    record = await records.of(await a_call(planes, "sim-error-429"))
    assert (record["usage"], record["cost_usd"], record["price"]) == ("none", 0, "")
    await priced(planes, model="sim-badjson", amounts=AMOUNTS)
    record = await records.of(await a_call(planes, "sim-badjson"))
    assert (record["usage"], record["cost_usd"]) == ("unknown", None)
