"""A gateway whose agent sends each batch of records twice: `python -m chaos.twice` in place of `gateway`."""

import sys
from typing import Any

from gateway.__main__ import main
from gateway.roles import agent
from gateway.sync.control_plane_client import ControlPlaneClient, Told
from shared.protocol import batch


class Twice(ControlPlaneClient):
    """As after an answer that was lost on its way; each time signed anew."""

    async def post(self, path: str, body: bytes, **options: Any) -> Told:
        if path == batch.PATH:
            await super().post(path, body, **options)
        return await super().post(path, body, **options)


if __name__ == "__main__":
    setattr(agent, "ControlPlaneClient", Twice)  # noqa: B010 - the composition root has no seam for what no user wants
    sys.exit(main())
