"""The table of records and the fields of a record hold together: none of either is without its other."""

import re
from pathlib import Path

from control_plane import telemetry
from control_plane.telemetry.columns import COLUMNS, SENDER, column
from shared.models.record import FIELDS

MIGRATIONS = sorted((Path(telemetry.__file__).parent / "migrations").glob("*.sql"))
SCHEMA = MIGRATIONS[0].read_text()
TABLE = re.search(r"create table if not exists record\{on_cluster\} \((.*?)^\)", SCHEMA, re.DOTALL | re.MULTILINE)
ADDED = re.compile(
    r"alter table record\{on_cluster\} add column if not exists\s+([a-z_]+) .*? after ([a-z_]+);", re.DOTALL
)
COLUMN = re.compile(r"^ {4}(?!index )([a-z_]+) +[A-Z]", re.MULTILINE)


def test_every_field_has_its_column_and_every_column_its_field() -> None:
    assert TABLE is not None
    columns = COLUMN.findall(TABLE[1])
    for migration in MIGRATIONS:
        for name, before in ADDED.findall(migration.read_text()):
            columns.insert(columns.index(before) + 1, name)
    assert columns == list(COLUMNS)


def test_fields_keep_their_names_but_for_time_and_money() -> None:
    renamed = {field: column(field) for field in FIELDS if column(field) != field}
    assert renamed.pop("started_at_ms") == "started_at"
    assert set(renamed) == {field for field in FIELDS if field.endswith("_picousd")}
    assert renamed["cost_cache_read_picousd"] == "cost_cache_read_usd"


def test_what_the_control_plane_says_is_no_field_of_a_record() -> None:
    assert not set(SENDER) & {column(field) for field in FIELDS}
