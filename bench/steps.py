"""What each step of a call's governance costs by itself, in CPU microseconds: the key, the config, the price.

Pure steps of the worker's own, in one process, one after another, so everything is in the processor's cache: what they
cost at the least. What a record costs is `bench/records.py`.
"""

import sys
import time
from collections.abc import Callable
from datetime import date
from statistics import median

from msgspec.structs import replace

from bench.records import Calls
from bench.workloads import MODEL, SMALL
from gateway.pipeline.allow import allow
from gateway.pipeline.authenticate import authenticate, require_scope
from gateway.pipeline.read import read_call
from gateway.pipeline.resolve import resolve
from gateway.providers.base import Door, Usage
from gateway.view.view import ConfigEntry, ConfigView
from shared.crypto.api_keys import keyed_hash, new_api_key
from shared.crypto.secret import Secret
from shared.models.config import parse_config
from shared.models.price import Amounts, Price
from shared.pricing import PriceTable

ROUNDS = 21
CALLS = 2_000


def cpu_us(act: Callable[[], object]) -> float:
    """Median CPU microseconds of `act`."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time_ns()
        for _ in range(CALLS):
            act()
        rounds.append((time.process_time_ns() - began) / 1_000 / CALLS)
    return median(rounds)


def main() -> int:
    key, hash_key = new_api_key().reveal_text(), Secret(b"k" * 32)
    exchange = Calls().one()
    target, caller = exchange.attempts[0].target, exchange.caller
    assert caller is not None
    entry = ConfigEntry(
        "cf_0199c7d7a0e03f51c09d7744e7a1c2b0", 3, "default", parse_config({"virtual_key": "chats"}), target
    )
    workspace = replace(caller.workspace, configs={"default": entry})
    caller = replace(caller, workspace=workspace, default_config="default", scopes=frozenset({"completions.write"}))
    prices = PriceTable(
        {
            ("acme", MODEL): (
                Price(
                    valid_from=date(2026, 1, 1), amounts=Amounts(input_usd_per_mtok="0.15", output_usd_per_mtok="0.6")
                ),
            )
        }
    )
    view = ConfigView(7, hash_key, {keyed_hash(hash_key, key): caller}, prices)
    headers = {"host": "gateway", "authorization": f"Bearer {key}", "content-type": "application/json"}
    call = read_call(Door.CHAT, headers, SMALL.body)
    usage = Usage(input_tokens=240, output_tokens=80, cache_read_tokens=0)
    now_ms = time.time_ns() // 1_000_000

    def checked() -> None:
        require_scope(authenticate(headers, view, now_ms), "completions.write")

    def decided() -> None:
        resolved = resolve(headers, call, caller)
        allow(resolved.route, resolved, call, caller)

    parts: dict[str, Callable[[], object]] = {
        "API key checked": checked,
        f"request of {len(SMALL.body):,} bytes read": lambda: read_call(Door.CHAT, headers, SMALL.body),
        "config resolved and allowed": decided,
        "cost reckoned": lambda: view.prices.cost("acme", MODEL, usage, now_ms),
    }
    for name, act in parts.items():
        print(f"{name}: {cpu_us(act):.2f} µs of CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main())
