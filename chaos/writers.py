"""Writers who edit configs and API keys and remember what they were told, and the reckoning once all is at rest."""

import asyncio
import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from chaos.stack import Node, Stack, Workspace
from embedded.api_client import ApiClient, ApiError, connected
from gateway.sync import tree

AFTER_FAILURE_S = 0.1


@dataclass(frozen=True, slots=True)
class Edit:
    name: str
    """Which no other edit gives, so that its traces are known."""
    resource: str
    """Its id."""
    shard: str
    acknowledged: bool
    """The control plane said that it is done; else nobody knows."""


@dataclass(slots=True)
class Ledger:
    """In each writer's order."""

    edits: list[Edit] = field(default_factory=list)

    @property
    def acknowledged(self) -> list[Edit]:
        return [edit for edit in self.edits if edit.acknowledged]


@dataclass(frozen=True, slots=True)
class Reckoning:
    """What is wrong, in words; empty where all is well."""

    lost: tuple[str, ...]
    """Acknowledged edits that are missing, in the database or at a node."""
    twice: tuple[str, ...]
    """Edits that were applied more than once."""
    unordered: tuple[str, ...]
    """Gaps in revisions, and edits whose revisions are not in their writer's order."""


class Writer:
    """One of several; `name` tells its edits from those of others."""

    def __init__(self, name: str, stack: Stack, workspace: Workspace, ledger: Ledger) -> None:
        self._name = name
        self._stack = stack
        self._workspace = workspace
        self._ledger = ledger
        self._count = 0

    async def run(self, edits: int | None, stopping: asyncio.Event) -> None:
        """So many edits, or with None until told to stop: a config and a key in turn, and now and then a key ends."""
        async with connected(self._stack.control_plane_url) as session:
            api = session.sending({"authorization": f"Bearer {self._stack.admin_key}"})
            config, key = await self._made(api, "config"), await self._made(api, "key")
            while not stopping.is_set() and (edits is None or self._count < edits):
                self._count += 1
                if self._count % 10 == 0:
                    await self._edit(api, "DELETE", "api-keys", key)
                    key = await self._made(api, "key")
                elif self._count % 2:
                    await self._edit(api, "PATCH", "configs", config)
                else:
                    await self._edit(api, "PATCH", "api-keys", key)

    async def _edit(self, api: ApiClient, method: str, room: str, resource: str) -> None:
        name = f"{self._name}-{self._count}"
        try:
            if method == "DELETE":
                await api.delete(f"{self._workspace.path}/{room}/{resource}")
                return
            await api.patch(f"{self._workspace.path}/{room}/{resource}", {"name": name})
        except ApiError as error:
            if 400 <= error.status < 500:
                raise
            if method != "DELETE":
                self._note(name, resource, acknowledged=False)
            await asyncio.sleep(AFTER_FAILURE_S)
        else:
            self._note(name, resource, acknowledged=True)

    async def _made(self, api: ApiClient, what: str) -> str:
        """A new config or key of this writer's own. Its id."""
        while True:
            self._count += 1
            name = f"{self._name}-{self._count}"
            try:
                if what == "config":
                    body = {"slug": name, "name": name, "body": {"virtual_key": "simulator"}}
                    id_ = (await api.post(f"{self._workspace.path}/configs", body))["id"]
                else:
                    id_ = (await api.post(f"{self._workspace.path}/api-keys", {"name": name}))["id"]
            except ApiError as error:
                if 400 <= error.status < 500:
                    raise
                await asyncio.sleep(AFTER_FAILURE_S)
            else:
                self._note(name, id_, acknowledged=True)
                return str(id_)

    def _note(self, name: str, resource: str, *, acknowledged: bool) -> None:
        self._ledger.edits.append(Edit(name, resource, f"ws:{self._workspace.id}", acknowledged))


async def write(
    stack: Stack, ledger: Ledger, *, writers: int, edits: int | None, stopping: asyncio.Event | None = None
) -> None:
    """Let them all write at once, spread over the workspaces."""
    stop = stopping or asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for number in range(writers):
            workspace = stack.workspaces[number % len(stack.workspaces)]
            group.create_task(Writer(f"writer-{number}", stack, workspace, ledger).run(edits, stop))


async def reckon(stack: Stack, ledger: Ledger) -> Reckoning:
    """Compare what was acknowledged with the database, and the database with what every node holds on its disk."""
    rows = await stack.sql(
        "select after ->> 'name' as name, resource, revision from audit where action like any($1) order by revision",
        ["configs.%", "api_keys.%"],
    )
    applied = Counter(row["name"] for row in rows)
    lost = [f"{edit.name} is in no audit row" for edit in ledger.acknowledged if not applied[edit.name]]
    twice = [f"{edit.name} was applied {applied[edit.name]} times" for edit in ledger.edits if applied[edit.name] > 1]
    revision_of = {row["name"]: row["revision"] for row in rows}
    unordered = [*_out_of_order(ledger, revision_of), *await _gaps(stack)]
    for node in stack.nodes:
        lost += await _lacking(stack, node)
    return Reckoning(tuple(lost), tuple(twice), tuple(unordered))


def _out_of_order(ledger: Ledger, revision_of: dict[str, int]) -> Iterator[str]:
    last: dict[str, tuple[int, str]] = {}
    for edit in ledger.edits:
        revision = revision_of.get(edit.name)
        if revision is None:
            continue
        before, name = last.get(edit.resource, (0, ""))
        if revision <= before:
            yield f"{edit.name} has revision {revision}, after {name} with {before}"
        last[edit.resource] = revision, edit.name


async def _gaps(stack: Stack) -> list[str]:
    """A shard's changes have every revision from 1 to its head."""
    rows = await stack.sql(
        "select shard_head.shard, shard_head.revision as head, count(distinct change.revision) as count,"
        " max(change.revision) as last from shard_head join change using (shard) where shard like 'ws:%' group by 1, 2"
    )
    return [f"{row['shard']}: {row['count']} revisions up to {row['head']}" for row in rows if not _whole(*row)]


def _whole(_shard: str, head: int, count: int, last: int) -> bool:
    return head == count == last


async def _lacking(stack: Stack, node: Node) -> list[str]:
    """Where what the node holds on disk differs from the database."""
    rows = await stack.sql(
        "select shard, kind, id, revision, hash from resource where not deleted"
        " and (organisation = 'instance' or organisation = $1)",
        stack.organisation,
    )
    wanted = {(row["shard"], row["kind"], row["id"]): (row["revision"], row["hash"]) for row in rows}
    held = await asyncio.to_thread(held_on_disk, node.folder / "configuration.sqlite3")
    return [
        f"{node.name}: {' '.join(name)} is {held.get(name)}, not {wanted.get(name)}"
        for name in sorted(wanted.keys() | held.keys())
        if held.get(name) != wanted.get(name)
    ]


def held_on_disk(path: Path) -> dict[tuple[str, str, str], tuple[int, str]]:
    """Revision and hash of every resource in a node's disk copy, each found there and intact; by shard, kind and id."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        (body,) = database.execute("SELECT body FROM pointer ORDER BY number DESC LIMIT 1").fetchone()
        pieces: dict[str, bytes] = dict(database.execute("SELECT name, body FROM piece"))
    finally:
        database.close()
    held = {}
    for shard, digest in tree.read_pointer(body).shards.items():
        for entry in _entries(pieces, digest):
            if hashlib.sha256(pieces.get(tree.value(entry.hash), b"")).hexdigest() == entry.hash:
                held[shard, entry.kind, entry.id] = entry.revision, entry.hash
    return held


def _entries(pieces: dict[str, bytes], digest: str) -> Iterator[tree.Entry]:
    manifest = tree.read_manifest(pieces[tree.manifest(digest)])
    yield from manifest.entries
    for part in manifest.parts:
        yield from _entries(pieces, part)
