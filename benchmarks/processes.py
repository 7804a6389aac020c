"""What a process costs: CPU time, memory, threads and descriptors, from /proc."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """A process at one moment."""

    at: float
    """Monotonic seconds."""
    cpu: float
    """Seconds of CPU of all its threads so far, user and system."""
    rss_mib: float
    threads: int
    descriptors: int


def usage(pid: int) -> Usage:
    """Look at a process now. Raises ProcessLookupError when it is gone."""
    folder = Path(f"/proc/{pid}")
    try:
        # The name in brackets may hold blanks; what follows the last bracket does not.
        fields = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        descriptors = len(os.listdir(folder / "fd"))
    except FileNotFoundError:
        raise ProcessLookupError(f"process {pid} is gone") from None
    cpu = (int(fields[11]) + int(fields[12])) / _TICKS
    rss = int(fields[21]) * _PAGE / 2**20
    return Usage(time.monotonic(), cpu, rss, int(fields[17]), descriptors)


def core_share(before: Usage, after: Usage) -> float:
    """Per cent of one core that a process used between two looks."""
    return 100.0 * (after.cpu - before.cpu) / (after.at - before.at)


def thread_shares(pid: int, seconds: float) -> dict[str, float]:
    """Per cent of a core per thread name over a span that begins now: where the cost lies."""
    before = _thread_times(pid)
    time.sleep(seconds)
    shares: dict[str, float] = {}
    for task, (name, cpu) in _thread_times(pid).items():
        spent = cpu - before.get(task, (name, 0.0))[1]
        shares[name] = shares.get(name, 0.0) + 100.0 * spent / seconds
    return shares


def _thread_times(pid: int) -> dict[str, tuple[str, float]]:
    times: dict[str, tuple[str, float]] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        name, _, rest = (task / "stat").read_text(encoding="utf-8").partition("(")[2].rpartition(")")
        fields = rest.split()
        times[task.name] = (name, (int(fields[11]) + int(fields[12])) / _TICKS)
    return times
