"""How much one page of a list may hold."""

import pytest
from pydantic import BaseModel

from control_plane.audit.api import Audit
from control_plane.configs.api import ConfigCreate, Configs
from control_plane.web.listing import PAGE_BYTES_MAX
from tests.fixtures.control_plane import Plane

TEXT_BYTES = 900_000
COUNT = 12
"""Together more than a page holds."""


@pytest.fixture
async def configs(plane: Plane) -> Configs:
    room = Configs(plane.database, plane.changes, plane.ids)
    for number in range(COUNT):
        body = {"provider": "openai", "override_params": {"user": "x" * TEXT_BYTES}}
        await room.create(plane.call(ConfigCreate(slug=f"large-{number:02}", name="Large", body=body)))
    return room


def held(page: BaseModel) -> int:
    return len(page.model_dump_json())


@pytest.mark.parametrize("sort", ["slug", "-slug", "created_at", "name"])
async def test_a_page_ends_early_where_its_rows_are_large_and_the_next_one_goes_on(
    configs: Configs, plane: Plane, sort: str
) -> None:
    """Two hundred configs of a megabyte took a gigabyte, and a second in which nobody else was served."""
    slugs: list[str] = []
    query = {"limit": "200", "sort": sort}
    while True:
        page = await configs.list(plane.call(query=query))
        assert held(page) < PAGE_BYTES_MAX + 2 * TEXT_BYTES
        slugs += [config.slug for config in page.data]
        if page.next_cursor is None:
            break
        query["cursor"] = page.next_cursor
    assert len(slugs) == len(set(slugs)) == COUNT
    if "slug" in sort:
        assert slugs == sorted(slugs, reverse=sort.startswith("-"))


async def test_a_page_that_holds_what_was_asked_for_is_cut_by_its_limit_alone(configs: Configs, plane: Plane) -> None:
    first = await configs.list(plane.call(query={"limit": "3", "sort": "slug"}))
    assert [config.slug for config in first.data] == ["large-00", "large-01", "large-02"]
    assert first.next_cursor is not None
    rest = await configs.list(plane.call(query={"limit": "3", "sort": "-slug", "filter": "slug:large-00"}))
    assert (len(rest.data), rest.next_cursor) == (1, None)


async def test_the_audit_log_says_what_was_written_a_page_at_a_time(configs: Configs, plane: Plane) -> None:
    assert configs
    page = await Audit(plane.database).list(plane.call(query={"limit": "200", "filter": "kind:config"}))
    assert held(page) < PAGE_BYTES_MAX + 2 * TEXT_BYTES
    assert page.next_cursor is not None
