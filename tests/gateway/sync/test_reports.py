"""Workers' reports: the last one of each, whole, and gone with the last start."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sync import reports
from gateway.sync.reports import Applied, Report, Teller
from gateway.view.refusal import Refusal
from shared.protocol import lease as leases
from tests.fixtures.house import House


def report(worker: str, **places: int) -> Report:
    applied = [Applied(shard=shard, epoch=1, revision=revision) for shard, revision in places.items()]
    return Report(worker=worker, lease=1, refusal=None, applied=applied, refused=[])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    reports.clear(tmp_path)
    return tmp_path


def test_the_last_report_of_each_worker_counts(folder: Path) -> None:
    before = reports.signature(folder)
    reports.write(folder, report("w0", a=1))
    first = reports.signature(folder)
    reports.write(folder, report("w1", a=1))
    reports.write(folder, report("w0", a=2))
    assert len({before, first, reports.signature(folder)}) == 3
    assert reports.read(folder) == [report("w0", a=2), report("w1", a=1)]


def test_a_damaged_report_is_passed_over(folder: Path) -> None:
    reports.write(folder, report("w0", a=1))
    (folder / reports.FOLDER / "w1.json").write_text("{")
    (folder / reports.FOLDER / "w2.json").write_text('{"worker": 2}')
    assert reports.read(folder) == [report("w0", a=1)]


def test_what_the_last_start_left_is_forgotten(folder: Path) -> None:
    reports.write(folder, report("w7", a=1))
    reports.clear(folder)
    assert reports.read(folder) == []


def test_a_worker_that_cannot_write_goes_on(tmp_path: Path) -> None:
    reports.write(tmp_path, report("w0", a=1))  # There is no folder for it.
    assert reports.read(tmp_path) == []


def test_what_the_disk_did_not_take_is_told_when_it_does(tmp_path: Path) -> None:
    """Else the node would be shown behind until the next edit."""
    teller = Teller(tmp_path)
    teller.tell(report("w0", a=1))
    teller.tell(report("w0", a=2))
    teller.retry()
    assert teller.waits
    reports.clear(tmp_path)
    teller.retry()
    assert not teller.waits
    assert reports.read(tmp_path) == [report("w0", a=2)]


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)), min_size=1, max_size=4))
def test_applied_is_what_every_worker_serves(places: list[dict[str, int]]) -> None:
    """GHS/1 13.3."""
    told = reports.applied_by_all([report(f"w{n}", **of_worker) for n, of_worker in enumerate(places)])
    for entry in told:
        assert all(of_worker[entry.shard] >= entry.revision for of_worker in places)
        assert any(of_worker[entry.shard] == entry.revision for of_worker in places)
    assert {entry.shard for entry in told} == set.intersection(*(set(of_worker) for of_worker in places))


def test_what_is_served_is_said_by_its_lease(house: House) -> None:
    """GHS/1 13.4."""
    lease = leases.parse(house.publish().lease.payload)
    refusal = Refusal(shard="s", kind="config", id="c", revision=1, code="x", detail="y" * 2_000)
    told = reports.serving("w0", lease, [refusal])
    assert (told.lease, len(told.applied), told.refusal) == (lease.sequence, len(lease.vector), None)
    assert told.refused == [refusal]
