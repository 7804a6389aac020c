"""The last good statement and the latest time seen, on disk, for a restart; what was edited is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from license.entitlement import BadTerms
from license.signature import BadSignature, derived_key, public_of, seal, unseal

T = TypeVar("T")

_CLOCK = "offhook-clock+jwt"


@dataclass(frozen=True, slots=True)
class Remembered(Generic[T]):
    """What a restart begins with."""

    said: T | None
    """What the statement says."""
    text: str
    """The statement as it was signed."""
    latest: float
    """The latest time that was ever kept, in seconds since 1970."""
    refused: str = ""
    """Why a file that was there is not believed."""


class Cache(Generic[T]):
    """Two files for their owner alone: a signed statement, and the clock, signed with the licence key."""

    def __init__(self, folder: Path, name: str, licence_key: str, read: Callable[[str], T]) -> None:
        """`name`: of the statement. `read`: what it says; raises `BadSignature` or `BadTerms`."""
        self._statement = folder / f"{name}.jwt"
        self._clock = folder / "clock.jwt"
        self._key = derived_key(licence_key, "offhook licence clock")
        self._read = read

    def load(self) -> Remembered[T]:
        """What is there; nothing that was altered. Blocks for the disk."""
        refused, said, latest = "", None, 0.0
        text = _read(self._statement)
        if text:
            try:
                said = self._read(text)
            except (BadSignature, BadTerms) as error:
                refused, text = f"{self._statement.name}: {error}", ""
        if clock := _read(self._clock):
            try:
                latest = float(unseal(_CLOCK, clock, public_of(self._key)).get("latest", 0.0))
            except (BadSignature, TypeError, ValueError) as error:
                refused = refused or f"{self._clock.name}: {error}"
        return Remembered(said, text, latest, refused)

    def keep(self, text: str) -> None:
        """Blocks for the disk. Raises `OSError`."""
        write_private(self._statement, text)

    def keep_clock(self, latest: float) -> None:
        """Blocks for the disk. Raises `OSError`."""
        write_private(self._clock, seal(_CLOCK, {"latest": latest}, self._key))


def write_private(path: Path, text: str) -> None:
    """Replace a file as a whole, durably, for its owner alone. Blocks for the disk. Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    staged = path.with_name(path.name + ".part")
    with os.fdopen(
        os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
    ) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(staged, path)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
