"""What came of a node's records: how many count, which rows were refused, and what the node lost, as it told it."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from control_plane.gateways import store
from control_plane.web.listing import Page
from control_plane.web.route import View


class RefusedRowsView(View):
    reason: str
    """`malformed`: no record. `workspace_forbidden`: of a workspace that the gateway may not serve."""
    count: int
    detail: str
    """Of the last one: where its fault stands."""
    last_at: datetime


class DroppedView(View):
    """Records that the node lost."""

    reason: str
    count: int
    from_at: datetime
    """When the first of them was lost, by the node's clock."""
    to_at: datetime


class DropView(DroppedView):
    """Of one hour."""

    hour: datetime


class DropPage(Page[DropView]):
    """One page of hours in which a node lost records."""


class CountedView(View):
    """As the control plane counts; `health.records` is what still waits at the node."""

    counted: int
    clamped: int
    """Of these, how many said a time that cannot be, and stand under that of their reception."""
    received_at: datetime | None
    """When records came last; null: none yet."""
    streams: int
    """Runs of batches; a node opens one at each start."""
    streams_waiting: int
    """Of these, how many have a batch that has come and does not count yet."""
    refused: tuple[RefusedRowsView, ...]
    dropped: tuple[DroppedView, ...]


_NONE = CountedView(counted=0, clamped=0, received_at=None, streams=0, streams_waiting=0, refused=(), dropped=())


async def record_views(
    connection: asyncpg.Connection, organisation: str, gateway: str, nodes: Sequence[str]
) -> dict[str, CountedView]:
    """By node."""
    streams = await store.record_streams(connection, organisation, gateway, nodes)
    refused = await store.record_refused(connection, organisation, gateway, nodes)
    dropped = await store.record_dropped(connection, organisation, gateway, nodes)
    views = {row["node"]: CountedView(**row, refused=(), dropped=()) for row in streams}
    return {
        node: views.get(node, _NONE).model_copy(
            update={
                "refused": tuple(RefusedRowsView(**row) for row in refused if row["node"] == node),
                "dropped": tuple(DroppedView(**row) for row in dropped if row["node"] == node),
            }
        )
        for node in nodes
    }
