"""The protocol's document, its code and its tests hold together: clauses cited exist, clauses that bind are tested."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "sync_protocol.md"
CLAUSE = re.compile(r"^(\d+\.\d+) ", re.MULTILINE)
SECTION = re.compile(r"^## (\d+) ", re.MULTILINE)
CITATION = re.compile(r"GHS/1 (\d+(?:\.\d+)?(?:(?:, | and | to )\d+(?:\.\d+)?)*)")


def clauses() -> dict[str, str]:
    """Text by number."""
    text = DOCUMENT.read_text()
    starts = [*CLAUSE.finditer(text)]
    ends = [*(match.start() for match in starts[1:]), len(text)]
    return {match[1]: text[match.start() : end] for match, end in zip(starts, ends, strict=True)}


def cited(text: str) -> Iterator[str]:
    """`GHS/1 6.4 to 6.6, 7` cites 6.4, 6.5, 6.6 and section 7."""
    for match in CITATION.finditer(text):
        parts = re.split(r"(, | and | to )", match[1])
        for index in range(0, len(parts), 2):
            yield parts[index]
            if index + 2 < len(parts) and parts[index + 1] == " to ":
                section, first = parts[index].split(".")
                for number in range(int(first) + 1, int(parts[index + 2].split(".")[1])):
                    yield f"{section}.{number}"


def cited_in(*folders: str) -> dict[str, set[str]]:
    """Files by what they cite."""
    found: dict[str, set[str]] = {}
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            if path != Path(__file__):
                for number in cited(path.read_text()):
                    found.setdefault(number, set()).add(str(path.relative_to(ROOT)))
    return found


def test_citations_are_read_as_they_are_written() -> None:
    assert list(cited("as GHS/1 6.4 to 6.6, 7.1 and 8 say; GHS/1 shard is none")) == ["6.4", "6.5", "6.6", "7.1", "8"]


def test_clauses_are_numbered_without_gaps() -> None:
    numbers = [tuple(map(int, number.split("."))) for number in clauses()]
    assert len(numbers) > 50
    for before, after in itertools.pairwise(numbers):
        assert after == (before[0], before[1] + 1) or (after[0] > before[0] and after[1] == 1)


def test_every_clause_cited_exists() -> None:
    known = clauses().keys() | set(SECTION.findall(DOCUMENT.read_text()))
    unknown = {
        n: files for n, files in cited_in("shared", "gateway", "control_plane", "tests").items() if n not in known
    }
    assert unknown == {}


def test_every_clause_that_binds_is_cited_by_a_test() -> None:
    tested = cited_in("tests").keys()
    binding = [number for number, text in clauses().items() if re.search(r"\bMUST\b", text)]
    assert len(binding) > 25
    assert [number for number in binding if number not in tested] == []


def test_clauses_that_the_document_cites_exist() -> None:
    """Inside the document a clause is named as `(6.8)` or in the table of refusals."""
    text = DOCUMENT.read_text()
    inside = set(re.findall(r"\((\d+\.\d+)\)", text)) | set(re.findall(r"\| (?:\d+\.\d+, )?(\d+\.\d+) \|", text))
    assert len(inside) > 8
    assert inside <= clauses().keys()
