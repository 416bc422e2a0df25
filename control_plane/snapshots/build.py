"""Content and the last state in; a sealed, signed snapshot and the next state out. Reads and writes nothing.

A revision moves only for what changed: contents are compared in the clear, and what is the same keeps its sealed bytes.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import orjson

from control_plane.snapshots.content import Content, check
from control_plane.snapshots.errors import BuildError
from control_plane.snapshots.state import Shard, State
from shared.crypto import hpke
from shared.crypto.secret import Secret
from shared.models.noun import Kind, Noun
from shared.protocol import envelope
from shared.protocol.digest import state_digest
from shared.protocol.envelope import EnvelopeError, Subject, Suite
from shared.protocol.key_chain import DataPlaneKey, KeyChain, seal_data_plane_key, seal_shard_key
from shared.protocol.lease import Lease, VectorEntry, sign_lease
from shared.protocol.node import NodePublic
from shared.protocol.resource import (
    GLOBAL_SHARD,
    SealedResource,
    credential_subject,
    organisation_shard,
    workspace_shard,
)
from shared.protocol.snapshot import ShardState, Snapshot
from shared.protocol.version import PROTOCOL
from shared.protocol.wire import from_base64, to_base64

SCHEMA_VERSION = 1
_FIRST_EPOCH = 1
_NOT_COMPRESSED = frozenset({Kind.ORGANISATION})
"""Kinds that are a secret themselves; a virtual key's secret is in an envelope of its own (GHS/1 3.7)."""


@dataclass(frozen=True, slots=True)
class _Draft:
    kind: Kind
    noun: Noun
    credential: Secret | None = field(default=None, repr=False)


def assemble(
    content: Content, state: State, *, nodes: Sequence[NodePublic], signing_key: Secret, now_ms: int, lease_ms: int
) -> tuple[Snapshot, State]:
    """The snapshot for `nodes` of `content.gateway`, and the state to remember before the snapshot leaves.

    Raises BuildError for content with a fault, for a node whose key is none, for a state of another gateway.
    """
    check(content)
    organisation = content.organisation.id
    if (state.organisation, state.gateway) != (organisation, content.gateway):
        raise BuildError("gateway", f"the state belongs to {state.organisation} and {state.gateway}")
    drafts = {shard: tuple(of_shard) for shard, of_shard in _drafts(content)}
    gone = {shard: () for shard in state.shards if shard not in drafts}
    shards = {
        name: _advance(name, state.shards.get(name), wanted, organisation)
        for name, wanted in {**drafts, **gone}.items()
    }
    following = replace(state, sequence=state.sequence + 1, shards=shards)
    states = tuple(
        ShardState(name, shards[name].epoch, shards[name].revision, shards[name].resources) for name in sorted(drafts)
    )
    key_chain = _key_chain(following, drafts, nodes).encode()
    lease = Lease(
        protocol=PROTOCOL,
        organisation=organisation,
        gateway=content.gateway,
        sequence=following.sequence,
        issued_at_ms=now_ms,
        expires_at_ms=now_ms + lease_ms,
        vector=[VectorEntry(shard=s.shard, epoch=s.epoch, revision=s.revision, digest=s.digest) for s in states],
        digest=state_digest(s.position for s in states),
        key_chain=hashlib.sha256(key_chain).hexdigest(),
    )
    return Snapshot(sign_lease(signing_key, lease), key_chain, states), following


def _drafts(content: Content) -> Iterator[tuple[str, Iterable[_Draft]]]:
    """Which nouns live in which shard (GHS/1 7.2)."""
    yield (
        GLOBAL_SHARD,
        [
            *(_Draft(Kind.PROVIDER, noun) for noun in content.providers),
            *(_Draft(Kind.MODEL, noun) for noun in content.models),
        ],
    )
    yield (
        organisation_shard(content.organisation.id),
        [
            _Draft(Kind.ORGANISATION, content.organisation),
            *(_Draft(Kind.PRICE, noun) for noun in content.prices),
        ],
    )
    for workspace in content.workspaces:
        yield (
            workspace_shard(workspace.workspace.id),
            [
                _Draft(Kind.WORKSPACE, workspace.workspace),
                *(_Draft(Kind.API_KEY, noun) for noun in workspace.api_keys),
                *(_Draft(Kind.VIRTUAL_KEY, key.noun, key.credential) for key in workspace.virtual_keys),
                *(_Draft(Kind.CONFIG, noun) for noun in workspace.configs),
            ],
        )


def _advance(name: str, last: Shard | None, drafts: Iterable[_Draft], organisation: str) -> Shard:
    """The shard with the drafts in it: itself if nothing changed, else one revision on."""
    shard = last or Shard(epoch=_FIRST_EPOCH, revision=0, key_epoch=_FIRST_EPOCH, key=envelope.new_key())
    kept = {(resource.kind, resource.id): resource for resource in shard.resources}
    resources = tuple(
        _settle(name, shard, kept.get((draft.kind, draft.noun.id)), draft, organisation) for draft in drafts
    )
    if {(r.kind, r.id): r for r in resources} == kept:
        return shard
    return replace(shard, revision=shard.revision + 1, resources=resources)


def _settle(name: str, shard: Shard, kept: SealedResource | None, draft: _Draft, organisation: str) -> SealedResource:
    """`kept` itself if it says what the draft says, else the draft sealed at the shard's next revision."""
    before = None if kept is None else _open(shard, kept.subject(organisation), kept.sealed)
    body = draft.noun.model_dump(mode="json")
    if draft.credential is not None:
        body["credential"] = _settle_credential(name, shard, before, draft.noun.id, draft.credential, organisation)
    plaintext = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    if kept is not None and before == plaintext and kept.schema_version == SCHEMA_VERSION:
        return kept
    unsealed = SealedResource(
        name, draft.kind.value, draft.noun.id, shard.revision + 1, SCHEMA_VERSION, shard.key_epoch, sealed=b""
    )
    suite = Suite.PLAIN if draft.kind in _NOT_COMPRESSED else Suite.COMPRESSED
    try:
        return replace(unsealed, sealed=envelope.seal(shard.key, unsealed.subject(organisation), plaintext, suite))
    except EnvelopeError as error:
        raise BuildError(f'{draft.kind} "{draft.noun.id}"', str(error)) from None


def _settle_credential(
    name: str, shard: Shard, before: bytes | None, virtual_key: str, credential: Secret, organisation: str
) -> str:
    """The sealed credential as base64: the one there was if it holds the same, so that nothing moves without need."""
    subject = credential_subject(organisation, name, virtual_key, shard.key_epoch)
    if before is not None:
        sealed: str = orjson.loads(before)["credential"]
        if credential.matches(_open(shard, subject, from_base64(sealed))):
            return sealed
    return to_base64(envelope.seal(shard.key, subject, credential.reveal(), Suite.PLAIN))


def _open(shard: Shard, subject: Subject, sealed: bytes) -> bytes:
    try:
        return envelope.open_(shard.key, subject, sealed)
    except EnvelopeError as error:
        raise BuildError("state", f"damaged at {subject.kind} {subject.id}: {error}") from None


def _key_chain(state: State, shards: Iterable[str], nodes: Sequence[NodePublic]) -> KeyChain:
    if not nodes:
        raise BuildError("--node", "a snapshot is sealed to at least one node")
    return KeyChain(
        data_plane_keys=[_for_node(state, node) for node in nodes],
        shard_keys=[
            seal_shard_key(
                state.shards[shard].key,
                organisation=state.organisation,
                gateway=state.gateway,
                shard=shard,
                epoch=state.shards[shard].key_epoch,
                data_plane_key=state.data_plane_key,
                data_plane_epoch=state.data_plane_epoch,
            )
            for shard in sorted(shards)
        ],
    )


def _for_node(state: State, node: NodePublic) -> DataPlaneKey:
    try:
        return seal_data_plane_key(
            state.data_plane_key,
            organisation=state.organisation,
            gateway=state.gateway,
            node=node.node,
            epoch=state.data_plane_epoch,
            opening_key=node.open,
        )
    except hpke.HpkeError as error:
        raise BuildError(f"node {node.node}", str(error)) from None
