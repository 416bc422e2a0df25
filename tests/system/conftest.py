"""Stacks of the system tests, and what holds after each of them: no call and no connection is left."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.fixtures.stack import Stack, running_stack

SHARED = ("stack", "impatient")


@pytest.fixture
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of the test's own, to be broken."""
    with running_stack(tmp_path_factory.mktemp("fresh")) as running:
        yield running


@pytest.fixture(scope="session")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that waits for nobody for long."""
    waits = {"first_byte_s": 0.4, "plain_answer_s": 0.4, "between_bytes_s": 0.6, "total_s": 2.0, "body_wait_s": 0.4}
    with running_stack(tmp_path_factory.mktemp("impatient"), **waits) as running:
        yield running


@pytest.fixture(autouse=True)
async def nothing_left_behind(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """After each test on a shared stack its calls have ended at the provider, and its connections at the gateway."""
    stacks = [request.getfixturevalue(name) for name in SHARED if name in request.fixturenames]
    before = {stack: await stack.last_call() for stack in stacks}
    yield
    for stack in stacks:
        await stack.wait_until_settled(before[stack])
