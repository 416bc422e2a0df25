"""A small organisation as a verified state, sealed by nothing: what is in it is said in plain dictionaries."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.providers.registry import adapters, built_in_rows
from gateway.view.compile import Compiler, Opener
from gateway.view.view import Caller, ConfigView
from shared.crypto.api_keys import keyed_hash, new_api_key
from shared.crypto.secret import Secret
from shared.models.noun import Kind
from shared.protocol.envelope import EnvelopeError
from shared.protocol.lease import Lease
from shared.protocol.resource import SealedResource
from shared.protocol.snapshot import ShardState
from shared.protocol.version import PROTOCOL

HASH_KEY = Secret(b"h" * 32)
WORKSPACE = "ws:w1"
STORED_KEY = "sk-stored-of-main"
OTHER_STORED_KEY = "sk-stored-of-second"
AMOUNTS = {"input_usd_per_mtok": "1", "output_usd_per_mtok": "2"}
SHUT = b"shut"
"""The sealed bytes of a resource that does not open."""


class FakeOpener:
    """Everything lies open; what it opens is counted."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.credentials: list[str] = []

    def open(self, resource: SealedResource) -> bytes:
        self.opened.append(resource.id)
        if resource.sealed == SHUT:
            raise EnvelopeError("tag", "scripted")
        return resource.sealed

    def open_credential(self, virtual_key: SealedResource, credential: str) -> Secret:
        self.credentials.append(virtual_key.id)
        if credential == SHUT.decode():
            raise EnvelopeError("tag", "scripted")
        return Secret(credential)


@dataclass(frozen=True)
class FakeState:
    lease: Lease
    shards: Mapping[str, ShardState]
    opener: Opener


class World:
    """Two providers, a virtual key at each, one workspace, one caller. `put` and `drop` edit it."""

    def __init__(self) -> None:
        self.key = new_api_key().reveal_text()
        self.opener = FakeOpener()
        self._resources: dict[tuple[str, str, str], SealedResource] = {}
        self._sequence = 0
        self.put("org:o1", Kind.ORGANISATION, id="o1", name="O", api_key_hash_key=base64.b64encode(b"h" * 32).decode())
        self.put("global", Kind.PROVIDER, id="sim", name="Sim", base_url="http://sim.test:8000/v1")
        self.put("global", Kind.PROVIDER, id="acme", name="Acme", base_url="https://acme.test", doors=["chat"])
        for id_, provider, name in (
            ("m1", "sim", "sim-chat"),
            ("m2", "sim", "both"),
            ("m3", "acme", "both"),
            ("m4", "acme", "acme-chat"),
        ):
            self.put("global", Kind.MODEL, id=id_, provider=provider, name=name)
        self.price("pr1", provider="sim", model="sim-chat", amounts=AMOUNTS)
        self.workspace()
        self.virtual_key("main", "sim", STORED_KEY)
        self.virtual_key("second", "acme", OTHER_STORED_KEY)
        self.api_key("k1", self.key)

    def put(self, shard: str, kind: str, **body: Any) -> None:
        self.put_bytes(shard, kind, body["id"], orjson.dumps(body))

    def put_bytes(self, shard: str, kind: str, id_: str, sealed: bytes) -> None:
        self._resources[shard, kind, id_] = SealedResource(shard, str(kind), id_, 1, 1, 1, sealed)

    def drop(self, shard: str, kind: str, id_: str) -> None:
        del self._resources[shard, kind, id_]

    @property
    def names(self) -> list[tuple[str, str, str]]:
        return list(self._resources)

    def body(self, shard: str, kind: str, id_: str) -> dict[str, Any]:
        """As it was put."""
        body: dict[str, Any] = orjson.loads(self._resources[shard, kind, id_].sealed)
        return body

    def workspace(self, **fields: Any) -> None:
        self.put(WORKSPACE, Kind.WORKSPACE, **{"id": "w1", "slug": "w1", "name": "W", **fields})

    def virtual_key(self, slug: str, provider: str, api_key: str, **fields: Any) -> None:
        credential = orjson.dumps({"api_key": api_key}).decode()
        body = {"id": f"vk-{slug}", "workspace": "w1", "slug": slug, "name": slug, "provider": provider}
        self.put(WORKSPACE, Kind.VIRTUAL_KEY, **{**body, "credential": credential, **fields})

    def api_key(self, id_: str, text: str, **fields: Any) -> None:
        body = {"id": id_, "workspace": "w1", "name": id_, "hash": keyed_hash(HASH_KEY, text).hex()}
        self.put(WORKSPACE, Kind.API_KEY, **{**body, **fields})

    def price(self, id_: str, **fields: Any) -> None:
        self.put("org:o1", Kind.PRICE, **{"id": id_, "provider": "sim", "valid_from": "2026-01-01", **fields})

    def config(self, slug: str, body: dict[str, Any]) -> None:
        self.put(WORKSPACE, Kind.CONFIG, id=f"pc-{slug}", workspace="w1", slug=slug, name=slug, body=body)

    def state(self) -> FakeState:
        self._sequence += 1
        shards = {
            name: ShardState(name, 1, 1, tuple(r for r in self._resources.values() if r.shard == name))
            for name in sorted({shard for shard, _, _ in self._resources})
        }
        lease = Lease(
            protocol=PROTOCOL,
            organisation="o1",
            gateway="gw",
            sequence=self._sequence,
            issued_at_ms=0,
            expires_at_ms=1,
            vector=[],
            digest="0" * 64,
            key_chain="0" * 64,
        )
        return FakeState(lease, shards, self.opener)

    def view(self) -> ConfigView:
        """A view of it in which nothing was refused."""
        compiler = new_compiler()
        view = compiler.compile(self.state())
        assert compiler.refusals == ()
        return view

    def caller(self, text: str | None = None) -> Caller:
        caller = self.view().caller(text or self.key)
        assert caller is not None
        return caller


def new_compiler() -> Compiler:
    return Compiler(adapters(), built_in_rows())
