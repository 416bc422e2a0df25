"""What the builder must remember: keys, revisions, sealed bytes, the last sequence. One private file.

It holds keys in the clear, so it is 0600 and stays here. The control plane's database takes its place later.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from control_plane.snapshots import files
from control_plane.snapshots.errors import BuildError
from shared.crypto import sign
from shared.crypto.secret import Secret
from shared.protocol import envelope
from shared.protocol.resource import SealedResource
from shared.protocol.wire import Base64, Count, Epoch, Name, WirePart, from_base64, to_base64

VERSION = 1


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard as last built. One that left the content stays here, empty, so that its revisions never start again."""

    epoch: int
    revision: int
    key_epoch: int
    key: Secret = field(repr=False)
    resources: tuple[SealedResource, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    organisation: str
    gateway: str
    sequence: int
    """Of the last lease."""
    hash_key: Secret = field(repr=False)
    data_plane_epoch: int
    data_plane_key: Secret = field(repr=False)
    shards: Mapping[str, Shard]


class _Resource(WirePart):
    kind: Name
    id: Name
    revision: Count
    schema_version: Count
    key_epoch: Epoch
    sealed: Base64


class _Shard(WirePart):
    epoch: Count
    revision: Count
    key_epoch: Epoch
    key: Base64
    resources: list[_Resource]


class _File(WirePart):
    version: int
    organisation: Name
    gateway: Name
    sequence: Count
    hash_key: Base64
    data_plane_epoch: Epoch
    data_plane_key: Base64
    shards: dict[str, _Shard]


def new_state(organisation: str, gateway: str) -> State:
    return State(
        organisation=organisation,
        gateway=gateway,
        sequence=0,
        hash_key=envelope.new_key(),
        data_plane_epoch=1,
        data_plane_key=envelope.new_key(),
        shards={},
    )


def load(path: Path) -> State | None:
    """What `save` wrote, or None if there is nothing yet. Raises BuildError, OSError."""
    try:
        file = _File.model_validate(orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (orjson.JSONDecodeError, ValidationError):
        raise BuildError(str(path), "not a state of this command; it may be damaged") from None
    if file.version != VERSION:
        raise BuildError(str(path), f"written in form {file.version}; this build reads form {VERSION}")
    return State(
        organisation=file.organisation,
        gateway=file.gateway,
        sequence=file.sequence,
        hash_key=Secret(file.hash_key),
        data_plane_epoch=file.data_plane_epoch,
        data_plane_key=Secret(file.data_plane_key),
        shards={name: _shard(name, shard) for name, shard in file.shards.items()},
    )


def save(path: Path, state: State) -> None:
    """Replace the file at once. Raises OSError."""
    data = {
        "version": VERSION,
        "organisation": state.organisation,
        "gateway": state.gateway,
        "sequence": state.sequence,
        "hash_key": to_base64(state.hash_key.reveal()),
        "data_plane_epoch": state.data_plane_epoch,
        "data_plane_key": to_base64(state.data_plane_key.reveal()),
        "shards": {name: _plain(shard) for name, shard in state.shards.items()},
    }
    files.write_whole(path, orjson.dumps(data), files.PRIVATE)


def signing_key(path: Path) -> Secret:
    """The control plane's signing key, base64 in a private file, made if it is missing. Raises BuildError, OSError."""
    text = files.read_or_make(path, lambda: to_base64(sign.new_key().reveal()).encode() + b"\n")
    try:
        key = Secret(from_base64(text.decode().strip()))
        sign.public_key(key)
    except ValueError:
        raise BuildError(str(path), "not a signing key (base64 of 32 bytes)") from None
    return key


def _shard(name: str, shard: _Shard) -> Shard:
    return Shard(
        epoch=shard.epoch,
        revision=shard.revision,
        key_epoch=shard.key_epoch,
        key=Secret(shard.key),
        resources=tuple(
            SealedResource(name, r.kind, r.id, r.revision, r.schema_version, r.key_epoch, r.sealed)
            for r in shard.resources
        ),
    )


def _plain(shard: Shard) -> dict[str, Any]:
    return {
        "epoch": shard.epoch,
        "revision": shard.revision,
        "key_epoch": shard.key_epoch,
        "key": to_base64(shard.key.reveal()),
        "resources": [
            {
                "kind": r.kind,
                "id": r.id,
                "revision": r.revision,
                "schema_version": r.schema_version,
                "key_epoch": r.key_epoch,
                "sealed": to_base64(r.sealed),
            }
            for r in shard.resources
        ],
    }
