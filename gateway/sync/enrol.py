"""The node's first call: a token becomes an identity that is kept (GHS/1 11)."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from gateway.sync import identity
from gateway.sync.control_plane_client import CallFailed, ControlPlane
from gateway.sync.identity import Identity
from gateway.sync.node_keys import NodeKeys
from gateway.sync.pace import Backoff
from shared.protocol.enrolment import (
    PATH,
    EnrolmentError,
    EnrolmentToken,
    EnrolRequest,
    ProtocolRange,
    read_enrolment,
)

log = structlog.get_logger("sync.enrol")


async def enrol(
    control_plane: ControlPlane,
    token: EnrolmentToken,
    *,
    node_keys: NodeKeys,
    state_dir: Path,
    build: str,
    backoff: Backoff,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Identity:
    """Ask until the control plane that the token names says yes; no other answer ends it (GHS/1 12.5)."""
    asked = EnrolRequest(token=token.secret.reveal_text(), node=node_keys.public, build=build, protocol=ProtocolRange())
    body = asked.model_dump_json().encode()
    said = ""
    while True:
        try:
            told = await control_plane.post(PATH, body)
            enrolment = read_enrolment(told.body, fingerprint=token.fingerprint, node=node_keys.node)
        except (CallFailed, EnrolmentError) as error:
            if str(error) != said:
                said = str(error)
                log.error("not_enrolled", detail=said)  # noqa: TRY400 - the fault is not here
            await pause(backoff.failed())
            continue
        learnt = Identity(enrolment.gateway, enrolment.organisation, token.fingerprint, tuple(enrolment.endpoints))
        identity.save(state_dir, learnt)
        log.info("enrolled", gateway=learnt.gateway, node=node_keys.node)
        return learnt
