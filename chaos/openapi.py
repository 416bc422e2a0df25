"""The API against its own description: requests made of it by schemathesis, with no answer of 5xx and none unlike it.

Three passes over one running stack: with an admin key and made-up ids, with the ids of what is there, and what only a
person's session may ask.
"""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from chaos.stack import Stack

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "ensure_resource_availability",
    "ignored_auth",
)
NOT_BY_CHANCE = "negative_data_rejection"
"""Only in the phase that tries each limit of the description in turn: random texts have spaces at their ends, which are
taken off before they are measured.
"""
PERSONAL = r"^/api/v1/(session|account)"
KEPT = ("gateways_delete", "nodes_delete", "organisation_users_delete")
"""Not sent where ids are real: with what they delete, much would be out of reach."""


@dataclass(frozen=True, slots=True)
class Pass:
    name: str
    share: float
    """Of the time."""
    options: tuple[str, ...]
    parameters: tuple[tuple[str, str], ...] = ()
    """Of paths, with their values; the others are made up."""


async def check(stack: Stack, folder: Path, seconds: float, seed: int) -> bool:
    """Prints what schemathesis says. Whether every pass found nothing."""
    passes = [
        Pass("made-up ids", 0.45, _key(stack)),
        Pass("real ids", 0.45, (*_key(stack), *(f"--exclude-operation-id={id_}" for id_ in KEPT)), await _real(stack)),
        Pass("a person's session", 0.1, await _session(stack)),
    ]
    good = True
    for one in passes:
        print(f"--- {one.name}", flush=True)
        good = await _run(stack, folder, one, max(5, round(seconds * one.share)), seed) and good
    return good


async def _run(stack: Stack, folder: Path, one: Pass, seconds: int, seed: int) -> bool:
    settings = folder / "schemathesis.toml"
    settings.write_text(_settings(one))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", f"--config-file={settings}", "run"),
        f"{stack.control_plane_url}/api/openapi.json",
        *("--no-color", "--warnings=off", "--continue-on-failure", "--output-sanitize=true"),
        f"--checks={','.join(CHECKS)}",
        f"--max-time={seconds}",
        f"--seed={seed}",
        *one.options,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
    )
    try:
        return await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _settings(one: Pass) -> str:
    parameters = "".join(f'"path.{name}" = "{value}"\n' for name, value in one.parameters)
    phases = "".join(f"[phases.{phase}.checks]\n{NOT_BY_CHANCE}.enabled = false\n" for phase in ("fuzzing", "stateful"))
    return f"[parameters]\n{parameters}{phases}"


def _key(stack: Stack) -> tuple[str, ...]:
    return (f"--header=Authorization:Bearer {stack.admin_key}",)


async def _session(stack: Stack) -> tuple[str, ...]:
    session = await stack.log_in()
    return (
        f"--header=Cookie:{session.cookie}",
        f"--header=x-gatehouse-csrf:{session.csrf_token}",
        f"--include-path-regex={PERSONAL}",
        # For these it adds an admin key beside the cookie, which it does not know to be credentials too.
        "--exclude-checks=ignored_auth,unsupported_method",
    )


async def _real(stack: Stack) -> tuple[tuple[str, str], ...]:
    """What is in use, and so outlives the attempts to delete it."""
    (node,), (workspace, *_) = stack.nodes, stack.workspaces
    keys = await stack.api.get(f"{workspace.path}/api-keys")
    members = await stack.api.get("/api/v1/members")
    return (
        ("workspace", workspace.id),
        ("virtual_key", "simulator"),
        ("config", "default"),
        ("provider", "simulator"),
        ("api_key", keys["data"][0]["id"]),
        ("member", members["data"][0]["id"]),
        ("gateway", node.gateway),
        ("node", node.id),
        ("model", "openai%2Fgpt-4o"),
    )
