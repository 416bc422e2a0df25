"""The node's line to the control plane: heartbeats, watches, and what they bring to the agent (GHS/1 13, 15)."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import structlog

from gateway.sync import reports
from gateway.sync.agent import Agent
from gateway.sync.control_plane_client import UNREACHABLE, CallFailed, ControlPlane, Told
from gateway.sync.leader import RENEW_S, Leader
from gateway.sync.pace import Backoff, Pace
from gateway.sync.trust import Refused, Verified
from gateway.view.refusal import Refusal
from shared.clock import Clock
from shared.models.noun import Kind
from shared.protocol import answer as answers
from shared.protocol.answer import Answer
from shared.protocol.canonical import INTEGER_MAX
from shared.protocol.enrolment import ProtocolRange
from shared.protocol.heartbeat import (
    HEARTBEAT_PATH,
    REFUSED_MAX,
    TEXT_CHARS_MAX,
    WAIT_S_MAX,
    WATCH_PATH,
    Applied,
    Heartbeat,
    Question,
    RecordsHealth,
    RefusedResource,
    Watch,
    WorkerHealth,
)
from shared.protocol.request import BODY_BYTES_MAX
from shared.protocol.snapshot import SnapshotError

SCHEMA_VERSIONS = {kind.value: 1 for kind in Kind}
LOOK_S = 0.25
"""How often a loop that waits looks whether there is something to tell; it gathers what happens within."""
NEXT_S_MIN = 1.0
NEXT_S_MAX = 300.0
SAID_MAX = 20
"""Reasons why there is no answer; who stands in the way may make up ever new ones."""


class Link:
    def __init__(
        self,
        *,
        control_plane: ControlPlane,
        agent: Agent,
        leader: Leader,
        state_dir: Path,
        records: Callable[[], RecordsHealth | None],
        build: str,
        clock: Clock,
        chance: Random,
        renew_s: float = RENEW_S,
    ) -> None:
        """`records` blocks: it is called in a thread."""
        self._control_plane = control_plane
        self._agent = agent
        self._leader = leader
        self._state_dir = state_dir
        self._records = records
        self._build = build
        self._clock = clock
        self._chance = chance
        self._renew_s = renew_s
        self._leading = asyncio.Event()
        self._watch_failed = False
        self._beaten_s: float | None = None
        self._said: dict[str, set[str]] = {}
        """By path, why there was no answer since the last one."""
        self._log = structlog.get_logger("sync.link")

    async def run(self) -> None:
        """Work until cancelled; then another node may lead at once."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._lead())
                group.create_task(self._heartbeats())
                group.create_task(self._watches())
        finally:
            await self._leader.resign()

    def beat_age_s(self) -> float | None:
        """How long ago the last heartbeat was answered well; None: none was yet."""
        return None if self._beaten_s is None else self._clock.monotonic_s() - self._beaten_s

    async def beat(self) -> float | None:
        """One heartbeat; how many seconds until the next, or None if it brought nothing good."""
        answer = await self._exchange(HEARTBEAT_PATH, self._heartbeat)
        if answer is not None:
            self._beaten_s = self._clock.monotonic_s()
        return None if answer is None else min(max(answer.next_ms / 1000, NEXT_S_MIN), NEXT_S_MAX)

    async def watch(self, wait_s: int = WAIT_S_MAX) -> bool:
        """One watch; whether it brought something good."""

        async def ask(question: Question) -> Question:
            return Watch(have=question.have, lease=question.lease, key_chain=question.key_chain, wait_s=wait_s)

        return await self._exchange(WATCH_PATH, ask, wait_s) is not None

    async def _heartbeats(self) -> None:
        pace, backoff = Pace(self._clock), Backoff(self._chance)
        while True:
            await asyncio.sleep(pace.take())
            told = self._signs()
            wait_s = await self._supervised(self.beat)
            if wait_s is None:
                await asyncio.sleep(backoff.failed())
                continue
            backoff.succeeded()
            due_s = self._clock.monotonic_s() + wait_s
            # Workers are other processes, and what they say is in files: there is no event to wait for.
            while self._clock.monotonic_s() < due_s and self._signs() == told:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S)

    async def _watches(self) -> None:
        pace, backoff = Pace(self._clock), Backoff(self._chance)
        while True:
            await self._leading.wait()
            if self._agent.held is None:  # A heartbeat brings everything; twice would be once too often.
                await asyncio.sleep(LOOK_S)
                continue
            await asyncio.sleep(pace.take())
            self._watch_failed = not await self._supervised(self.watch)
            if self._watch_failed:
                await asyncio.sleep(backoff.failed())
            else:
                backoff.succeeded()

    async def _lead(self) -> None:
        while True:
            if await self._leader.leads():
                self._leading.set()
            else:
                self._leading.clear()
            await asyncio.sleep(self._renew_s)
            if self._leading.is_set() and (self._watch_failed or self._agent.held is None):
                # Revoked or cut off, it would keep the watch from all others. It tries on until one of them has it.
                await self._leader.resign()
                await asyncio.sleep(self._renew_s)

    async def _supervised(self, act: Callable[[], Awaitable[float | bool | None]]) -> float | None:
        try:
            return await act()
        except Exception:  # noqa: BLE001 - the node's only line: what broke this call may not break the next
            self._log.error("sync_link_failed", exc_info=True)
            return None

    async def _exchange(
        self, path: str, ask: Callable[[Question], Awaitable[Question]], wait_s: int = 0
    ) -> Answer | None:
        """Ask, and give the answer to the agent; None if there was none, or it was refused (GHS/1 12.5)."""
        question, base = self._agent.question()
        message = await ask(question)
        try:
            body = await asyncio.to_thread(encoded, message)
            told = await self._control_plane.post(path, body, wait_s=wait_s)
        except CallFailed as error:
            self._say(path, error)
            return None
        answer = await self._taken(told, base)
        if answer is None:
            self._control_plane.leave(told)
        elif self._said.pop(path, None) is not None:
            self._log.info("control_plane_back", path=path)
        return answer

    async def _taken(self, told: Told, base: Verified | None) -> Answer | None:
        """What was told, if the agent takes it; else it says why."""
        try:
            answer = await asyncio.to_thread(answers.parse, told.body)
        except SnapshotError as error:
            self._agent.refuse(Refused(error.code, str(error)))
            return None
        return answer if await self._agent.take(answer, base) else None

    def _say(self, path: str, error: CallFailed) -> None:
        """Each reason once: endpoints fail in turn, and a refusal may say the same in other words each time."""
        reason = str(error) if error.code == UNREACHABLE else error.code
        said = self._said.setdefault(path, set())
        if reason not in said and len(said) < SAID_MAX:
            said.add(reason)
            self._log.warning("control_plane_away", path=path, detail=str(error))

    def _signs(self) -> object:
        """What is worth a heartbeat at once, when it changes."""
        return reports.signature(self._state_dir), self._agent.status().refusal

    async def _heartbeat(self, question: Question) -> Question:
        told = await asyncio.to_thread(reports.read, self._state_dir)
        status = self._agent.status()
        refused = reports.refused_by_any(told)
        return Heartbeat(
            have=question.have,
            lease=question.lease,
            key_chain=question.key_chain,
            build=self._build,
            protocol=ProtocolRange(),
            kinds=SCHEMA_VERSIONS,
            applied=[
                Applied(shard=entry.shard, epoch=entry.epoch, revision=entry.revision)
                for entry in reports.applied_by_all(told)
            ],
            refused=[_told(entry) for entry in refused[:REFUSED_MAX]],
            refused_count=len(refused),
            refusal=status.refusal or next((report.refusal for report in told if report.refusal), None),
            workers=[WorkerHealth(worker=report.worker, lease=report.lease) for report in told],
            stores=dict(status.stores),
            disk_free_bytes=await asyncio.to_thread(_free_bytes, self._state_dir),
            clock_ms=self._clock.wall_ms(),
            records=await asyncio.to_thread(self._records),
        )


def encoded(question: Question) -> bytes:
    """As it is sent. A heartbeat that would be too large leaves out which resources are refused, not how many."""
    body = question.model_dump_json().encode()
    if len(body) <= BODY_BYTES_MAX or not isinstance(question, Heartbeat):
        return body
    return question.model_copy(update={"refused": []}).model_dump_json().encode()


def _free_bytes(folder: Path) -> int:
    """As far as it can be told: a shared file system may say that it has more than any number of the protocol holds."""
    try:
        return min(shutil.disk_usage(folder).free, INTEGER_MAX)
    except OSError:
        return 0


def _told(refused: Refusal) -> RefusedResource:
    return RefusedResource(
        shard=refused.shard,
        kind=refused.kind,
        id=refused.id,
        revision=refused.revision,
        code=refused.code,
        path=refused.detail[:TEXT_CHARS_MAX],
    )
