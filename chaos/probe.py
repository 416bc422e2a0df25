"""A gateway whose event loops write down how long their callbacks take: `python -m chaos.probe` in place of `gateway`.

What is measured is CPU time of the loop's own thread, so a callback that waits for a core or for another thread costs
only what it does itself. Data that arrives on a connection is handed over inside libuv and is not seen here.
"""

import asyncio
import os
import sys
import time
from asyncio import Handle, TimerHandle
from collections.abc import Callable
from contextvars import Context
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import uvloop

from gateway.__main__ import main

Call = Callable[..., Any]

TOLD_MS = 1.0
"""Shorter ones are not written down."""
FILE = "callbacks-{pid}.jsonl"


class ProbeLoop(uvloop.Loop):
    """Times whatever is called soon or later; a step of a task is one of these."""

    def call_soon(self, callback: Call, *args: Any, context: Context | None = None) -> Handle:  # type: ignore[override]
        return super().call_soon(partial(_timed, callback), *args, context=context)

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Call, *args: Any, context: Context | None = None
    ) -> Handle:
        return super().call_soon_threadsafe(partial(_timed, callback), *args, context=context)

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Call, *args: Any, context: Context | None = None
    ) -> TimerHandle:
        return super().call_later(delay, partial(_timed, callback), *args, context=context)


def _timed(callback: Call, *args: Any) -> None:
    name = _name(callback)
    began_s = time.thread_time()
    try:
        callback(*args)
    finally:
        took_ms = (time.thread_time() - began_s) * 1000
        if took_ms >= TOLD_MS:
            _tell({"at_s": time.monotonic(), "ms": took_ms, "name": name})


def _tell(row: dict[str, Any]) -> None:
    path = Path(os.environ["GATEHOUSE_STATE_DIR"]) / FILE.format(pid=os.getpid())
    with path.open("ab") as file:
        file.write(orjson.dumps(row) + b"\n")


def _name(callback: Call) -> str:
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return str(getattr(owner.get_coro(), "__qualname__", owner.get_coro()))
    return str(getattr(callback, "__qualname__", callback))


if __name__ == "__main__":
    uvloop.run = partial(uvloop.run, loop_factory=ProbeLoop)
    sys.exit(main())
