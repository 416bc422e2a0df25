"""The layout's habits: doors say what a room is, nothing is called utils, and the environment is read in few places."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("shared", "gateway", "control_plane", "embedded")
READS_ENVIRONMENT = {"gateway/__main__.py", "embedded/__main__.py", "embedded/smoke.py"}
MAKES_SETTINGS = {
    "gateway/__main__.py",
    "gateway/app.py",
    "control_plane/__main__.py",
    "control_plane/app.py",
}


def modules() -> list[tuple[str, Path]]:
    return [(path.relative_to(ROOT).as_posix(), path) for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def environment_reads(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv"):
            yield node.lineno
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            yield from (node.lineno for alias in node.names if alias.name in ("environ", "environb", "getenv"))


def settings_made(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Settings":
            yield node.lineno


@pytest.mark.parametrize(("place", "path"), modules())
def test_every_module_says_what_it_is(place: str, path: Path) -> None:
    tree = ast.parse(path.read_text())
    said = ast.get_docstring(tree)
    assert said, f"{place} has no docstring"
    assert said.splitlines()[0].strip()
    if path.name == "__init__.py":
        assert len(tree.body) == 1, f"{place} holds more than its docstring"


def test_every_room_has_a_door() -> None:
    folders = {path.parent for _, path in modules()}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_nothing_is_called_utils() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert [place for place, path in modules() if vague & {path.stem, *path.relative_to(ROOT).parts[:-1]}] == []


def test_the_environment_is_read_in_few_places() -> None:
    readers = {place for place, path in modules() if list(environment_reads(ast.parse(path.read_text())))}
    assert readers <= READS_ENVIRONMENT


def test_settings_are_made_where_the_parts_are_joined() -> None:
    makers = {place for place, path in modules() if list(settings_made(ast.parse(path.read_text())))}
    assert makers <= MAKES_SETTINGS
    assert makers


@pytest.mark.parametrize(
    "source", ["import os\nos.environ['A']", "from os import environ", "import os\nos.getenv('A')"]
)
def test_the_check_itself_sees_a_read(source: str) -> None:
    assert list(environment_reads(ast.parse(source)))
