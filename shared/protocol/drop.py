"""Records that were lost: a line of a batch (GHS/1 17), apart from it since those who lose them read no batches."""

from typing import Annotated

from pydantic import Field

from shared.models.record import Word
from shared.protocol.wire import Count, WirePart


class Drop(WirePart):
    """Records that were lost at the node, and why: the truth about what the other records do not say."""

    reason: Word
    """Why: `disk_full`, `spool_full`, `damaged`, …"""
    count: Annotated[int, Field(ge=1, le=2**53 - 1)]
    """How many."""
    from_ms: Count
    """When the first of them was lost, ms since 1970."""
    to_ms: Count
    """When the last was."""
