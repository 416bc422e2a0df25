"""What the control plane needs for the play: a workspace of its own with virtual keys, configs and a key per team."""

from collections.abc import Mapping

from embedded.api_client import ApiClient, Row
from embedded.demo.script import Script
from shared.crypto.api_keys import new_api_key
from shared.crypto.secret import Secret

WORKSPACE = "demo"
KEYS = "demo "
"""What the names of the play's keys begin with."""
METADATA = ["team", "feature"]
NARROW = ["gpt-4.1*"]
"""What the key may call that is used to call something else."""


class Scene:
    """`api` sends an admin key that may do everything. Raises ApiError."""

    def __init__(self, api: ApiClient, script: Script) -> None:
        self._api = api
        self._script = script
        self._workspace = ""

    async def set(self, stage_url: str) -> Mapping[str, Secret]:
        """Everything is there, and points at the stage. Keys by team; `narrow` may call few models."""
        settings = {"metadata_keys": METADATA}
        row = await self._kept("/api/v1/workspaces", {"slug": WORKSPACE, "name": "Demo", "settings": settings})
        self._workspace = f"/api/v1/workspaces/{row['id']}"
        for provider, part in self._script.providers.items():
            body = {"name": part.name, "base_url": stage_url, "models": list(part.models), "credential": _credential()}
            path = f"{self._workspace}/virtual-keys"
            if await self._api.found(f"{path}/{provider}") is None:
                await self._api.post(path, {"slug": provider, "provider": provider, **body})
            else:
                await self._api.patch(f"{path}/{provider}", body)
        for slug, config in self._script.configs.items():
            path = f"{self._workspace}/configs"
            await self._kept(path, {"slug": slug, "name": slug.capitalize(), "body": dict(config)})
        await self._strike()
        keys = {team.name: await self._key(team.name, default_config=team.config) for team in self._script.teams}
        return {**keys, "narrow": await self._key("narrow", models=NARROW)}

    async def _strike(self) -> None:
        """The keys of earlier plays end: a key can be read only once, so nobody has them any more."""
        rows = [row async for row in self._api.rows(f"{self._workspace}/api-keys", filter="state:active")]
        for row in rows:
            if row["name"].startswith(KEYS):
                await self._api.delete(f"{self._workspace}/api-keys/{row['id']}")

    async def _key(self, name: str, **fields: object) -> Secret:
        made = await self._api.post(f"{self._workspace}/api-keys", {"name": f"{KEYS}{name}", **fields})
        return Secret(made["key"])

    async def _kept(self, path: str, body: Row) -> Row:
        async for row in self._api.rows(path, filter=f"slug={body['slug']}"):
            return row
        return await self._api.post(path, body)


def _credential() -> Row:
    """The stage looks at no key; what stands here is none of anybody's."""
    return {"api_key": f"sk-demo-{new_api_key().reveal_text()[3:15]}"}
