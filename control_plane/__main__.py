"""The control plane: `python -m control_plane --role all` runs it; the other commands do one thing and end."""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import orjson
from pydantic import ValidationError

from control_plane import app
from control_plane.settings import Settings
from control_plane.snapshots import build, files, state, toml_file
from control_plane.snapshots.errors import BuildError
from shared.clock import Clock, SystemClock
from shared.crypto import sign
from shared.protocol import snapshot as document
from shared.protocol.node import NodePublic
from shared.settings import faults

_HOUR_MS = 3_600_000


def main(arguments: Sequence[str], clock: Clock) -> int:
    """Run one command. 0, or 2 with one line on standard error that names what to mend."""
    options = _parser().parse_args(arguments)
    if options.command == "migrate":
        return _with_settings(app.migrate_only)
    if options.command == "organisation":
        return _with_settings(partial(app.make_organisation, name=options.name, email=options.owner))
    if options.command == "openapi":
        print(orjson.dumps(app.description(), option=orjson.OPT_INDENT_2).decode())
        return 0
    if options.command == "reconcile":
        return _with_settings(partial(app.reconcile_records, days=options.days))
    if options.command is None:
        return _with_settings(app.run)
    try:
        print(_snapshot(options, clock) if options.command == "snapshot" else _fingerprint(options))
    except (BuildError, OSError) as error:
        print(f"control_plane {options.command}: {error}", file=sys.stderr)
        return 2
    return 0


def _with_settings(act: Callable[[Settings], int]) -> int:
    try:
        settings = Settings()
    except ValidationError as error:
        print(*faults(error), sep="\n", file=sys.stderr)
        return 2
    return act(settings)


def _snapshot(options: argparse.Namespace, clock: Clock) -> str:
    source = toml_file.read(options.file)
    nodes = [_node(path) for path in options.node]
    signing_key = state.signing_key(options.signing_key)
    with files.one_at_a_time(options.state):
        last = state.load(options.state) or state.new_state(source.organisation.id, source.gateway)
        snapshot, following = build.assemble(
            source.content(last.hash_key),
            last,
            nodes=nodes,
            signing_key=signing_key,
            now_ms=clock.wall_ms(),
            lease_ms=round(options.lease_hours * _HOUR_MS),
        )
        # The state first: a sequence that has left must never be used for anything else.
        state.save(options.state, following)
        files.write_whole(options.output, document.encode(snapshot), files.PUBLIC)
    vector = " ".join(f"{shard.shard}@{shard.epoch}.{shard.revision}" for shard in snapshot.shards)
    return f"snapshot {following.sequence} for {source.gateway}: {vector}, signed by {snapshot.lease.fingerprint}"


def _fingerprint(options: argparse.Namespace) -> str:
    return sign.fingerprint(sign.public_key(state.signing_key(options.signing_key)))


def _node(path: Path) -> NodePublic:
    try:
        return NodePublic.model_validate(orjson.loads(path.read_bytes()))
    except (orjson.JSONDecodeError, ValidationError):
        raise BuildError(str(path), "not a node's public keys (node.public.json)") from None


def _hours(text: str) -> float:
    hours = float(text)
    if not 0 < hours <= 24 * 366:
        raise argparse.ArgumentTypeError("more than 0 and at most a year")
    return hours


def _days(text: str) -> int:
    days = int(text)
    if days < 1:
        raise argparse.ArgumentTypeError("one day at least")
    return days


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m control_plane", description=__doc__)
    parser.add_argument("--role", choices=["all"], default="all", help="the roles this process has (without a command)")
    commands = parser.add_subparsers(dest="command")
    signing = argparse.ArgumentParser(add_help=False)
    signing.add_argument("--signing-key", type=Path, required=True, help="private file; made if it is missing")
    commands.add_parser("fingerprint", parents=[signing], help="print the signing key's fingerprint")
    commands.add_parser("migrate", help="bring the database's schema up to date, and end")
    commands.add_parser("openapi", help="print the OpenAPI description of the API, and end")
    reconciling = commands.add_parser("reconcile", help="compare the ledger of records with ClickHouse, and end")
    reconciling.add_argument("--days", type=_days, help="the last so many days; without it all that are kept")
    organisation = commands.add_parser("organisation", help="make a further organisation and invite its owner")
    organisation.add_argument("name")
    organisation.add_argument("--owner", required=True, metavar="EMAIL", help="who gets the invitation")
    make = commands.add_parser("snapshot", parents=[signing], help="make a sealed, signed snapshot from a TOML file")
    make.add_argument("file", type=Path)
    make.add_argument("--node", type=Path, action="append", required=True, help="a node's node.public.json; repeatable")
    make.add_argument("--state", type=Path, required=True, help="the builder's private memory; made if it is missing")
    make.add_argument("--output", type=Path, required=True, help="the snapshot, replaced at once")
    make.add_argument("--lease-hours", type=_hours, default=24.0)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], SystemClock()))
