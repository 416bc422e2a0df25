"""Which providers an organisation can name: those every build knows, and its own."""

from collections.abc import Mapping
from importlib import resources

import asyncpg

from shared.models.provider import Provider, parse_table


class KnownProviders:
    def __init__(self, built_in: Mapping[str, Provider]) -> None:
        self.built_in = built_in

    async def find(self, connection: asyncpg.Connection, organisation: str, id_: str) -> Provider | None:
        """An own one is held until the transaction ends: it is not deleted under somebody who refers to it."""
        if id_ in self.built_in:
            return self.built_in[id_]
        row = await connection.fetchval(
            "select row from provider where organisation = $1 and id = $2 for share", organisation, id_
        )
        return None if row is None else Provider.model_validate(row)


def read_built_in() -> dict[str, Provider]:
    """Rows of `shared/data/providers.toml` by id. A faulty table is a fault of the build and raises ValueError."""
    return parse_table(resources.files("shared.data").joinpath("providers.toml").read_text("utf-8"))
