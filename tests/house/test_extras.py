"""Each plane can be installed by itself: what it imports, the packages it asks for bring."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = {"bench", "chaos", "control_plane", "embedded", "gateway", "shared"}
PART_OF = {"pydantic_core": "pydantic"}
"""Modules that come with what is asked for, always."""


def imported(plane: str) -> Iterator[tuple[str, str]]:
    """Top-level modules that are neither ours nor Python's, and who imports each."""
    for path in sorted((ROOT / plane).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                top = name.partition(".")[0]
                if top not in OURS and top not in sys.stdlib_module_names:
                    yield PART_OF.get(top, top), str(path.relative_to(ROOT))


def named(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=\[ ;]", each)[0].lower().replace("_", "-") for each in requirements}


@pytest.mark.parametrize(("plane", "extra"), [("gateway", "gateway"), ("control_plane", "control-plane")])
def test_a_plane_asks_for_all_that_it_imports(plane: str, extra: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = named(project["dependencies"]) | named(project["optional-dependencies"][extra])
    brings = packages_distributions()
    missing = {
        (module, path)
        for part in (plane, "shared")
        for module, path in imported(part)
        if asked.isdisjoint(each.lower().replace("_", "-").replace(".", "-") for each in brings.get(module, ()))
    }
    assert missing == set()
