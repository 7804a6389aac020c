"""The cache folder, shared by all workers of a machine: models that are whole, parts of others, locks.

models/<key>/about.json, content/    published by one rename
partial/<key>.part, <key>.json       what came so far
partial/<key>.new/                   being made ready
locks/<key>                          see `Claim`
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from engines.models.claim import Claim
from engines.models.digest import is_digest


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a published model."""

    source: str
    """Where it came from, without anything secret."""
    sha256: str
    """Of the file as it came."""
    size: int
    """Octets on this disk."""
    files: Mapping[str, str]
    """SHA-256 of each file by its path within the content."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A published model."""

    key: str
    folder: Path
    about: About
    used: float
    """Unix time of its last use."""

    @property
    def content(self) -> Path:
        """Folder with its files."""
        return self.folder / "content"

    @property
    def model(self) -> Path:
        """What engines are given: the only file, or the folder in which there are several."""
        here = self.content
        while True:
            inside = list(here.iterdir())
            if len(inside) != 1:
                return here
            if inside[0].is_file():
                return inside[0] if here == self.content else here
            here = inside[0]


class Shelf:
    """Keeps models by key. Nothing here waits."""

    def __init__(self, folder: Path, wall: Callable[[], float]) -> None:
        self.folder = folder
        self._wall = wall

    def open(self) -> None:
        """Make the folders. Raises OSError."""
        for part in ("models", "partial", "locks"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)

    def claim(self, key: str) -> Claim:
        """The lock of a key. Raises OSError."""
        return Claim(self.folder / "locks" / key)

    def part(self, key: str) -> Path:
        """Where a download goes."""
        return self.folder / "partial" / f"{key}.part"

    def parts(self) -> Iterator[tuple[str, int]]:
        """Keys and octets of what is not whole."""
        for path in sorted((self.folder / "partial").glob("*.part")):
            if is_digest(path.stem):
                yield path.stem, path.stat().st_size

    def staging(self, key: str) -> Path:
        """An empty folder for what is being made ready; whatever a killed process left there goes."""
        path = self.folder / "partial" / f"{key}.new"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return path

    def publish(self, key: str, staged: Path, about: About) -> Entry:
        """Make it seen, whole, at once. Whoever calls holds the key's claim alone."""
        (staged / "about.json").write_text(json.dumps(asdict(about), indent=2) + "\n", encoding="utf-8")
        _sync(staged)
        place = self.folder / "models" / key
        shutil.rmtree(place, ignore_errors=True)  # one that `entry` does not take for whole
        os.rename(staged, place)
        _sync_folder(place.parent)
        found = self.entry(key)
        assert found is not None
        return found

    def entry(self, key: str) -> Entry | None:
        """The published model, if it is there."""
        place = self.folder / "models" / key
        try:
            told = json.loads((place / "about.json").read_text(encoding="utf-8"))
            about = About(str(told["source"]), str(told["sha256"]), int(told["size"]), dict(told["files"]))
            used = (place / "about.json").stat().st_mtime
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return Entry(key, place, about, used)

    def entries(self) -> list[Entry]:
        """All that is published, the longest unused first."""
        try:
            keys = sorted(path.name for path in (self.folder / "models").iterdir())
        except FileNotFoundError:
            return []
        found = [entry for key in keys if (entry := self.entry(key)) is not None]
        return sorted(found, key=lambda entry: entry.used)

    def touch(self, entry: Entry) -> None:
        """It is used now. Another user's folder may not let us say so."""
        now = self._wall()
        with suppress(OSError):
            os.utime(entry.folder / "about.json", (now, now))

    def remove(self, key: str) -> bool:
        """Remove what lies under the key, whole or not; False when somebody uses it. Raises OSError."""
        claim = self.claim(key)
        try:
            if not claim.take(shared=False):
                return False
            place = self.folder / "models" / key
            if place.exists():
                going = self.folder / "partial" / f"{key}.gone"
                shutil.rmtree(going, ignore_errors=True)
                os.rename(place, going)  # gone at once for all who look, whatever becomes of the removal
                shutil.rmtree(going)
            for suffix in (".part", ".json"):
                (self.folder / "partial" / f"{key}{suffix}").unlink(missing_ok=True)
            shutil.rmtree(self.folder / "partial" / f"{key}.new", ignore_errors=True)
            return True
        finally:
            claim.close()

    def used_now(self, key: str) -> bool:
        """Whether a process holds it."""
        claim = self.claim(key)
        try:
            return not claim.take(shared=False)
        finally:
            claim.close()


def _sync(folder: Path) -> None:
    """Bring all files of the folder to the disk, so that a rename never shows half of them."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
