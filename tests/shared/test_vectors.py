"""The vectors in `tests/vectors`, byte for byte: what any implementation of GHS/1 must compute."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from shared.crypto import api_keys, hpke, sign
from shared.crypto.secret import Secret
from shared.protocol import batch, canonical, enrolment, envelope, key_chain, lease, request
from shared.protocol.digest import ShardPosition, shard_digest, state_digest
from shared.protocol.envelope import Subject, Suite
from shared.protocol.key_chain import DataPlaneKey
from shared.protocol.lease import Lease, SignedLease
from shared.protocol.node import node_id
from shared.protocol.resource import SealedResource

FOLDER = Path(__file__).parents[1] / "vectors"


def cases(subject: str, group: str) -> list[Any]:
    listed = json.loads((FOLDER / subject / "vectors.json").read_text())[group]
    return [pytest.param(case, id=case.get("name", case.get("key"))) for case in listed]


def unpack(text: str) -> bytes:
    return base64.b64decode(text)


@pytest.mark.parametrize("case", cases("canonical", "valid"))
def test_canonical_form(case: dict[str, Any]) -> None:
    """GHS/1 2.1."""
    assert canonical.encode(case["value"]) == unpack(case["bytes"])
    assert canonical.decode(unpack(case["bytes"])) == case["value"]


@pytest.mark.parametrize("case", cases("canonical", "invalid"))
def test_what_is_not_canonical_is_refused(case: dict[str, Any]) -> None:
    """GHS/1 2.2, 2.3."""
    with pytest.raises(canonical.CanonicalError):
        canonical.decode(unpack(case["bytes"]))


@pytest.mark.parametrize("case", cases("envelope", "valid"))
def test_envelope(case: dict[str, Any]) -> None:
    """GHS/1 3.1, 3.2, 3.3. A compressed body depends on the compressor, so only opening must agree there."""
    key, subject = Secret(unpack(case["key"])), Subject(**case["subject"])
    sealed, plaintext = unpack(case["sealed"]), unpack(case["plaintext"])
    assert envelope.open_(key, subject, sealed) == plaintext
    ours = envelope.seal(key, subject, plaintext, Suite(case["suite"]), salt=unpack(case["salt"]))
    if case["suite"] == Suite.PLAIN:
        assert ours == sealed
    assert ours[: envelope.HEADER_BYTES] == sealed[: envelope.HEADER_BYTES]


@pytest.mark.parametrize("case", cases("digest", "shards"))
def test_shard_digest(case: dict[str, Any]) -> None:
    """GHS/1 4.1."""
    resources = [SealedResource("any", **{**r, "sealed": unpack(r["sealed"])}) for r in case["resources"]]
    assert shard_digest(resources) == case["digest"]


@pytest.mark.parametrize("case", cases("digest", "states"))
def test_state_digest(case: dict[str, Any]) -> None:
    """GHS/1 4.2."""
    assert state_digest(ShardPosition(**entry) for entry in case["vector"]) == case["digest"]


@pytest.mark.parametrize("case", cases("lease", "valid"))
def test_lease(case: dict[str, Any]) -> None:
    """GHS/1 6.1, 6.3, 6.4."""
    signed = SignedLease.model_validate(case["lease"])
    assert signed.is_genuine()
    assert signed.fingerprint == case["fingerprint"]
    assert lease.parse(signed.payload).model_dump() == case["content"]
    ours = lease.sign_lease(Secret(unpack(case["signing_key"])), Lease.model_validate(case["content"]))
    assert ours.model_dump(mode="json") == case["lease"]
    assert sign.public_key(Secret(unpack(case["signing_key"]))) == signed.public_key


@pytest.mark.parametrize("case", cases("request", "valid"))
def test_signed_request(case: dict[str, Any]) -> None:
    """GHS/1 12.1."""
    body, headers = unpack(case["body"]), case["headers"]
    stamp = request.read_stamp(headers)
    assert stamp.is_by(unpack(case["public_key"]), case["method"], case["path"], body)
    ours = request.stamp(
        Secret(unpack(case["signing_key"])),
        stamp.node,
        method=case["method"],
        path=case["path"],
        body=body,
        time_ms=stamp.time_ms,
        nonce=stamp.nonce,
    )
    assert ours == headers


@pytest.mark.parametrize("case", cases("enrolment", "valid"))
def test_enrolment(case: dict[str, Any]) -> None:
    """GHS/1 5.1, 11.1, 11.2, 11.5."""
    token = enrolment.parse_token(case["token"])
    assert token.hash.hex() == case["token_hash"]
    node = node_id(unpack(case["node_public_key"]))
    answer = json.dumps(case["answer"]).encode()
    read = enrolment.read_enrolment(answer, fingerprint=token.fingerprint, node=node)
    assert read.model_dump() == case["content"]
    ours = enrolment.sign_enrolment(Secret(unpack(case["signing_key"])), read)
    assert ours.model_dump(mode="json") == case["answer"]


@pytest.mark.parametrize("case", cases("hpke", "valid"))
def test_data_plane_key(case: dict[str, Any]) -> None:
    """GHS/1 5.2: sealed by another implementation of RFC 9180, opened by ours."""
    opening_key = Secret(unpack(case["opening_key"]))
    assert hpke.public_key(opening_key) == unpack(case["public_key"])
    opened = key_chain.open_data_plane_key(
        DataPlaneKey(epoch=case["epoch"], node=case["node"], sealed=unpack(case["sealed"])),
        organisation=case["organisation"],
        gateway=case["gateway"],
        opening_key=opening_key,
    )
    assert opened.matches(unpack(case["data_plane_key"]))


@pytest.mark.parametrize("case", cases("api_key", "valid"))
def test_api_key(case: dict[str, Any]) -> None:
    """GHS/1 9.1, 9.2."""
    assert api_keys.well_formed(case["key"], case["prefix"])
    assert api_keys.keyed_hash(Secret(unpack(case["hash_key"])), case["key"]).hex() == case["hash"]


@pytest.mark.parametrize("case", cases("api_key", "invalid"))
def test_what_is_no_api_key(case: dict[str, Any]) -> None:
    """GHS/1 9.1."""
    assert not api_keys.well_formed(case["key"])


@pytest.mark.parametrize("case", cases("batch", "valid"))
def test_batch(case: dict[str, Any]) -> None:
    """GHS/1 17.1, 17.2, 17.4, 17.7. A compressed payload depends on the compressor, so only reading must agree."""
    head, payload = batch.split(unpack(case["body"]))
    assert head.model_dump() == case["head"]
    assert batch.payload_hash(payload) == case["payload_hash"]
    parsed, content = batch.parse(payload), case["content"]
    assert [drop.model_dump() for drop in parsed.drops] == content["drops"]
    assert [refused.row for refused in parsed.refused] == ([1] if content["rows"] else [])
    for record, row in zip(parsed.records, content["rows"], strict=False):
        told = dict(zip(content["fields"], row, strict=True))
        told.pop("of_a_newer_gateway")
        told["attempts"] = [tuple(attempt) for attempt in told["attempts"]]
        known = record._asdict()
        assert {name: known.pop(name) for name in told} == told
        assert set(known.values()) == {None}
