"""CPU time and memory of a process and everything below it, from /proc (proc(5): pid/stat)."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process tree has used so far (`cpu_s`: user and kernel) and holds now (`rss_bytes`: shared pages count
    once in every process)."""

    cpu_s: float
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class Stat:
    """One line of /proc/PID/stat. `cpu_ticks` holds the process' own time and that of children it has waited for."""

    pid: int
    parent: int
    cpu_ticks: int
    rss_pages: int


def usage(root: int) -> Usage:
    """Of `root` and its descendants. Raises ProcessLookupError if there is no such process."""
    members = tree(root, all_stats())
    if not members:
        raise ProcessLookupError(f"no process {root}")
    return Usage(
        cpu_s=sum(member.cpu_ticks for member in members) / TICKS_PER_S,
        rss_bytes=sum(member.rss_pages for member in members) * PAGE_BYTES,
    )


@dataclass(frozen=True, slots=True)
class Memory:
    """What one process holds: shared pages whole in `rss_bytes`, in parts in `pss_bytes`, not in `private_bytes`."""

    rss_bytes: int
    pss_bytes: int
    private_bytes: int


def memory(pid: int) -> Memory:
    """Raises ProcessLookupError or FileNotFoundError if there is no such process."""
    rows = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    kb = {row[0].rstrip(":"): int(row[1]) for row in rows}
    return Memory(kb["Rss"] * 1024, kb["Pss"] * 1024, (kb["Private_Clean"] + kb["Private_Dirty"]) * 1024)


def maps(pid: int, folder: str) -> bool:
    """Whether the process has a file of `folder` in its memory."""
    return f"{folder}/" in Path(f"/proc/{pid}/maps").read_text()


def members(root: int) -> list[int]:
    """Ids of `root` and its descendants."""
    return [member.pid for member in tree(root, all_stats())]


def busy_s(cores: Iterable[int]) -> float:
    """CPU time that these cores together have spent on anything, since the machine's start."""
    wanted = {f"cpu{core}" for core in cores}
    total = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name in wanted:
            user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen = (
                int(field) for field in fields[:8]
            )
            total += user + nice + system + interrupts + soft_interrupts + stolen
    return total / TICKS_PER_S


def tree(root: int, stats: Iterable[Stat]) -> list[Stat]:
    """`root`, its children, theirs, and so on; empty if `root` is not among `stats`."""
    by_parent: dict[int, list[Stat]] = {}
    members = []
    for stat in stats:
        by_parent.setdefault(stat.parent, []).append(stat)
        if stat.pid == root:
            members.append(stat)
    for member in members:  # Grows while it is walked, until no member has children left.
        members.extend(by_parent.get(member.pid, ()))
    return members


def parse(line: str) -> Stat:
    """The second field is the program's name in parentheses and may hold anything, so fields count from its end."""
    fields = line[line.rindex(")") + 2 :].split()
    return Stat(
        pid=int(line[: line.index(" ")]),
        parent=int(fields[1]),
        cpu_ticks=sum(int(field) for field in fields[11:15]),
        rss_pages=int(fields[21]),
    )


def all_stats() -> Iterator[Stat]:
    """Every process of the machine, as far as it is visible."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            yield parse((folder / "stat").read_text())
        except (FileNotFoundError, ProcessLookupError):  # It ended between the two looks.
            continue
