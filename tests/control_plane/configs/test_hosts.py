"""A config's host is sent the stored credentials of the virtual keys it names: who may not write those saves none."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from tests.fixtures.tenants import Answer, Asked, Headers, Tenant, standing_world

OWN = "https://own.test/v1"
WRITES_CONFIGS = {"configs.create", "configs.update", "configs.read"}


@pytest.fixture
async def tenant(migrated_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Tenant]:
    async with standing_world(migrated_url, tmp_path_factory.mktemp("hosts")) as world:
        yield await world.tenant("own")


async def send(tenant: Tenant, method: str, headers: Headers, slug: str, body: Mapping[str, Any]) -> Answer:
    path = f"/api/v1/workspaces/{tenant.workspace}/configs"
    if method == "PATCH":
        return await tenant.world.send(Asked(method, f"{path}/{slug}", {"body": body}, ()), headers)
    return await tenant.world.send(Asked(method, path, {"slug": slug, "name": slug, "body": body}, ()), headers)


async def test_a_key_for_configs_alone_has_no_stored_credential_sent_to_a_host_of_its_own(tenant: Tenant) -> None:
    key = await tenant.world.admin_key(tenant.id, WRITES_CONFIGS)
    named = {"virtual_key": tenant.slugs["virtual_key"]}
    nested = {"strategy": {"mode": "fallback"}, "targets": [named, {**named, "custom_host": OWN}]}
    for method, slug in (("POST", "new"), ("PATCH", tenant.slugs["config"])):
        for body, pointer in (
            ({**named, "custom_host": OWN}, "/body/custom_host"),
            ({"custom_host": OWN}, "/body/custom_host"),  # Over whatever the call names.
            (nested, "/body/targets/1/custom_host"),
        ):
            answer = await send(tenant, method, key, slug, body)
            assert (answer.status, answer.body["code"]) == (403, "host_above_own"), answer.text
            assert answer.body["pointer"] == pointer
    assert (await send(tenant, "POST", key, "plain", named)).status == 201


async def test_who_may_write_virtual_keys_saves_hosts_and_others_leave_them_as_they_are(tenant: Tenant) -> None:
    both = await tenant.world.admin_key(tenant.id, WRITES_CONFIGS | {"virtual_keys.update"})
    key = await tenant.world.admin_key(tenant.id, WRITES_CONFIGS)
    body = {"virtual_key": tenant.slugs["virtual_key"], "custom_host": OWN}
    manager = await tenant.account("manager", "member", {"first": "manager"})
    for slug, headers in (("one", both), ("two", await tenant.world.session(manager, tenant.id))):
        assert (await send(tenant, "POST", headers, slug, body)).status == 201
        kept = await send(tenant, "PATCH", key, slug, {**body, "request_timeout": 1_000})
        assert kept.status == 200, kept.text
        moved = await send(tenant, "PATCH", key, slug, {**body, "custom_host": "https://other.test/v1"})
        assert (moved.status, moved.body["pointer"]) == (403, "/body/custom_host")
