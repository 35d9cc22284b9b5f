"""What a peer's processes use, from /proc."""

import os
import pathlib

TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid):
    """The process and all below it: nginx and Python routers do their work in children."""
    pids = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            pids += tree(int(child))
    return pids


def cpu_seconds(pids):
    """User and system time. It is counted in ticks of 10 ms: measure for a second or so at least."""
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def memory_kib(pids):
    """Private and resident memory. What processes share is counted once in neither and in each of them in the other."""
    private = resident = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Private_Clean:", "Private_Dirty:")):
                private += int(line.split()[1])
            if line.startswith("Rss:"):
                resident += int(line.split()[1])
    return private, resident
