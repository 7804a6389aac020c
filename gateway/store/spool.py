"""Usage events on disk until Redis surely has them: files of lines. Runs in threads."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from pydantic_core import from_json

_MOST_FOLDERS = 32
_MOST_EVENTS = 1000
"""Of one file; then the next one is begun."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that was used."""

    event_id: str
    """Unique for ever; it counts once, however often it is handed on."""
    body: bytes
    """JSON. Its schema is the reporter's."""


@dataclass(slots=True)
class Volume:
    """One file and what of it Redis has taken."""

    path: Path
    open_ids: set[str] = field(default_factory=set)
    """Not taken yet."""
    events: int = 0
    size: int = 0
    taken_at: float = 0.0
    """When the last of them was taken."""


class SpoolFull(Exception):
    """The disk may hold no more."""


class Spool:
    """A folder of volumes. Two processes never share one: the second takes a folder beside it."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        """Makes the folder, for its owner alone, and finds what an earlier run left. Raises `OSError`."""
        self._folder, self._lock = _claimed(folder)
        self._most = most_bytes
        folder = self._folder
        self.volumes: list[Volume] = []
        for path in sorted(folder.glob("usage-*.jsonl")):
            events = self.read(path)
            self.volumes.append(Volume(path, {e.event_id for e in events}, len(events), path.stat().st_size))
        last = self.volumes[-1].path.stem.removeprefix("usage-") if self.volumes else "0"
        self._next = int(last) + 1 if last.isdigit() else 1
        self._current: Volume | None = None

    def close(self) -> None:
        """Let another process have the folder."""
        self._lock.close()

    @property
    def size(self) -> int:
        """Octets on disk."""
        return sum(volume.size for volume in self.volumes)

    def write(self, events: Iterable[Event]) -> None:
        """Have them on disk, surely. Raises `SpoolFull` or `OSError`; then none of them counts as written."""
        events = list(events)
        lines = b"".join(_line(event) for event in events)
        if self.size + len(lines) > self._most:
            raise SpoolFull
        volume = self._current
        if volume is None or volume.events >= _MOST_EVENTS:
            volume = self._current = Volume(self._folder / f"usage-{self._next:010d}.jsonl")
            self._next += 1
            self.volumes.append(volume)
        with open(volume.path, "ab") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        volume.events += len(events)
        volume.size += len(lines)
        volume.open_ids.update(event.event_id for event in events)

    def taken(self, ids: Iterable[str], at: float) -> None:
        """Redis has them."""
        gone = set(ids)
        for volume in self.volumes:
            if volume.open_ids & gone:
                volume.open_ids -= gone
                volume.taken_at = at

    def prune(self, before: float) -> None:
        """Forget the files of which everything was taken before that moment."""
        for volume in [v for v in self.volumes if not v.open_ids and v.taken_at < before]:
            volume.path.unlink(missing_ok=True)
            self.volumes.remove(volume)
            if volume is self._current:
                self._current = None

    @staticmethod
    def read(path: Path) -> list[Event]:
        """A file's events; a line that a crash cut short is left out. Raises `OSError`."""
        events = []
        for line in path.read_bytes().splitlines():
            try:
                told = from_json(line)
                events.append(Event(str(told["id"]), json.dumps(told["event"]).encode()))
            except (ValueError, TypeError, KeyError):
                continue
        return events


def _claimed(folder: Path) -> tuple[Path, IO[bytes]]:
    """The folder, or the first one beside it that no living process uses; its lock is held while open."""
    for number in range(1, _MOST_FOLDERS + 1):
        path = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = open(path / "lock", "wb")  # noqa: SIM115  # held open until the end
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return path, lock
        except BlockingIOError:
            lock.close()
    raise OSError(errno.EBUSY, f"{_MOST_FOLDERS} nodes of this machine use {folder}")


def _line(event: Event) -> bytes:
    return json.dumps({"id": event.event_id, "event": json.loads(event.body)}).encode() + b"\n"
