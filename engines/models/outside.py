"""What the store needs of the machine, as arguments: tests give it other clocks and fuller disks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engines.models.machine import free_memory


def free_space(folder: Path) -> int:
    """Octets that this user may still write to the folder's disk. Raises OSError."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


@dataclass(frozen=True, slots=True)
class Outside:
    """Time, disk and memory."""

    clock: Callable[[], float] = time.monotonic
    """Monotonic seconds."""
    wall: Callable[[], float] = time.time
    """Unix seconds: signatures, and when a model was last used."""
    sleep: Callable[[float], None] = time.sleep
    free: Callable[[Path], int] = free_space
    ram: Callable[[], int] = free_memory
    """Octets of memory that are free."""
