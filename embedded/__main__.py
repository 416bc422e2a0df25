"""`python -m embedded`: everything on one machine. Starts it, stops it, and holds single parts down for tests."""

import argparse
import asyncio
import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from embedded import control, greeting, provider_keys
from embedded.api_client import ApiError
from embedded.background import run_detached
from embedded.clickhouse_server import NoClickhouse
from embedded.control import NotRunning
from embedded.keeper import PartFailed
from embedded.owner import NoWayIn
from embedded.ports import LOOPBACK, OFFSET_MAX, Ports, PortTaken
from embedded.postgres_programs import NoPostgres
from embedded.redis_server import NoRedis
from embedded.stack import Running, Stack
from embedded.state import AlreadyRunning, FolderUnfit, StateFolder, write_private
from embedded.supervisor import Supervisor, clear_up
from shared.clock import SystemClock

STATE_DIR = Path(".gatehouse")
WHY_NOT = (AlreadyRunning, FolderUnfit, PartFailed, PortTaken, NoClickhouse, NoRedis, NoPostgres, NoWayIn, ApiError)
"""What a person can mend: told without a traceback."""


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    state = StateFolder(options.state_dir.resolve())
    try:
        match options.command:
            case "up" if options.background:
                return run_detached(lambda ready: _up(options, state, ready), state.logs / "embedded.log")
            case "up":
                return _up(options, state, lambda: None)
            case "down":
                return _down(state)
            case "status":
                return _ask(state, {"do": "status"})
            case verb:
                return _ask(state, {"do": verb, "part": options.part})
    except NotRunning as reason:
        _say(str(reason))
        return 1


def _up(options: argparse.Namespace, state: StateFolder, ready: Callable[[], None]) -> int:
    # Whatever a part writes is its owner's alone.
    os.umask(0o077)
    try:
        state.prepare()
        with state.locked():
            state.rotate_logs()
            return asyncio.run(_supervise(options, state, ready))
    except WHY_NOT as reason:
        _say(str(reason))
        return 1
    except OSError as reason:
        if reason.errno != errno.ENOSPC:
            raise
        _say(f"the disk of {state.root} is full; make room, or see --state-dir")
        return 1


async def _supervise(options: argparse.Namespace, state: StateFolder, ready: Callable[[], None]) -> int:
    clock = SystemClock()
    supervisor = Supervisor(state, clock, _say)
    clear_up(state, _say)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, supervisor.stopping.set)
    stack = Stack(
        state=state,
        host=options.host,
        ports=Ports.free(options.host) if options.port_offset is None else Ports(options.port_offset),
        environment=os.environ,
        found=provider_keys.find(os.environ) if options.import_env else provider_keys.NOTHING,
        supervisor=supervisor,
        report=_say,
    )
    began_s = clock.monotonic_s()
    async with control.listening(state.control_socket, supervisor.answer):
        asked_to_stop = asyncio.create_task(supervisor.stopping.wait())
        starting = asyncio.create_task(stack.start())
        try:
            await asyncio.wait((starting, asked_to_stop), return_when=asyncio.FIRST_COMPLETED)
            if not asked_to_stop.done():
                _greet(await starting, state, options, clock.monotonic_s() - began_s)
                ready()
                await asked_to_stop
            _say("stopping")
        finally:
            starting.cancel()
            asked_to_stop.cancel()
            await asyncio.wait((starting, asked_to_stop))
            await supervisor.stop()
    _say("stopped")
    return 0


def _greet(running: Running, state: StateFolder, options: argparse.Namespace, took_s: float) -> None:
    write_private(state.run_json, running.run_json())
    down = "./scripts/down" if options.state_dir == STATE_DIR else f"./scripts/down --state-dir {options.state_dir}"
    _say(
        greeting.text(
            running,
            took_s=took_s,
            logs=state.logs,
            stop=down if options.background else f"Ctrl-C, or {down} from elsewhere",
        )
    )


def _down(state: StateFolder) -> int:
    """Afterwards nothing runs, also if nothing ran before or the supervisor had been killed."""
    try:
        control.ask(state.control_socket, {"do": "stop"})
    except NotRunning as reason:
        _say(str(reason))
        if not state.root.exists():
            return 0
    with state.locked(wait=True):
        clear_up(state, _say)
    _say("stopped")
    return 0


def _ask(state: StateFolder, request: dict[str, str]) -> int:
    answer = control.ask(state.control_socket, request)
    if error := answer.get("error"):
        _say(error)
        return 1
    for part in answer.get("parts", [answer]):
        process = f"process {part['pid']}" if part["pid"] else "no process"
        _say(f"{part['part']:13} {part['state']:8} {process}, restarted {part['restarts']} times")
    return 0


def _say(line: str) -> None:
    try:
        print(line, flush=True)
    except BrokenPipeError:
        # Nobody reads any more (`up | head`): no reason to stop.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _offset(text: str) -> int | None:
    if text == "free":
        return None
    offset = int(text) if text.isdecimal() else -1
    if not 0 <= offset <= OFFSET_MAX:
        raise argparse.ArgumentTypeError(f"from 0 to {OFFSET_MAX}, or `free`")
    return offset


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m embedded", description=__doc__)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--state-dir", type=Path, default=STATE_DIR, help=f"where state, logs and run.json are ({STATE_DIR})"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", parents=[shared], help="start everything and say how to use it")
    up.add_argument("--background", action="store_true", help="return when ready, and go on running")
    up.add_argument("--host", default=LOOPBACK, help=f"address both planes listen on ({LOOPBACK})")
    up.add_argument(
        "--port-offset", type=_offset, default=0, metavar="N", help="moves every port by N; `free` looks for an N"
    )
    up.add_argument(
        "--no-import-env",
        dest="import_env",
        action="store_false",
        help="make no virtual keys of provider keys in the environment",
    )
    commands.add_parser("down", parents=[shared], help="stop what `up` started")
    commands.add_parser("status", parents=[shared], help="say what each part does")
    for verb, meaning in (("hold", "stop a part and keep it down"), ("release", "start a held part again")):
        commands.add_parser(verb, parents=[shared], help=meaning).add_argument("part")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
