"""Where an INSERT ends and its data begin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded.clickhouse.refusal import Refusal
from embedded.clickhouse.statement import first_word, insert_with_data


def split(text: bytes) -> tuple[bytes, bytes] | None:
    """The statement, reading a file, and the data."""
    insert = insert_with_data(text)
    return None if insert is None else (insert.reading("F"), text[insert.data_at :])


@pytest.mark.parametrize(
    ("text", "statement", "data"),
    [
        (b"INSERT INTO t FORMAT Native\n\x0a\n", b"INSERT INTO t  FROM INFILE 'F' FORMAT Native", b"\x0a\n"),
        (b"insert into t (a,b) format CSV\r\n1,2", b"insert into t (a,b)  FROM INFILE 'F' format CSV", b"1,2"),
        (b"INSERT INTO t FORMAT JSONEachRow {}", b"INSERT INTO t  FROM INFILE 'F' FORMAT JSONEachRow", b"{}"),
        (
            b"INSERT INTO t SETTINGS a = 'FORMAT x', b = 2 FORMAT TSV\nFORMAT",
            b"INSERT INTO t  FROM INFILE 'F' SETTINGS a = 'FORMAT x', b = 2 FORMAT TSV",
            b"FORMAT",
        ),
        (
            b"/* FORMAT */ -- SELECT\n INSERT INTO TABLE format.settings (`values`, format) FORMAT X\n",
            b"/* FORMAT */ -- SELECT\n INSERT INTO TABLE format.settings (`values`, format)  FROM INFILE 'F' FORMAT X",
            b"",
        ),
        (
            b"INSERT INTO `a`` FORMAT b` FORMAT X\n\n",
            b"INSERT INTO `a`` FORMAT b`  FROM INFILE 'F' FORMAT X",
            b"\n",
        ),
    ],
)
def test_data_are_told_from_their_statement(text: bytes, statement: bytes, data: bytes) -> None:
    assert split(text) == (statement, data)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"SELECT 'INSERT INTO t FORMAT Native\n'",
        b"INSERT INTO t VALUES (1) FORMAT Native\n",
        b"INSERT INTO t SELECT 1 FORMAT Native\n",
        b"INSERT INTO t WITH 1 AS a SELECT a FORMAT Native\n",
        b"INSERT INTO t (SELECT 1 FORMAT x",
        b"INSERT INTO t FORMAT",
        b"INSERT INTO t 'FORMAT x",
        b"INSERT INTO format",
    ],
)
def test_what_has_no_data_in_a_format_is_left_whole(text: bytes) -> None:
    assert insert_with_data(text) is None


def test_a_file_of_this_machine_is_not_read() -> None:
    with pytest.raises(Refusal, match="INFILE"):
        insert_with_data(b"INSERT INTO t FROM /* x */ INFILE '/etc/passwd' FORMAT CSV")


@given(st.binary())
def test_data_are_never_looked_into(data: bytes) -> None:
    assert split(b"INSERT INTO t (a) FORMAT Native\n" + data) == (
        b"INSERT INTO t (a)  FROM INFILE 'F' FORMAT Native",
        data,
    )


@given(st.binary(), st.sampled_from([b"INSERT INTO ", b"", b"INSERT INTO t ", b"/*", b"'"]))
def test_any_bytes_are_read_to_their_end(rest: bytes, begin: bytes) -> None:
    try:
        insert = insert_with_data(begin + rest)
    except Refusal:
        return
    if insert is not None:
        assert first_word(begin + rest) == b"INSERT"
        assert 0 < insert.data_at <= len(begin + rest)
