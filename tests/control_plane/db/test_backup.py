"""A dump of the database, by PostgreSQL's own programs: whole as a superuser's, refused as the role's."""

import asyncio
import os
import secrets
from pathlib import Path

import asyncpg
import pytest

from control_plane.app import plane
from control_plane.settings import Settings
from embedded import postgres_programs
from tests.fixtures.postgres import PostgresServer


class Programs:
    def __init__(self, folder: Path) -> None:
        self._folder = postgres_programs.find(os.environ["PATH"], folder).programs

    async def run(self, program: str, *arguments: str) -> tuple[int, str]:
        """Exit code, and what it said of a fault."""
        if not (self._folder / program).exists():
            pytest.skip(f"NO {program} beside this PostgreSQL")
        process = await asyncio.create_subprocess_exec(
            self._folder / program, *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        _, said = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode()


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


def at_superuser(server: PostgresServer, url: str) -> str:
    return server.superuser_url(url.rpartition("/")[2].partition("?")[0])


async def test_what_a_superuser_dumped_is_a_database_that_the_control_plane_starts_on(
    migrated_url: str, postgres_server: PostgresServer, programs: Programs, tmp_path: Path
) -> None:
    """As `docs/operations.md` says."""
    dump, state = tmp_path / "dump", tmp_path / "state"
    async with plane(Settings(postgres_url=migrated_url, state_dir=state)):  # type: ignore[arg-type]
        pass
    code, said = await programs.run(
        "pg_dump", "--format=custom", f"--file={dump}", at_superuser(postgres_server, migrated_url)
    )
    assert (code, said) == (0, "")
    async with postgres_server.database(f"test_{secrets.token_hex(6)}") as url:
        code, said = await programs.run(
            "pg_restore", "--exit-on-error", f"--dbname={at_superuser(postgres_server, url)}", str(dump)
        )
        assert (code, said) == (0, "")
        settings = Settings(postgres_url=url, state_dir=state)  # type: ignore[arg-type]
        async with plane(settings) as parts, parts.database.instance() as connection:
            assert await connection.fetchval("select count(*) from resource") > 0
            forced = "select relforcerowsecurity from pg_class where oid = 'virtual_key'::regclass"
            assert await connection.fetchval(forced)


async def test_the_control_planes_own_role_does_not_dump(migrated_url: str, programs: Programs, tmp_path: Path) -> None:
    """Row-level security would show it nothing: it is told so. Unless it insists, which the document warns of."""
    connection = await asyncpg.connect(migrated_url)
    await connection.execute("select set_config('gatehouse.scope', 'instance', false)")
    await connection.execute(
        "insert into organisation (id, name, hash_key_sealed, hash_key_version) values ('MARKER', 'One', '', 1)"
    )
    await connection.close()
    dump = tmp_path / "dump"
    code, said = await programs.run("pg_dump", f"--file={dump}", migrated_url)
    assert code == 1
    assert "row-level security" in said
    code, _ = await programs.run("pg_dump", "--enable-row-security", f"--file={dump}", migrated_url)
    assert code == 0
    assert "MARKER" not in dump.read_text()
