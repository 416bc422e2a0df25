"""Which calls are the same (pure): everything that may change an answer is in the key, by construction.

The key is a keyed digest, so that neither words nor their hashes can be read out of a name in Redis. The order of the
body's own fields does not count. What stands deeper keeps its order: a JSON schema's decides an answer's.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import orjson

from gateway.providers.base import Door
from gateway.view.route import Target
from shared.crypto.secret import Secret
from shared.models.credential import Form

DIGEST_BYTES = 32
FORMAT = b"1"
"""Another one, and nothing that was kept before is found again."""

ANSWER_HEADERS = (
    "openai-organization",
    "openai-project",
    "openai-beta",
    "anthropic-beta",
    "anthropic-version",
)
"""Of the headers that always go on to the provider those that may change its answer."""


class Question(msgspec.Struct, frozen=True):
    """A call as one target gets it."""

    workspace: str
    config: str
    """Id and revision of the saved config that applied; empty: none did."""
    partition: tuple[tuple[str, str], ...]
    """The namespace the caller named, else its metadata."""
    door: Door
    target: Target
    model: str
    body: Mapping[str, Any]
    """With the target's own changes: what is sent, before it is translated."""
    headers: tuple[tuple[str, str], ...]
    """Those of the caller's that go on and may change the answer."""


class Unkeyed(Exception):
    """A call that no key can stand for."""


def cache_key(secret: Secret, question: Question) -> str:
    """64 hex digits. Raises Unkeyed; CredentialUnavailable."""
    target, place = question.target, question.target.place
    # A saved key is known by its id, so that it can be renewed. One that was brought along is known by itself.
    own = b""
    if target.virtual_key_id is None and target.credential is not None:
        key = target.credential.key()
        if isinstance(key, Form):
            raise Unkeyed("a credential of several words was brought along")
        own = b"" if key is None else key.reveal()
    elif place.template and target.credential is not None:
        # Its words say whose resource it is. Models of one name may be others there.
        key = target.credential.key()
        own = _pairs(sorted(key.words().items())) if isinstance(key, Form) else b""
    address = f"{place.origin.scheme} {place.origin.authority}{place.prefix} {place.template}"
    parts = [
        FORMAT,
        _text(question.workspace),
        _text(question.config),
        _pairs(question.partition),
        _text(question.door),
        _text(place.provider),
        _text(address),
        b"".join(line for _, line in place.headers),
        _text(target.virtual_key_id or ""),
        own,
        _text(question.model),
        _pairs(question.headers),
        _body(question.body),
    ]
    return _digest(secret, parts)


def word_name(secret: Secret, api_key: str, word: str) -> str:
    """Of an idempotency key, which is its API key's own: 64 hex digits."""
    return _digest(secret, [b"word", _text(api_key), _text(word)])


def asked_digest(secret: Secret, path: str, body: bytes) -> str:
    """Of what is asked under an idempotency key, byte by byte: 64 hex digits."""
    return _digest(secret, [b"asked", _text(path), body])


def _digest(secret: Secret, parts: Iterable[bytes]) -> str:
    digest = hashlib.blake2b(key=secret.reveal(), digest_size=DIGEST_BYTES)
    for part in parts:
        digest.update(b"%d " % len(part))  # So that no two rows of parts read the same.
        digest.update(part)
    return digest.hexdigest()


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _pairs(pairs: Iterable[tuple[str, str]]) -> bytes:
    return b"".join(b"%d %b%d %b" % (len(n), n, len(v), v) for n, v in ((_text(n), _text(v)) for n, v in pairs))


def _body(body: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(sorted(body.items()))
    except orjson.JSONEncodeError:  # orjson reads 1,024 levels and writes 254.
        raise Unkeyed("nested too deep to be written") from None
