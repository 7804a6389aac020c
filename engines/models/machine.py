"""Has this machine the memory for a model? Asked before minutes of loading; GPUs are the engines' to ask."""

from __future__ import annotations

from pathlib import Path

from engines.models.base import ModelError

_GB = 1_000_000_000
_NO_LIMIT = 1 << 60


def free_memory(proc: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup")) -> int:
    """Octets that a new process could use: the machine's, and no more than the container's rest.

    Sources: proc_meminfo(5) `MemAvailable`; the kernel's cgroup-v2 page, `memory.max` and `memory.current`.
    Very much where nobody can tell.
    """
    free = _NO_LIMIT
    for line in _text(proc).splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    most, used = _text(group / "memory.max").strip(), _text(group / "memory.current").strip()
    if most.isdigit() and used.isdigit():
        free = min(free, max(0, int(most) - int(used) + _reclaimable(group)))
    return free


def need_memory(shown: str, size: int, free: int) -> None:
    """Raises `ModelError` where a model of `size` octets cannot be loaded into `free` ones."""
    if size > free:
        raise ModelError(
            f"{shown}: a model of {size / _GB:.1f} GB cannot be loaded: {max(0, free) / _GB:.1f} GB of "
            "memory are free. Stop what else runs here, give the container more, or take a smaller model"
        )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _reclaimable(group: Path) -> int:
    """Pages of files, which the kernel gives up when memory is needed."""
    for line in _text(group / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == "inactive_file" and value.isdigit():
            return int(value)
    return 0
