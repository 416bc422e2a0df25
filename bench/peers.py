"""Other gateways: each installed once, in its own folder outside of the project, and run as its documents advise.

They have less to do than the gateway: neither prices nor records a call here, and Portkey knows no keys.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.processes import Cores, PartFailed, accepts, run_to_end, which
from bench.workloads import EMBEDDING_MODEL, MODEL
from embedded.part import Part

PORTKEY, LITELLM = "portkey", "litellm"
VERSIONS = {PORTKEY: "1.15.2", LITELLM: "1.106.2"}
INSTALL_S_MAX = 900.0
READY_S_MAX = 180.0
KEY = "sk-bench"


class NotInstalled(Exception):
    """Why."""


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    part: Part
    headers: tuple[str, ...]
    patience: int
    """How many times longer than others it is measured."""

    @property
    def title(self) -> str:
        return f"{self.name} {VERSIONS[self.name]}"


def home(environment: Mapping[str, str]) -> Path:
    """Where they are kept from one run to the next."""
    cache = environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME", "/tmp")) / ".cache"  # noqa: S108
    return Path(cache) / "gatehouse-bench"


async def portkey(folder: Path, port: int, upstream: str, cores: Cores, environment: Mapping[str, str]) -> Peer:
    """From npm, on the Node that is there. Raises NotInstalled."""
    npm, node = which("npm", environment), which("node", environment)
    if npm is None or node is None:
        raise NotInstalled("npm and node are not on the PATH")
    own = folder / f"{PORTKEY}-{VERSIONS[PORTKEY]}"
    package = f"@portkey-ai/gateway@{VERSIONS[PORTKEY]}"
    await _installed(own, [(npm, "install", "--no-audit", "--no-fund", f"--prefix={own}", package)], cores)
    server = own / "node_modules/@portkey-ai/gateway/build/start-server.js"
    command = (node, str(server), f"--port={port}", "--headless")
    part = Part(PORTKEY, command, {**environment, "NODE_ENV": "production"}, partial(accepts, port), READY_S_MAX)
    headers = (f"Authorization: Bearer {KEY}", "x-portkey-provider: openai", f"x-portkey-custom-host: {upstream}/v1")
    return Peer(PORTKEY, part, headers, patience=2)


async def litellm(folder: Path, port: int, upstream: str, cores: Cores, environment: Mapping[str, str]) -> Peer:
    """From PyPI, in an environment of its own; one worker, no database. Raises NotInstalled."""
    own = folder / f"{LITELLM}-{VERSIONS[LITELLM]}"
    python = own / "bin/python"
    install = (str(python), "-m", "pip", "install", "--quiet", f"litellm[proxy]=={VERSIONS[LITELLM]}", "async-timeout")
    await _installed(own, [(sys.executable, "-m", "venv", str(own)), install], cores)
    configuration = own / f"bench-{port}.yaml"
    configuration.write_text(_litellm_configuration(upstream))
    ways = ("--config", str(configuration), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1")
    production = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    command = (str(python), str(own / "bin/litellm"), *ways)
    part = Part(LITELLM, command, {**environment, **production}, partial(accepts, port), READY_S_MAX)
    return Peer(LITELLM, part, (f"Authorization: Bearer {KEY}",), patience=4)


async def _installed(own: Path, commands: list[tuple[str, ...]], cores: Cores) -> None:
    """Runs the commands unless they ran to their end before, with our whole environment: it says where packages are."""
    done = own / "installed"
    if done.exists():
        return
    print(f"installing {own.name} ...", flush=True)
    own.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 (nothing else runs meanwhile)
    try:
        for command in commands:
            await run_to_end(command, os.environ, cores, limit_s=INSTALL_S_MAX)
    except (PartFailed, OSError) as failure:
        raise NotInstalled(str(failure).strip().splitlines()[-1]) from None
    done.touch()


def _litellm_configuration(upstream: str) -> str:
    models = "".join(
        f"""\
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: {upstream}/v1
      api_key: sk-upstream
"""
        for model in (MODEL, EMBEDDING_MODEL)
    )
    return f"""\
model_list:
{models}general_settings:
  master_key: {KEY}
litellm_settings:
  request_timeout: 600
  set_verbose: false
  json_logs: true
"""
