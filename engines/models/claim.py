"""Locks between processes: who changes a model's place in the cache, and who uses what is there."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Claim:
    """One lock file. The kernel gives it back when its holder dies, however that happens."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._file: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def take(self, *, shared: bool) -> bool:
        """Hold it, alone or among others; False when somebody is in the way.

        What was held before is given back first.
        """
        if self._file is None:
            return False
        try:
            fcntl.flock(self._file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Give it back, and keep the file."""
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give it back. Idempotent."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)
