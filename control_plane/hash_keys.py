"""The key of an organisation's keyed hash of API keys, opened for those who make or look up keys."""

import asyncpg

from control_plane.data_keys import DataKeys, Sealed
from shared.crypto.secret import Secret

COLUMN = "organisation.hash_key"


class HashKeys:
    def __init__(self, data_keys: DataKeys) -> None:
        self._data_keys = data_keys

    async def of(self, connection: asyncpg.Connection, organisation: str) -> Secret:
        """32 bytes. Raises Unavailable while the KMS does not give the data key."""
        row = await connection.fetchrow(
            "select hash_key_version, hash_key_sealed from organisation where id = $1", organisation
        )
        sealed = Sealed(row["hash_key_version"], row["hash_key_sealed"])
        return await self._data_keys.open(connection, organisation, COLUMN, organisation, sealed)
