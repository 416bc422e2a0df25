"""The local stack's owner: redeems the first-run code, logs in, and keeps an admin key that may do everything."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from embedded.api_client import ApiClient, ApiError, Row, connected
from embedded.state import MADE_BY, kept, write_private
from shared.crypto.secret import Secret

ORGANISATION = "Local"
_FIRST_RUN = "/api/v1/first-run"
_ADMIN_KEYS = "/api/v1/admin-keys"


class NoWayIn(Exception):
    """The control plane has an owner that is not ours. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Owner:
    email: str
    password: Secret


async def admin_key(url: str, owner: Owner, *, first_run_code: Path, file: Path) -> Secret:
    """The key in `file` if it still may do everything, else a new one, kept there from now on.

    `first_run_code`: where the control plane leaves its one-use code. Raises NoWayIn, ApiError.
    """
    async with connected(url) as api:
        scopes = await _every_scope(api)
        key = kept(file)
        if key is not None and await _may_all(api.sending(bearer(key)), key, scopes):
            return key
    async with connected(url) as browser:
        session = await _session(browser, owner, first_run_code)
        key = await _new_key(browser.sending({"x-gatehouse-csrf": session["csrf_token"]}), scopes)
    write_private(file, key.reveal())
    return key


def bearer(key: Secret) -> dict[str, str]:
    return {"authorization": f"Bearer {key.reveal_text()}"}


async def _every_scope(api: ApiClient) -> list[str]:
    description = await api.get("/api/openapi.json")
    scopes: list[str] = description["components"]["schemas"]["AdminKeyCreate"]["properties"]["scopes"]["items"]["enum"]
    return scopes


async def _may_all(api: ApiClient, key: Secret, scopes: Collection[str]) -> bool:
    """Whether the key works, and for all of these: a newer control plane may know more."""
    try:
        rows = [row async for row in api.rows(_ADMIN_KEYS, filter=f"tail:{key.reveal_text()[-4:]} -revoked:true")]
    except ApiError as error:
        if error.status in (401, 403):
            return False
        raise
    return any(set(scopes) <= set(row["scopes"]) for row in rows if row["name"] == MADE_BY)


async def _session(browser: ApiClient, owner: Owner, first_run_code: Path) -> Row:
    credentials = {"email": owner.email, "password": owner.password.reveal_text()}
    code = kept(first_run_code)
    if code is not None and (await browser.get(_FIRST_RUN))["needed"]:
        new = {"code": code.reveal_text(), "name": "Owner", "organisation": ORGANISATION}
        return await browser.post(_FIRST_RUN, {**credentials, **new})
    try:
        return await browser.post("/api/v1/login", credentials)
    except ApiError as error:
        if error.status != 401:
            raise
        raise NoWayIn(
            f"this control plane has an owner already, and the kept password is not that of {owner.email}; "
            "give it a database of its own, or bring the state folder back that belongs to this one"
        ) from None


async def _new_key(api: ApiClient, scopes: Collection[str]) -> Secret:
    """A key with all scopes; those made here before end. The session ends too."""
    for row in [row async for row in api.rows(_ADMIN_KEYS, filter="-revoked:true") if row["name"] == MADE_BY]:
        await api.delete(f"{_ADMIN_KEYS}/{row['id']}")
    made = await api.post(_ADMIN_KEYS, {"name": MADE_BY, "scopes": list(scopes)})
    await api.post("/api/v1/logout")
    return Secret(made["key"])
