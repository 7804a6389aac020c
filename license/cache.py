"""The last good answer and the latest time seen, on disk. A file that was edited is refused."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from license.entitlement import Answer, BadTerms, read_answer
from license.signature import BadSignature, derived_key, public_of, seal, unseal

_CLOCK = "offhook-clock+jwt"


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a restart begins with."""

    answer: Answer | None
    text: str
    """The answer as the vendor signed it."""
    latest: float
    """The latest time that was ever seen, in seconds since 1970."""
    refused: str = ""
    """Why a file that was there is not believed."""


class Cache:
    """Two files in a folder: the vendor's own signed answer, and the clock signed with the licence key."""

    def __init__(self, folder: Path, licence_key: str, vendor_public: str) -> None:
        self._answer_file = folder / "answer.jwt"
        self._clock_file = folder / "clock.jwt"
        self._key = derived_key(licence_key, "offhook licence clock")
        self._vendor_public = vendor_public

    def load(self) -> Remembered:
        """What is there; nothing that was altered. Blocks for the disk."""
        refused = ""
        answer, text = None, _read(self._answer_file)
        if text:
            try:
                answer = read_answer(text, self._vendor_public)
            except (BadSignature, BadTerms) as error:
                refused, text = f"{self._answer_file.name}: {error}", ""
        latest = answer.checked_at if answer else 0.0
        if clock := _read(self._clock_file):
            try:
                seen = unseal(_CLOCK, clock, public_of(self._key)).get("latest", 0.0)
                latest = max(latest, float(seen))
            except (BadSignature, TypeError, ValueError) as error:
                refused = refused or f"{self._clock_file.name}: {error}"
        return Remembered(answer, text, latest, refused)

    def keep_answer(self, text: str) -> None:
        """Blocks for the disk. Raises `OSError`."""
        _write(self._answer_file, text)

    def keep_clock(self, latest: float) -> None:
        """Blocks for the disk. Raises `OSError`."""
        _write(self._clock_file, seal(_CLOCK, {"latest": latest}, self._key))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    staged = path.with_name(path.name + ".part")
    with staged.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(staged, path)
