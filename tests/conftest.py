"""What every test may ask for."""

from hypothesis import settings

settings.register_profile("gatehouse", deadline=None)  # No test asserts how fast it is.
settings.load_profile("gatehouse")

pytest_plugins = (
    "tests.fixtures.redis",
    "tests.fixtures.postgres",
    "tests.fixtures.clickhouse",
    "tests.fixtures.house",
    "tests.fixtures.stack",
    "tests.fixtures.control_plane",
    "tests.fixtures.people",
    "tests.fixtures.sync",
    "tests.fixtures.recorded",
    "tests.fixtures.telemetry",
    "tests.fixtures.delivery",
)
