"""Furnishes the control plane for the local stack: workspace, provider, prices, virtual keys, config, API key, gateway.

Everything is looked up by name first. What belongs to the stack is put right where it differs: the simulator's address,
and the keys that were found. What people may have changed since (the default config, say) is left as they want it.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from embedded.api_client import ApiClient, ApiError, Row
from embedded.provider_keys import ProviderKey
from embedded.simulator.misbehaviour import CHAT
from embedded.simulator.models import LISTED
from embedded.state import MADE_BY, StateFolder, kept, write_private
from shared.crypto.secret import Secret

WORKSPACE = "local"
GATEWAY = "local"
SIMULATOR = "simulator"
CONFIG = "default"
PRICED_FROM = "2026-01-01"
PRICE_OF_CHAT = {
    "input_usd_per_mtok": "0.15",
    "output_usd_per_mtok": "0.6",
    "cache_read_usd_per_mtok": "0.075",
    "batch_input_usd_per_mtok": "0.075",
    "batch_output_usd_per_mtok": "0.3",
}


@dataclass(frozen=True, slots=True)
class Furniture:
    """What the rest of the start needs to know of what is there."""

    api_key: Secret
    gateway: str
    """Its id."""


class Furnisher:
    """`api` sends an admin key that may do everything. Every method raises ApiError."""

    def __init__(self, api: ApiClient, state: StateFolder, report: Callable[[str], None]) -> None:
        self._api = api
        self._report = report
        self._api_key_file = state.secrets / "api_key"
        self._sent_file = state.secrets / "virtual_keys.json"

    async def furnish(
        self, simulator_url: str, simulator_key: Secret, found: Sequence[ProviderKey], gateway_url: str
    ) -> Furniture:
        row = await self._kept("/api/v1/workspaces", "slug", {"slug": WORKSPACE, "name": "Local"})
        workspace = f"/api/v1/workspaces/{row['id']}"
        address = f"{simulator_url}/v1"
        provider = await self._provider(address)
        await self._prices()
        keys = {SIMULATOR: simulator_key} | {key.provider: key.key for key in found}
        await self._virtual_keys(f"{workspace}/virtual-keys", keys, address)
        await self._put_right(provider, address)
        config = {"slug": CONFIG, "name": "Default", "body": {"virtual_key": SIMULATOR}}
        await self._kept(f"{workspace}/configs", "slug", config)
        api_key = await self._api_key(f"{workspace}/api-keys")
        return Furniture(api_key, await self._gateway(gateway_url))

    async def enrolment_token(self, gateway: str) -> Secret:
        made = await self._api.post(f"/api/v1/gateways/{gateway}/enrolment-tokens")
        return Secret(made["token"])

    async def node(self, gateway: str, node: str) -> Row | None:
        """A node that is enrolled at the gateway; None: it never was, or is not any more."""
        row = await self._api.found(f"/api/v1/gateways/{gateway}/nodes/{node}")
        return None if row is None or row["state"] == "revoked" else row

    async def _kept(self, path: str, named_by: str, body: Row) -> Row:
        """The row of this name as it is; made if there is none."""
        async for row in self._api.rows(path, filter=f"{named_by}:{body[named_by]}"):
            if row[named_by] == body[named_by]:
                return row
        return await self._api.post(path, body)

    async def _gateway(self, url: str) -> str:
        """Its id. Where it is reached is put right: it may have moved to other ports."""
        row = await self._kept("/api/v1/gateways", "name", {"name": GATEWAY, "url": url})
        if row["url"] != url:
            await self._api.patch(f"/api/v1/gateways/{row['id']}", {"url": url})
        id_: str = row["id"]
        return id_

    async def _provider(self, address: str) -> Row:
        """The simulator's row as it is; made if there is none."""
        row = await self._api.found(f"/api/v1/providers/{SIMULATOR}")
        if row is not None:
            return row
        body = {"id": SIMULATOR, "name": "Simulator", "base_url": address, "models": list(LISTED)}
        return await self._api.post("/api/v1/providers", body)

    async def _put_right(self, row: Row, address: str) -> None:
        """Of the simulator's row what the stack has otherwise by now. Its port may have moved."""
        if row["models"] != list(LISTED):
            await self._api.patch(f"/api/v1/providers/{SIMULATOR}", {"models": list(LISTED)})
        if row["base_url"] == address:
            return
        try:
            await self._api.patch(f"/api/v1/providers/{SIMULATOR}", {"base_url": address})
        except ApiError as error:
            if error.code != "credentials_stored":
                raise
            self._report(f"the provider {SIMULATOR!r} is not told that the simulator moved to {address}: {error}")

    async def _prices(self) -> None:
        """Of the simulator's chat. Its other models have none, so that a price that is not known can be seen too."""
        async for _ in self._api.rows("/api/v1/prices", filter=f"provider:{SIMULATOR}"):
            return
        chat = {"provider": SIMULATOR, "model": CHAT, "valid_from": PRICED_FROM, "amounts": PRICE_OF_CHAT}
        await self._api.post("/api/v1/prices", chat)

    async def _virtual_keys(self, path: str, wanted: Mapping[str, Secret], simulator: str) -> None:
        """Those of our making become `wanted`, by slug, which is also the provider; others are left alone.

        The simulator's says its address itself: with its credential it moves, which its provider's row may not.
        """
        rows = [row async for row in self._api.rows(path)]
        there = {row["slug"]: row["name"] for row in rows}
        addresses = {row["slug"]: row["base_url"] for row in rows}
        file = kept(self._sent_file)
        sent: dict[str, str] = {} if file is None else orjson.loads(file.reveal())
        for slug, secret in wanted.items():
            given: dict[str, object] = {"credential": {"api_key": secret.reveal_text()}}
            moved = slug == SIMULATOR and addresses.get(slug) != simulator
            if slug == SIMULATOR:
                given["base_url"] = simulator
            if slug not in there:
                await self._api.post(path, {"slug": slug, "name": MADE_BY, "provider": slug, **given})
            elif there[slug] != MADE_BY:
                self._report(f'virtual key "{slug}" is not of our making and stays as it is')
            elif moved or sent.get(slug) != _digest(secret):
                await self._api.patch(f"{path}/{slug}", given)
        for slug, name in there.items():
            if name == MADE_BY and slug not in wanted:
                await self._drop_virtual_key(path, slug)
        write_private(self._sent_file, orjson.dumps({slug: _digest(secret) for slug, secret in wanted.items()}))

    async def _drop_virtual_key(self, path: str, slug: str) -> None:
        try:
            await self._api.delete(f"{path}/{slug}")
        except ApiError as error:
            if error.code != "in_use":
                raise
            self._report(f'virtual key "{slug}" stays although its key has gone: something still names it')

    async def _api_key(self, path: str) -> Secret:
        """The kept key if it is still good, else a new one."""
        key = kept(self._api_key_file)
        if key is not None:
            async for row in self._api.rows(path, filter=f"tail:{key.reveal_text()[-4:]} state:active"):
                if row["name"] == MADE_BY:
                    return key
        scopes = ["completions.write", "explain"]
        made = await self._api.post(path, {"name": MADE_BY, "scopes": scopes, "default_config": CONFIG})
        write_private(self._api_key_file, made["key"].encode())
        return Secret(made["key"])


def _digest(secret: Secret) -> str:
    """By which a key is known to have been sent, without being kept a second time."""
    return hashlib.sha256(secret.reveal()).hexdigest()
