"""`python -m embedded.demo`: demonstration traffic through the gateway of a running `./scripts/up`, for a while."""

import argparse
import asyncio
import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from embedded import owner
from embedded.api_client import ApiError, connected
from embedded.demo import script as scripts
from embedded.demo.play import Play
from embedded.demo.scene import WORKSPACE, Scene
from embedded.demo.stage import Stage
from shared.crypto.secret import Secret

REQUESTS_MAX = 100_000
RATE_MAX = 200.0
STEPS = 20
"""How many lines of progress where no terminal shows one that changes."""
SETTLE_S = 1.5
"""An edit reaches a gateway in about a second."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo-traffic", description=__doc__)
    parser.add_argument("--requests", type=_bounded(1, REQUESTS_MAX), default=600)
    parser.add_argument("--rate", type=_bounded(0.1, RATE_MAX), default=10.0, help="requests a second")
    parser.add_argument("--seed", type=int, default=1, help="the same seed plays the same requests")
    parser.add_argument("--state-dir", type=Path, default=Path(".gatehouse"), help="of the running stack")
    options = parser.parse_args(arguments)
    try:
        run = orjson.loads((options.state_dir / "run.json").read_bytes())
    except FileNotFoundError:
        print(f"nothing runs in {options.state_dir}; start it with ./scripts/up", file=sys.stderr)
        return 1
    try:
        ended = asyncio.run(_play(run, options))
    except ApiError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    told = ", ".join(f"{count} x {ending}" for ending, count in sorted(ended.items()))
    print(f"{ended.total()} requests: {told}")
    print(f"see them at {run['control_plane_url']}/analytics?workspace={WORKSPACE}&range=15m")
    return 1 if ended["no answer"] else 0


async def _play(run: dict[str, Any], options: argparse.Namespace) -> Counter[str]:
    script, chance = scripts.read(), random.Random(options.seed)
    stage = Stage(script, chance)
    runner = await stage.open()
    try:
        async with connected(run["control_plane_url"]) as api:
            scene = Scene(api.sending(owner.bearer(Secret(run["admin_key"]))), script)
            keys = await scene.set(stage.url)
            await asyncio.sleep(SETTLE_S)
            play, requests = Play(script, keys, chance), int(options.requests)
            print(f"{requests} requests, about {requests / options.rate:.0f} s", file=sys.stderr)
            return await play.run(run["gateway_url"], requests=requests, rate=options.rate, report=_progress(requests))
    finally:
        await runner.cleanup()


def _progress(requests: int) -> Any:
    shows, step = sys.stderr.isatty(), max(1, requests // STEPS)

    def report(done: int, ended: Counter[str]) -> None:
        text = f"{done} of {requests}: {ended['200']} answered"
        if shows:
            print(f"\r{text}", end="\n" if done == requests else "", file=sys.stderr, flush=True)
        elif done % step == 0:
            print(text, file=sys.stderr, flush=True)

    return report


def _bounded(least: float, most: float) -> Any:
    def number(text: str) -> float:
        value = float(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"from {least} to {most}")
        return value

    return number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
