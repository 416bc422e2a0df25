"""Both planes as real processes, enrolled by the real road."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from chaos.stack import Stack, standing


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def planes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """One gateway with one node, for all tests of a file."""
    async with standing(tmp_path_factory.mktemp("planes")) as stack:
        yield stack


@pytest.fixture
async def fresh_planes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """The same for one test, to be broken."""
    async with standing(tmp_path_factory.mktemp("fresh_planes")) as stack:
        yield stack
