"""Can this machine carry a model? Memory and GPUs, asked before minutes go into loading."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from engines.models.base import ModelError

_GB = 1_000_000_000
_SMI = ("nvidia-smi", "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits")
_SMI_SECONDS = 10.0
_NO_LIMIT = 1 << 60


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU and its memory, in octets."""

    name: str
    total: int
    free: int


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


def gpus() -> tuple[Gpu, ...]:
    """The NVIDIA GPUs that this process may use, as `nvidia-smi` tells them; none where it is not there."""
    try:
        done = subprocess.run(_SMI, capture_output=True, text=True, timeout=_SMI_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    found = []
    for line in done.stdout.splitlines():
        name, *sizes = (part.strip() for part in line.rsplit(",", 2))
        if len(sizes) == 2 and all(size.isdigit() for size in sizes):
            found.append(Gpu(name, int(sizes[0]) << 20, int(sizes[1]) << 20))
    return tuple(found)


def need_memory(shown: str, size: int, free: int) -> None:
    """Raises `ModelError` where a model of `size` octets cannot be loaded into `free` ones."""
    if size > free:
        raise ModelError(
            f"{shown}: a model of {size / _GB:.1f} GB cannot be loaded: {max(0, free) / _GB:.1f} GB of "
            "memory are free. Stop what else runs here, give the container more, or take a smaller model"
        )


def need_gpu(shown: str, size: int, found: tuple[Gpu, ...]) -> None:
    """Raises `ModelError` where no GPU is there, or none has `size` octets free."""
    if not found:
        raise ModelError(
            f"{shown}: no NVIDIA GPU is to be seen (nvidia-smi finds none). Install the driver; in a "
            "container, start it with --gpus all; or set device: cpu, which is far slower"
        )
    best = max(found, key=lambda gpu: gpu.free)
    if best.free < size:
        raise ModelError(
            f"{shown}: needs {size / _GB:.1f} GB on a GPU; {best.name} has {best.free / _GB:.1f} of "
            f"{best.total / _GB:.1f} GB free. Stop what else uses it (see nvidia-smi), or take a smaller one"
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
