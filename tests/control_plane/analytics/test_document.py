"""docs/analytics.md says of fields, measures and dimensions what the code knows: its tables are made of it.

To write them anew: `python -m tests.control_plane.analytics.test_document`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

from control_plane.analytics.dimensions import DIMENSIONS
from control_plane.analytics.measures import MEASURES
from control_plane.filters import columns
from control_plane.filters.fields import META, METADATA
from control_plane.filters.records import FIELDS

DOCUMENT = Path(__file__).parents[3] / "docs/analytics.md"


def fields() -> str:
    rows = [
        (f"`{f.name}`", f.type, ", ".join(f"`{alias}`" for alias in f.aliases), _where(f.name), f.description)
        for f in FIELDS
    ]
    rows.append((f"`{METADATA}.<key>`", META.type, "", "records", META.description))
    return _table(("field", "type", "also written", "answered from", "what it is"), rows)


def measures() -> str:
    return _table(
        ("measure", "unit", "what it is"), [(f"`{m.name}`", m.unit, m.description) for m in MEASURES.values()]
    )


def dimensions() -> str:
    rows = [(f"`{d.name}`", "sums" if d.sums else "records", d.description) for d in DIMENSIONS.values()]
    rows.append((f"`{METADATA}.<key>`", "records", "Value of a metadata key; in quotes if it holds commas"))
    return _table(("dimension", "answered from", "what it is"), rows)


TABLES: Mapping[str, Callable[[], str]] = {"fields": fields, "measures": measures, "dimensions": dimensions}


def _where(name: str) -> str:
    return "sums" if name in columns.SUMS else "records"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows))


def _part(name: str) -> re.Pattern[str]:
    return re.compile(rf"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", re.DOTALL)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_the_document_is_what_the_code_knows(name: str) -> None:
    found = _part(name).search(DOCUMENT.read_text())
    assert found is not None
    assert found[1] == TABLES[name]()


if __name__ == "__main__":
    text = DOCUMENT.read_text()
    for name_, made in TABLES.items():
        text = _part(name_).sub(lambda _, n=name_, m=made: f"<!-- {n} -->\n{m()}\n<!-- /{n} -->", text)
    DOCUMENT.write_text(text)
