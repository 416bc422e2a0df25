"""`python -m embedded.simulator`: serve until told to stop."""

import argparse
import asyncio
import signal
from pathlib import Path

import uvloop
from aiohttp import web

from embedded.simulator.app import Simulator
from shared.crypto.secret import Secret


async def serve(host: str, port: int, key: Secret | None) -> None:
    # Without handler_cancellation a handler would never learn that its client left.
    runner = web.AppRunner(
        Simulator(key).application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
    )
    await runner.setup()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await web.TCPSite(runner, host, port).start()
        print(f"simulator listening on http://{host}:{port}", flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m embedded.simulator", description="A simulated provider.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key-file", type=Path, help="file with the API key callers must show; without it any will do")
    asked = parser.parse_args()
    key = Secret(asked.key_file.read_text().strip()) if asked.key_file else None
    uvloop.run(serve(asked.host, asked.port, key))


if __name__ == "__main__":
    main()
