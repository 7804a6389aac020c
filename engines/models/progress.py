"""How far a model is on its way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from engines.models.base import Report

MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Progress:
    """One look at a model on its way."""

    stage: str
    """`waiting` for another process, `downloading`, `checking`, `unpacking`; then `loading`, `warming`."""
    done: int = 0
    """Octets so far."""
    total: int = 0
    """Octets in all; 0: nobody knows."""

    def __str__(self) -> str:
        if self.total:
            return f"{self.stage} {min(100, 100 * self.done // self.total)} %"
        return f"{self.stage} {self.done // MB} MB" if self.done else self.stage


Watch: TypeAlias = Callable[[Progress], None]
"""Is told whenever something moved. May raise, and so end the work."""


def nobody(progress: Progress) -> None:
    """Watches nothing."""


def in_words(report: Report) -> Watch:
    """A watch that tells in words; all that goes before loading reads as downloading."""

    def watch(progress: Progress) -> None:
        if progress.stage in ("checking", "unpacking"):
            report(f"downloading ({progress})")
        elif progress.stage == "waiting":
            report(str(Progress("downloading", progress.done, progress.total)))
        else:
            report(str(progress))

    return watch
