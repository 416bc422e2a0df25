"""The documents point at what exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
_LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)")
_CODE_PATH = re.compile(r"`((?:shared|gateway|control_plane|embedded|tests|scripts|bench|chaos|docs)/[\w./-]*)`")


def targets(document: Path) -> list[Path]:
    """Links go from the document, paths in code from the root."""
    text = document.read_text()
    return [document.parent / link for link in _LINK.findall(text)] + [ROOT / path for path in _CODE_PATH.findall(text)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_and_path_in_a_document_exists(document: Path) -> None:
    assert [target for target in targets(document) if not target.exists()] == []


def test_the_documents_do_point_somewhere() -> None:
    assert {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"} <= {path.name for path in DOCUMENTS}
    assert len(targets(ROOT / "ARCHITECTURE.md")) > 5


def test_every_variable_of_a_command_in_the_documents_is_one_that_the_readme_sets() -> None:
    set_there = set(re.findall(r"\b([A-Z]+)=\$\(", (ROOT / "README.md").read_text()))
    used = {
        (document.name, name)
        for document in DOCUMENTS
        for line in document.read_text().splitlines()
        if line.startswith("    ")
        for name in re.findall(r"\$([A-Z_]{2,})", line)
    }
    assert {name for _, name in used} >= {"GATEWAY", "KEY", "API", "ADMIN", "WORKSPACE"}
    assert sorted(pair for pair in used if pair[1] not in set_there) == []
