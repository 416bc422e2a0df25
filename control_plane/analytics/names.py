"""Names of what records hold the ids of: the ids for names in a filter, and the names to show beside ids."""

from collections.abc import Collection, Mapping

import asyncpg

from control_plane.errors import Invalid
from control_plane.filters.names import Named, named, with_ids
from control_plane.filters.tree import Filter, Prefix

NAMES_MAX = 10_000
"""Things that the names in one filter may stand for."""

_SLUGS: Mapping[str, str] = {
    "workspace": "slug",
    "virtual_key": "slug",
    "config": "slug",
    "api_key": "null::text",
    "gateway": "null::text",
}
"""The fields that name something; each is called as its table. What has no slug has a name alone."""

Names = Mapping[str, Mapping[str, str]]
"""By field, then by id."""


async def resolved(connection: asyncpg.Connection, organisation: str, filter_: Filter) -> Filter:
    """The filter with the ids its names stand for. A name that nobody has stays, and finds nothing."""
    asked: dict[str, list[Named]] = {}
    for name in named(filter_):
        asked.setdefault(name[0], []).append(name)
    found: dict[Named, set[str]] = {}
    for field, names in asked.items():
        for name, id_ in await _ids(connection, organisation, field, names):
            found.setdefault(name, set()).add(id_)
    return with_ids(filter_, found)


async def _ids(
    connection: asyncpg.Connection, organisation: str, field: str, names: list[Named]
) -> list[tuple[Named, str]]:
    rows = await connection.fetch(
        "select asked.place, there.id"  # noqa: S608
        " from unnest($2::text[], $3::boolean[]) with ordinality as asked (text, begins, place)"
        f" join (select id, lower(name) as name, lower({_SLUGS[field]}) as slug from {field} where organisation = $1)"
        " as there on case when asked.begins"
        " then starts_with(there.name, lower(asked.text)) or starts_with(there.slug, lower(asked.text))"
        f" else there.name = lower(asked.text) or there.slug = lower(asked.text) end limit {NAMES_MAX + 1}",
        organisation,
        [value.text for _, value in names],
        [isinstance(value, Prefix) for _, value in names],
    )
    if len(rows) > NAMES_MAX:
        raise Invalid(f"its names stand for more than {NAMES_MAX} things", pointer="filter")
    return [(names[row["place"] - 1], row["id"]) for row in rows]


async def of(connection: asyncpg.Connection, organisation: str, ids: Mapping[str, Collection[str]]) -> Names:
    """How what has these ids is called, where it is still there. `ids` by field; other fields are left out."""
    return {
        field: {
            row["id"]: row["name"]
            for row in await connection.fetch(
                f"select id, name from {field} where organisation = $1 and id = any($2)",  # noqa: S608
                organisation,
                sorted(wanted),
            )
        }
        for field, wanted in ids.items()
        if field in _SLUGS and wanted
    }
