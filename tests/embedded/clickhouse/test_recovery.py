"""Deduplication records of parts that never came to their place are taken back, and no others."""

from pathlib import Path

import pytest

from embedded.clickhouse.recovery import take_back_lost_parts

TABLE = Path("store/0a1/0a1b-uuid")


def table(data: Path, parts: list[str], *logs: str, under: Path = TABLE) -> Path:
    """The folder of the logs."""
    for part in parts:
        (data / under / part).mkdir(parents=True)
    folder = data / under / "deduplication_logs"
    folder.mkdir(parents=True)
    for number, text in enumerate(logs, start=9):
        (folder / f"deduplication_log_{number}.txt").write_text(text)
    return folder


def added(*parts: str) -> str:
    return "".join(f"1\t{part}\tblock-of-{part}\n" for part in parts)


def test_a_part_that_is_not_there_is_taken_back(tmp_path: Path) -> None:
    folder = table(tmp_path, ["all_1_1_0", "tmp_insert_all_2_2_0", "detached"], added("all_1_1_0", "all_2_2_0"))
    assert take_back_lost_parts(tmp_path) == ["all_2_2_0"]
    log = folder / "deduplication_log_9.txt"
    assert log.read_text() == added("all_1_1_0", "all_2_2_0") + "2\tall_2_2_0\tblock-of-all_2_2_0\n"
    assert take_back_lost_parts(tmp_path) == []


@pytest.mark.parametrize("holder", ["20261029_3_3_0", "20261029_3_3_1", "20261029_1_8_2", "20261029_1_8_2_17"])
def test_a_part_that_was_merged_or_mutated_is_there(tmp_path: Path, holder: str) -> None:
    table(tmp_path, [holder], added("20261029_3_3_0"))
    assert take_back_lost_parts(tmp_path) == []


@pytest.mark.parametrize("stranger", ["20261030_1_8_2", "20261029_4_8_1", "20261029_1_2_1", "tmp_merge_20261029_1_8_2"])
def test_other_parts_do_not_hold_it(tmp_path: Path, stranger: str) -> None:
    table(tmp_path, [stranger], added("20261029_3_3_0"))
    assert take_back_lost_parts(tmp_path) == ["20261029_3_3_0"]


def test_the_newest_logs_are_read_in_their_order(tmp_path: Path) -> None:
    """10 comes after 9, and what the engine took back itself is done."""
    folder = table(tmp_path, [], added("all_1_1_0"), "2\tall_1_1_0\tblock-of-all_1_1_0\n" + added("all_2_2_0"))
    assert take_back_lost_parts(tmp_path) == ["all_2_2_0"]
    assert "2\tall_2_2_0\t" in (folder / "deduplication_log_10.txt").read_text()


def test_a_record_that_was_not_written_whole_is_cut_off(tmp_path: Path) -> None:
    folder = table(tmp_path, ["all_1_1_0"], added("all_1_1_0") + "1\tall_2_2")
    assert take_back_lost_parts(tmp_path) == []
    assert (folder / "deduplication_log_9.txt").read_text() == added("all_1_1_0")


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    many = [f"all_{number}_{number}_0" for number in range(1, 20_000)]
    table(tmp_path, ["all_1_20000_5"], added(*many, "all_30000_30000_0"))
    assert take_back_lost_parts(tmp_path) == ["all_30000_30000_0"]


def test_tables_lie_in_either_of_two_places_and_a_new_folder_has_none(tmp_path: Path) -> None:
    assert take_back_lost_parts(tmp_path / "new") == []
    table(tmp_path, [], added("all_1_1_0"), under=Path("data/default/t"))
    table(tmp_path, [], under=Path("store/0a1/empty"))
    assert take_back_lost_parts(tmp_path) == ["all_1_1_0"]
