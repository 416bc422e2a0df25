"""Decisions are pure: in the rooms that decide nothing waits, opens a socket or looks at a clock."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PURE = (
    "gateway/providers",
    "gateway/view",
    "gateway/pipeline/resolve.py",
    "gateway/pipeline/read.py",
    "gateway/pipeline/authenticate.py",
    "gateway/pipeline/models.py",
    "gateway/pipeline/record.py",
    "gateway/sync/trust.py",
    "shared/models",
    "shared/protocol",
)
OUTWARD = {
    "asyncio",
    "socket",
    "ssl",
    "time",
    "random",
    "subprocess",
    "aiohttp",
    "redis",
    "httptools",
    "uvloop",
    "threading",
}


def files(place: str) -> list[Path]:
    path = ROOT / place
    return [path] if path.suffix else sorted(path.rglob("*.py"))


def effects(tree: ast.AST) -> Iterator[str]:
    """What in a module reaches beyond it, as `line: what`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await):
            yield f"{node.lineno}: {type(node).__name__}"
        elif isinstance(node, ast.Import):
            yield from (f"{node.lineno}: {a.name}" for a in node.names if a.name.split(".")[0] in OUTWARD)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in OUTWARD:
            yield f"{node.lineno}: {node.module}"


@pytest.mark.parametrize("place", PURE)
def test_what_decides_has_no_effects(place: str) -> None:
    found = files(place)
    assert found, f"{place} has moved: say where the decision is made now"
    for path in found:
        assert list(effects(ast.parse(path.read_text()))) == [], path


@pytest.mark.parametrize(
    "source", ["import asyncio", "from time import time", "async def f(): ...", "import os, socket"]
)
def test_the_check_itself_sees_effects(source: str) -> None:
    assert list(effects(ast.parse(source)))
