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
