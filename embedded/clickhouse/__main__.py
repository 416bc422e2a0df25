"""`python -m embedded.clickhouse`: open the data folder, serve it until told to stop."""

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

import uvloop
from aiohttp import web

from embedded.clickhouse.engine import Engine, EngineFailed
from embedded.clickhouse.front import Front
from embedded.clickhouse.limits import DRAIN_S, LINE_BYTES_MAX
from embedded.clickhouse.login import Login
from embedded.ports import LOOPBACK
from shared.crypto.secret import Secret


async def serve(port: int, password: Secret, data: Path) -> None:
    engine = Engine(data)
    for part in engine.taken_back:
        print(f"part {part} was being inserted when the engine was killed; its insert can be repeated", flush=True)
    # Without handler_cancellation nobody would learn that a caller left.
    runner = web.AppRunner(
        Front(engine, Login(password)).application(),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=DRAIN_S,
        max_line_size=LINE_BYTES_MAX,
        # Bodies are decompressed by the front, which knows how large they may become.
        auto_decompress=False,
    )
    await runner.setup()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await web.TCPSite(runner, LOOPBACK, port).start()
        print(f"ClickHouse engine {engine.version} listening on http://{LOOPBACK}:{port}", flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()
        engine.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m embedded.clickhouse", description="The ClickHouse engine by HTTP.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--password-file", type=Path, required=True, help="file with the password callers must show")
    parser.add_argument("--data", type=Path, required=True, help="folder of the engine's data, which is its alone")
    asked = parser.parse_args()
    os.umask(0o077)
    try:
        uvloop.run(serve(asked.port, Secret(asked.password_file.read_bytes()), asked.data.resolve()))
    except (EngineFailed, OSError) as error:
        print(f"the ClickHouse engine cannot start: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
