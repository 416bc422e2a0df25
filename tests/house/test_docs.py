"""The documents point at what exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(ROOT.glob("*.md"))
_LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)")
_CODE_PATH = re.compile(r"`((?:shared|gateway|control_plane|embedded|tests|scripts|bench)/[\w./-]*)`")


def targets(text: str) -> list[str]:
    return _LINK.findall(text) + _CODE_PATH.findall(text)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_and_path_in_a_document_exists(document: Path) -> None:
    gone = [target for target in targets(document.read_text()) if not (ROOT / target).exists()]
    assert gone == []


def test_the_documents_do_point_somewhere() -> None:
    assert {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"} <= {path.name for path in DOCUMENTS}
    assert len(targets((ROOT / "ARCHITECTURE.md").read_text())) > 5
