"""No provider's name outside `gateway/providers/` and the data that lists them (law 9)."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from shared.models.provider import Dialect

ROOT = Path(__file__).parents[2]
TABLE = tomllib.loads((ROOT / "shared/data/providers.toml").read_text())
FAMOUS = {"anthropic", "azure", "bedrock", "cohere", "gemini", "ollama", "vertex"}
NAMES = sorted({*TABLE, *FAMOUS, *(path.name for path in (ROOT / "gateway/providers").iterdir() if path.is_dir())})
_NAME = re.compile(rf"(?i)(?<![a-z])({'|'.join(NAMES)})(?![a-z])")
_HEADER = re.compile(r"(openai|anthropic|azureml)-[a-z-]*")
"""Headers that pass by their name, whichever provider is behind them (design section 5)."""

DIALECTS_NAMED = {
    "shared/models/provider.py": set(get_args(Dialect)),
    "control_plane/providers/api.py": {"openai"},
}
"""Where dialects are said by their names, which are providers' too: their list, and where one is the default."""


def modules() -> list[Path]:
    """Everything but the providers' own room and what finds their keys."""
    paths = [
        path for root in ("shared", "gateway", "control_plane", "embedded") for path in (ROOT / root).rglob("*.py")
    ]
    home = ("gateway/providers/", "embedded/provider_keys", "control_plane/ui/")
    return sorted(path for path in paths if not path.relative_to(ROOT).as_posix().startswith(home))


def named(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Identifiers and words in strings that name a provider. Prose, a string with a blank in it, names freely."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            if _NAME.search(text) and not re.search(r"\s", text.strip()) and not _HEADER.fullmatch(text):
                yield node.lineno, text
            continue
        for field in ("id", "attr", "arg", "name", "module"):
            word = getattr(node, field, None)
            if isinstance(word, str) and _NAME.search(word) and not word.startswith("gateway.providers."):
                yield getattr(node, "lineno", 0), word


def test_no_provider_is_named_away_from_home() -> None:
    found = []
    for path in modules():
        place = path.relative_to(ROOT).as_posix()
        for line, word in named(ast.parse(path.read_text())):
            if word not in DIALECTS_NAMED.get(place, ()):
                found.append(f"{place}:{line}: {word}")
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "x = 'mistral-ai'",
        "if p == 'openai': ...",
        "groq_url = 1",
        "def call_anthropic(): ...",
        "b'https://x.openai.com'",
    ],
)
def test_the_check_itself_sees_a_name(source: str) -> None:
    assert list(named(ast.parse(source)))


@pytest.mark.parametrize(
    "source", ["x = 'together with others'", "ps = 'altogether'", "h = 'openai-beta'", "y = 'a vertex'"]
)
def test_the_check_itself_lets_words_be(source: str) -> None:
    assert not list(named(ast.parse(source)))
