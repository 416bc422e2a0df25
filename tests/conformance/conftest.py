"""The official client, unmodified, once towards the gateway and once straight at the provider behind it."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI

from tests.fixtures.stack import Stack
from tests.fixtures.wire import HANG_S


def options(url: str, key: str) -> dict[str, Any]:
    """Without retries: the SDK's own would hide failures."""
    return {"base_url": f"{url}/v1", "api_key": key, "max_retries": 0, "timeout": HANG_S}


@pytest.fixture(scope="module")
def through(stack: Stack) -> Iterator[OpenAI]:
    """The client through the gateway."""
    with OpenAI(**options(stack.url, stack.api_key)) as client:
        yield client


@pytest.fixture(scope="module")
def straight(stack: Stack) -> Iterator[OpenAI]:
    """The client straight at the simulator."""
    with OpenAI(**options(stack.simulator_url, stack.simulator_key)) as client:
        yield client


@pytest.fixture
async def athrough(stack: Stack) -> AsyncIterator[AsyncOpenAI]:
    """The asynchronous client through the gateway."""
    async with AsyncOpenAI(**options(stack.url, stack.api_key)) as client:
        yield client
