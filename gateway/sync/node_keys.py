"""The node's own keys: made at first start, never leaving it, 0600 (GHS/1 5.1)."""

from pathlib import Path

import msgspec
import orjson
from pydantic import ValidationError

from gateway.sync import private_files
from shared.crypto import hpke, sign
from shared.crypto.secret import Secret
from shared.protocol.node import NodePublic, node_id
from shared.protocol.wire import Base64, WirePart, to_base64

PRIVATE_FILE = "node.key.json"
PUBLIC_FILE = "node.public.json"


class NodeKeysError(Exception):
    """The private file is there and is not what this program wrote. Replacing it is for a person to decide."""


class NodeKeys(msgspec.Struct, frozen=True):
    node: str
    """`nd_` and 20 hex digits of the signing key's fingerprint: an id that needs no file of its own."""
    signing: Secret
    """Ed25519, raw."""
    opening: Secret
    """X25519, raw."""

    @property
    def public(self) -> NodePublic:
        return NodePublic(node=self.node, sign=sign.public_key(self.signing), open=hpke.public_key(self.opening))


class _File(WirePart):
    sign: Base64
    open: Base64


def load_or_make(state_dir: Path) -> NodeKeys:
    """The node's keys, and `node.public.json` beside them. Several processes may start at once: all get the same keys.

    Raises NodeKeysError if the private file is damaged, OSError if the folder cannot be written.
    """
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    private = state_dir / PRIVATE_FILE
    if not private.exists():
        fresh = {"sign": to_base64(sign.new_key().reveal()), "open": to_base64(hpke.new_key().reveal())}
        private_files.write_once(private, orjson.dumps(fresh))
    keys = _read(private)
    public = orjson.dumps(keys.public.model_dump(mode="json"))
    if not _holds(state_dir / PUBLIC_FILE, public):
        private_files.write(state_dir / PUBLIC_FILE, public)
    return keys


def _read(private: Path) -> NodeKeys:
    try:
        file = _File.model_validate(orjson.loads(private.read_bytes()))
        keys = Secret(file.sign), Secret(file.open)
        node = node_id(sign.public_key(keys[0]))
        hpke.public_key(keys[1])
    except (orjson.JSONDecodeError, ValidationError, ValueError):
        raise NodeKeysError(f"{private} is damaged; restore it, or remove it and enrol the node anew") from None
    return NodeKeys(node, *keys)


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except FileNotFoundError:
        return False
