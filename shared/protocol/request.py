"""A node's signature over a request: method, path, body, time and nonce (GHS/1 12). Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from shared.crypto import sign
from shared.crypto.secret import Secret
from shared.protocol import canonical
from shared.protocol.wire import from_base64, to_base64

NODE = "x-gatehouse-node"
TIME = "x-gatehouse-time"
NONCE = "x-gatehouse-nonce"
SIGNATURE = "x-gatehouse-signature"

BODY_BYTES_MAX = 4 * 1024 * 1024
"""Of a request (GHS/1 12.4)."""
NONCE_BYTES = 16
SIGNATURE_BYTES = 64
TIME_OFF_MS_MAX = 300_000
"""How far a request's time may be from the reader's clock, either way."""
NONCE_KEPT_MS = 600_000
"""How long a nonce is remembered: as long as a request that carries it could be taken."""

_HEAD = b"GHS/1 request\n"
_NAME_CHARS_MAX = 300


class RequestError(ValueError):
    """Headers that are missing or malformed. The text holds none of their values."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the headers say, not checked yet."""

    node: str
    time_ms: int
    nonce: bytes
    signature: bytes

    def is_by(self, public: bytes, method: str, path: str, body: bytes) -> bool:
        """Whether the owner of `public` signed exactly this request."""
        return sign.verify(public, _signed(self.node, method, path, body, self.time_ms, self.nonce), self.signature)

    def is_timely(self, now_ms: int) -> bool:
        return abs(now_ms - self.time_ms) <= TIME_OFF_MS_MAX


def stamp(key: Secret, node: str, *, method: str, path: str, body: bytes, time_ms: int, nonce: bytes) -> dict[str, str]:
    """The four headers. `path` as in the request line, without a query; `nonce`: NONCE_BYTES, never used twice."""
    signature = sign.sign(key, _signed(node, method, path, body, time_ms, nonce))
    return {NODE: node, TIME: str(time_ms), NONCE: to_base64(nonce), SIGNATURE: to_base64(signature)}


def read_stamp(headers: Mapping[str, str]) -> Stamp:
    """Raises RequestError."""
    try:
        node, time, nonce, signature = (headers[name] for name in (NODE, TIME, NONCE, SIGNATURE))
    except KeyError as error:
        raise RequestError(f"the header {error.args[0]} is missing") from None
    if not (time.isascii() and time.isdecimal() and len(time) <= 15 and str(int(time)) == time):
        raise RequestError(f"{TIME} is no number of milliseconds")
    if not (0 < len(node) <= _NAME_CHARS_MAX and node.isascii() and node.isprintable()):
        raise RequestError(f"{NODE} is no node's id")
    return Stamp(node, int(time), _bytes(NONCE, nonce, NONCE_BYTES), _bytes(SIGNATURE, signature, SIGNATURE_BYTES))


def _signed(node: str, method: str, path: str, body: bytes, time_ms: int, nonce: bytes) -> bytes:
    digest = hashlib.sha256(body).hexdigest()
    return _HEAD + canonical.encode([method, path, digest, time_ms, to_base64(nonce), node])


def _bytes(name: str, text: str, length: int) -> bytes:
    try:
        data = from_base64(text)
    except ValueError:
        data = b""
    if len(data) != length:
        raise RequestError(f"{name} is not {length} bytes in base64")
    return data
