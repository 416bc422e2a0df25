"""Writes the protocol's test vectors: fixed inputs, so the same bytes every time (`scripts/vectors`).

HPKE and the envelope's keys are computed here from RFC 9180 and RFC 5869 with nothing but HMAC, X25519 and AES, so that
the vectors do not merely repeat what the product's own code says.
"""

import base64
import hashlib
import hmac
import json
import zlib
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FOLDER = Path(__file__).parent
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def plain(value: Any) -> bytes:
    """Canonical form of what is used here: ASCII only, so Python's own order of keys is the right one."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def fixed(label: str, size: int = 32) -> bytes:
    """Bytes that look random and are not."""
    return hashlib.shake_256(label.encode()).digest(size)


def extract(salt: bytes, key: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), key, hashlib.sha256)


def expand(prk: bytes, info: bytes, size: int) -> bytes:
    block, output = b"", b""
    for counter in range(1, -(-size // 32) + 1):
        block = hmac.digest(prk, block + info + bytes((counter,)), hashlib.sha256)
        output += block
    return output[:size]


def canonical() -> dict[str, Any]:
    valid = [
        ("null", None),
        ("true", True),
        ("integers", [0, -1, 2**53 - 1, -(2**53) + 1]),
        ("empty", [{}, [], ""]),
        (
            "keys are sorted by their bytes",
            {"b": 1, "a": 2, "": 3, "aa": 4, "B": 5, "é": 6, "\U0001f600": 7, "\uffff": 8},
        ),
        ("escapes", 'quote " backslash \\ slash / \b\f\n\r\t \x00\x1f \x7f \u2028'),
        ("characters stay", "Grüße, 世界 \U0001f30d"),
        ("nested", {"a": [{"b": [None, False]}]}),
    ]
    invalid = {
        "a space": '{"a": 1}',
        "keys out of order": '{"b":1,"a":2}',
        "a key twice": '{"a":1,"a":1}',
        "a float": "1.5",
        "a float that is whole": "1.0",
        "an exponent": "1e3",
        "minus zero": "-0",
        "an integer too large": str(2**53),
        "an integer too small": str(-(2**53)),
        "an escape that is not needed": '"\\u0041"',
        "an escaped slash": '"\\/"',
        "upper case in an escape": '"\\u001F"',
        "a lone surrogate": '"\\ud800"',
        "a line feed at the end": "1\n",
        "a byte order mark": "\ufeff1",
        "two values": "1 2",
        "nothing": "",
        "not a number": "NaN",
    }
    return {
        "valid": [{"name": name, "value": value, "bytes": b64(_canonical(value))} for name, value in valid],
        "invalid": [{"name": name, "bytes": b64(text.encode())} for name, text in invalid.items()],
    }


def _canonical(value: Any) -> bytes:
    """Written out by the clauses, for values with any character."""
    if isinstance(value, dict):
        members = sorted(value.items(), key=lambda member: member[0].encode())
        return b"{" + b",".join(_canonical(key) + b":" + _canonical(inner) for key, inner in members) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(_canonical, value)) + b"]"
    return json.dumps(value, ensure_ascii=False).encode()


def envelope() -> dict[str, Any]:
    subject = {
        "organisation": "org_vector",
        "shard": "ws:ws_vector",
        "kind": "config",
        "id": "ws_vector/default",
        "revision": 7,
        "schema_version": 1,
        "key_epoch": 3,
    }
    secret = {**subject, "kind": "credential", "id": "ws_vector/openai", "revision": 0}
    everywhere = {**subject, "organisation": "global", "shard": "global", "kind": "provider", "id": "openai"}
    cases = [
        ("a config, compressed", 1, subject, b'{"virtual_key":"openai"}' * 20),
        ("a credential, not compressed", 2, secret, b'{"api_key":"sk-vector"}'),
        ("a provider, in the global shard", 1, everywhere, b'{"name":"OpenAI"}'),
        ("nothing at all", 2, subject, b""),
    ]
    return {
        "valid": [
            {
                "name": name,
                "key": b64(fixed("shard key")),
                "salt": b64(fixed(name)),
                "suite": suite,
                "subject": place,
                "plaintext": b64(plaintext),
                "sealed": b64(_seal(suite, place, plaintext, fixed(name))),
            }
            for name, suite, place, plaintext in cases
        ]
    }


def _seal(suite: int, place: dict[str, Any], plaintext: bytes, salt: bytes) -> bytes:
    derived = expand(extract(salt, fixed("shard key")), b"GHE1", 76)
    body = zlib.compress(plaintext) if suite == 1 else plaintext
    data = plain(["GHE1", suite, *place.values()])
    epoch: int = place["key_epoch"]
    head = b"GHE1" + bytes((suite,)) + epoch.to_bytes(4, "big") + salt + derived[32:64]
    return head + AESGCM(derived[:32]).encrypt(derived[64:], body, data)


def digest() -> dict[str, Any]:
    resources: list[dict[str, Any]] = [
        {
            "kind": kind,
            "id": name,
            "revision": revision,
            "schema_version": 1,
            "key_epoch": 1,
            "sealed": b64(fixed(name)),
        }
        for kind, name, revision in (("model", "a", 2), ("config", "b", 1), ("config", "a", 3), ("zebra", "é", 9))
    ]
    ordered = sorted(resources, key=lambda r: (r["kind"].encode(), r["id"].encode()))
    lines = [
        "\t".join(
            (
                r["kind"],
                r["id"],
                str(r["revision"]),
                "1",
                "1",
                hashlib.sha256(base64.b64decode(r["sealed"])).hexdigest(),
            )
        )
        for r in ordered
    ]
    shard = hashlib.sha256("".join(line + "\n" for line in ["GHS/1 shard", *lines]).encode()).hexdigest()
    empty = hashlib.sha256(b"GHS/1 shard\n").hexdigest()
    vector = [("ws:b", 1, 9, shard), ("global", 2, 3, empty)]
    rows = ["\t".join(map(str, entry)) for entry in sorted(vector)]
    state = hashlib.sha256("".join(row + "\n" for row in ["GHS/1 state", *rows]).encode()).hexdigest()
    return {
        "shards": [
            {"name": "four", "resources": resources, "digest": shard},
            {"name": "none", "resources": [], "digest": empty},
        ],
        "states": [
            {
                "name": "two shards",
                "vector": [dict(zip(("shard", "epoch", "revision", "digest"), entry, strict=True)) for entry in vector],
                "digest": state,
            }
        ],
    }


def lease() -> dict[str, Any]:
    key = Ed25519PrivateKey.from_private_bytes(fixed("signing key"))
    public = key.public_key().public_bytes_raw()
    content = {
        "protocol": "GHS/1",
        "organisation": "org_vector",
        "gateway": "gw_vector",
        "sequence": 42,
        "issued_at_ms": 1_795_255_579_808,
        "expires_at_ms": 1_795_341_979_808,
        "vector": [{"shard": "global", "epoch": 1, "revision": 3, "digest": fixed("shard digest").hex()}],
        "digest": fixed("state digest").hex(),
        "key_chain": fixed("key chain").hex(),
    }
    payload = plain(content)
    return {
        "valid": [
            {
                "name": "one shard",
                "signing_key": b64(fixed("signing key")),
                "content": content,
                "lease": {
                    "payload": b64url(payload),
                    "signature": b64url(key.sign(b"GHS/1 lease\n" + payload)),
                    "public_key": b64url(public),
                },
                "fingerprint": "sha256:" + hashlib.sha256(public).hexdigest(),
            }
        ]
    }


def request() -> dict[str, Any]:
    key = fixed("node signing key")
    private = Ed25519PrivateKey.from_private_bytes(key)
    cases = []
    for name, path, body in (
        ("a heartbeat", "/sync/v1/heartbeat", plain({"have": [], "lease": None})),
        ("an empty body", "/sync/v1/watch", b""),
    ):
        nonce, time_ms, node = fixed(f"nonce of {name}", 16), 1_795_255_579_808, "nd_3f0c52a1b09d44e7a1c2"
        digest = hashlib.sha256(body).hexdigest()
        signed = b"GHS/1 request\n" + plain(["POST", path, digest, time_ms, b64(nonce), node])
        headers = {
            "x-gatehouse-node": node,
            "x-gatehouse-time": str(time_ms),
            "x-gatehouse-nonce": b64(nonce),
            "x-gatehouse-signature": b64(private.sign(signed)),
        }
        cases.append(
            {
                "name": name,
                "signing_key": b64(key),
                "public_key": b64(private.public_key().public_bytes_raw()),
                "method": "POST",
                "path": path,
                "body": b64(body),
                "headers": headers,
            }
        )
    return {"valid": cases}


def batch() -> dict[str, Any]:
    """The payloads are zstd frames (RFC 8878) whose one block is stored as it is: no compressor has a say in them."""
    fields = ["id", "started_at_ms", "mode", "door", "stream", "ending", "cache", "usage", "attempts", "metadata"]
    counts = ["attempt_count", "retry_count", "fallback_count", "unsettled_count", "request_bytes", "response_bytes"]
    row = ["lg_" + fixed("record", 16).hex(), 1_795_255_579_808, "standard", "chat", False, "complete", "disabled"]
    whole = [*row, "provider", [["config", "acme", "acme-large", None, 200, None, 350, 412000]], {"team": "a"}]
    drop = {"reason": "spool_full", "count": 12, "from_ms": 1_795_255_570_000, "to_ms": 1_795_255_579_000}
    cases = []
    for name, content in (
        ("nothing", {"fields": [], "rows": [], "drops": []}),
        (
            "a record by its known fields, one that is none, a drop",
            {
                "fields": [*fields, *counts, "cost_picousd", "of_a_newer_gateway"],
                "rows": [[*whole, 1, 0, 0, 0, 5400, 640, 213000000, "?"], ["lg_short"]],
                "drops": [drop],
            },
        ),
    ):
        head = {"seq": 7, "stream": "0123456789abcdef"}
        payload = _zstd_stored(plain(content))
        text = plain(head)
        cases.append(
            {
                "name": name,
                "head": head,
                "content": content,
                "payload_hash": hashlib.sha256(payload).hexdigest(),
                "body": b64(b"GHB1" + len(text).to_bytes(4, "big") + text + payload),
            }
        )
    return {"valid": cases}


def _zstd_stored(content: bytes) -> bytes:
    """RFC 8878: one segment whose size takes two bytes, or one; one raw block, the last."""
    size = bytes([0x20, len(content)]) if len(content) < 256 else b"\x60" + (len(content) - 256).to_bytes(2, "little")
    return b"\x28\xb5\x2f\xfd" + size + (len(content) << 3 | 1).to_bytes(3, "little") + content


def enrolment() -> dict[str, Any]:
    key = fixed("control plane signing key")
    private = Ed25519PrivateKey.from_private_bytes(key)
    public = private.public_key().public_bytes_raw()
    node_public = Ed25519PrivateKey.from_private_bytes(fixed("node signing key")).public_key().public_bytes_raw()
    content = {
        "protocol": "GHS/1",
        "organisation": "org_1",
        "gateway": "gw_1",
        "node": "nd_" + hashlib.sha256(node_public).hexdigest()[:20],
        "endpoints": ["https://house.example"],
    }
    payload = plain(content)
    secret = _key("ghe", "enrolment token")
    fingerprint = hashlib.sha256(public).hexdigest()
    return {
        "valid": [
            {
                "name": "one endpoint",
                "signing_key": b64(key),
                "node_public_key": b64(node_public),
                "token": f"{secret}.{fingerprint}",
                "token_hash": hashlib.sha256(secret.encode()).hexdigest(),
                "content": content,
                "answer": {
                    "payload": b64url(payload),
                    "signature": b64url(private.sign(b"GHS/1 enrolment\n" + payload)),
                    "public_key": b64url(public),
                },
            }
        ]
    }


def hpke() -> dict[str, Any]:
    receiver, ephemeral = (
        X25519PrivateKey.from_private_bytes(fixed(name)) for name in ("opening key", "ephemeral key")
    )
    info = plain(["GHS/1 data-plane key", "org_vector", "gw_vector", "nd_vector", 1])
    sealed = _hpke_seal(receiver.public_key(), ephemeral, info, fixed("data-plane key"))
    return {
        "valid": [
            {
                "name": "a data-plane key",
                "opening_key": b64(fixed("opening key")),
                "public_key": b64(receiver.public_key().public_bytes_raw()),
                "organisation": "org_vector",
                "gateway": "gw_vector",
                "node": "nd_vector",
                "epoch": 1,
                "data_plane_key": b64(fixed("data-plane key")),
                "sealed": b64(sealed),
            }
        ]
    }


def _hpke_seal(receiver: X25519PublicKey, ephemeral: X25519PrivateKey, info: bytes, plaintext: bytes) -> bytes:
    """RFC 9180, base mode, single shot, with the ephemeral key given: sections 4, 4.1, 5.1 and 5.2."""
    kem, suite = b"KEM" + (0x20).to_bytes(2, "big"), b"HPKE" + bytes.fromhex("002000010002")

    def labeled_extract(suite_id: bytes, salt: bytes, label: bytes, key: bytes) -> bytes:
        return extract(salt, b"HPKE-v1" + suite_id + label + key)

    def labeled_expand(suite_id: bytes, prk: bytes, label: bytes, context: bytes, size: int) -> bytes:
        return expand(prk, size.to_bytes(2, "big") + b"HPKE-v1" + suite_id + label + context, size)

    encapsulated = ephemeral.public_key().public_bytes_raw()
    secret = labeled_extract(kem, b"", b"eae_prk", ephemeral.exchange(receiver))
    shared = labeled_expand(kem, secret, b"shared_secret", encapsulated + receiver.public_bytes_raw(), 32)
    context = (
        b"\x00" + labeled_extract(suite, b"", b"psk_id_hash", b"") + labeled_extract(suite, b"", b"info_hash", info)
    )
    schedule = labeled_extract(suite, shared, b"secret", b"")
    key = labeled_expand(suite, schedule, b"key", context, 32)
    nonce = labeled_expand(suite, schedule, b"base_nonce", context, 12)
    return encapsulated + AESGCM(key).encrypt(nonce, plaintext, b"")


def api_key() -> dict[str, Any]:
    hash_key = fixed("hash key")
    good = [(prefix, _key(prefix, f"{prefix} {number}")) for prefix in ("gh", "ghe", "gha") for number in (1, 2)]
    one = good[0][1]
    bad = {
        "empty": "",
        "a provider's key": "sk-proj-abcdefghijklmnopqrstuvwxyz",
        "a letter short": one[:-1],
        "a letter more": one + "a",
        "two letters swapped": one[:10] + one[11] + one[10] + one[12:],
        "another prefix": "ghe" + one[2:],
        "a space in it": one[:10] + " " + one[11:],
        "another alphabet": one[:10] + "é" + one[11:],
    }
    return {
        "valid": [
            {
                "prefix": prefix,
                "key": text,
                "hash_key": b64(hash_key),
                "hash": hmac.digest(hash_key, text.encode(), hashlib.sha256).hex(),
            }
            for prefix, text in good
        ],
        "invalid": [{"name": name, "key": text} for name, text in bad.items()],
    }


def _key(prefix: str, label: str) -> str:
    head = f"{prefix}_" + "".join(ALPHABET[byte % 62] for byte in fixed(label, 43))
    rest, digits = zlib.crc32(head.encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        digits = ALPHABET[digit] + digits
    return head + digits


def main() -> None:
    for make in (canonical, envelope, digest, lease, request, batch, enrolment, hpke, api_key):
        path = FOLDER / make.__name__ / "vectors.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(make(), indent=1, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
