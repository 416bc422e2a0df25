"""How long records and their sums are kept: said in settings, and held by the tables' own TTL."""

import re
from dataclasses import dataclass

from control_plane.telemetry.clickhouse import ClickHouse
from control_plane.telemetry.migrate import Engines

_DAYS = re.compile(r"TTL .*?toIntervalDay\((\d+)\)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Retention:
    """Days that something is kept after it happened."""

    record_days: int = 400
    minute_days: int = 30
    hour_days: int = 1_100


async def hold(clickhouse: ClickHouse, retention: Retention, engines: Engines) -> list[str]:
    """Change the TTL of each table that keeps rows for another time, and return their names."""
    wanted = {
        "record": ("toDateTime(started_at)", retention.record_days),
        "record_minute": ("at", retention.minute_days),
        "record_hour": ("at", retention.hour_days),
        "record_spread": ("at", retention.hour_days),
        "record_spread_workspace": ("at", retention.hour_days),
    }
    rows = await clickhouse.ask(
        "select name, create_table_query as made from system.tables"
        " where database = currentDatabase() and name in {names:Array(String)}",
        {"names": list(wanted)},
    )
    changed = []
    for row in rows:
        start, days = wanted[row["name"]]
        found = _DAYS.search(row["made"])
        if found is None or int(found[1]) != days:
            await clickhouse.command(
                f"alter table {row['name']}{engines.on_cluster} modify ttl {start} + toIntervalDay({days})"
            )
            changed.append(row["name"])
    return changed
