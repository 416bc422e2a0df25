"""How a call ended (pure): counts, ids and times, no content. The record of a request will be made of it."""

from dataclasses import dataclass

from gateway.pipeline.exchange import Exchange
from gateway.providers.base import Usage


@dataclass(slots=True)  # Made for each call: frozen, it would cost four times as much to make.
class Outcome:
    id: str
    door: str
    workspace: str | None
    api_key: str | None
    status: int | None
    """None: the caller left before an answer began."""
    error_code: str | None
    provider: str | None
    target_path: str | None
    attempts: int
    stream: bool
    whole: bool
    usage: Usage | None
    bytes_out: int
    duration_s: float


def outcome_of(exchange: Exchange, now_s: float) -> Outcome:
    caller, call = exchange.caller, exchange.call
    return Outcome(
        id=exchange.id,
        door=exchange.door.value,
        workspace=caller.workspace.id if caller is not None else None,
        api_key=caller.id if caller is not None else None,
        status=exchange.status,
        error_code=exchange.error_code,
        provider=exchange.provider,
        target_path=exchange.target_path,
        attempts=exchange.attempts,
        stream=call.stream if call is not None else False,
        whole=exchange.whole,
        usage=exchange.usage,
        bytes_out=exchange.bytes_out,
        duration_s=now_s - exchange.started_s,
    )
