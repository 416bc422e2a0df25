"""What the follower hands to the view: a verified state and the means to open it."""

from collections.abc import Mapping

import msgspec

from gateway.sync.opener import Opener
from shared.protocol.lease import Lease
from shared.protocol.snapshot import ShardState


class VerifiedState(msgspec.Struct, frozen=True):
    """Whole and checked, still sealed. A shard that did not change is the same object as in the state before."""

    lease: Lease
    shards: Mapping[str, ShardState]
    opener: Opener
    stale: bool
    """The lease had expired when this was handed over. An alarm; never a reason not to serve."""
