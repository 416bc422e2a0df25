"""Processes and their connections as the kernel's tables show them."""

from pathlib import Path


def children(pid: int) -> list[int]:
    """The living children of a process."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def callers_of(pid: int, port: int) -> set[int]:
    """The client's ports of the connections to 127.0.0.1:`port` that this process has accepted."""
    here = f"0100007F:{port:04X}"
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    callers = {f"socket:[{row[9]}]": int(row[2].partition(":")[2], 16) for row in rows if row[1] == here}
    return {callers[name] for name in open_files(pid) if name in callers}


def open_files(pid: int) -> set[str]:
    """What a process has open, as the links of its table say."""
    names = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            names.add(str(link.readlink()))
        except FileNotFoundError:
            continue  # Closed while we were looking.
    return names
