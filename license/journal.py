"""Usage on disk until it is delivered: survives being killed at any moment, and counts every event once.

The proxy keeps one until the vendor has it, each node one until the proxy, or Redis, has it. Events are
appended to `usage-N.jsonl` and made durable before they are acknowledged. `sent.json` says how far they were
delivered, replaced as a whole. A batch is named by what it holds: sent again, it has the same name.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from license.usage import BadEvent, UsageEvent

MOST_EVENTS = 1000
"""Events of a batch."""
_SEGMENT_OCTETS = 1_000_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that go to the vendor together."""

    batch_id: str
    events: tuple[UsageEvent, ...]
    ends: tuple[int, int]
    """Segment and offset up to which they reach."""


class Journal:
    """One folder, for one owner at a time; every method blocks for the disk. Not for two threads at once."""

    def __init__(self, folder: Path, *, most_octets: int = 64_000_000) -> None:
        """Opens or makes it; half a last line, left by a kill, is cut off.

        Raises `OSError`; `BlockingIOError` while another has it.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = _locked(folder)
        self._folder = folder
        self._most = most_octets
        self.dropped = 0
        """Events that did not fit."""
        self._sent = self._read_sent()
        self._number = max([number for number, _ in self._segments()] or [self._sent[0]])
        self._mend(self._path(self._number))

    def close(self) -> None:
        """Let another have the folder. Idempotent."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    def append(self, events: Iterable[UsageEvent]) -> None:
        """Keep the events; when it returns they survive a power cut. Raises `OSError`."""
        octets = "".join(event.line() + "\n" for event in events).encode()
        if not octets:
            return
        if self.waiting_octets + len(octets) > self._most:
            self.dropped += octets.count(b"\n")
            return
        if self._size(self._number) >= _SEGMENT_OCTETS:
            self._number += 1
        with open(self._path(self._number), "ab", opener=_private) as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())

    @property
    def waiting_octets(self) -> int:
        """What has not been delivered."""
        number, offset = self._sent
        return sum(size for one, size in self._segments() if one >= number) - offset

    def next_batch(self, after: Batch | None = None) -> Batch | None:
        """The oldest events that were not delivered, or that come after a batch; None when there are none."""
        number, offset = after.ends if after else self._sent
        lines: list[bytes] = []
        for segment, size in self._segments():
            if segment < number or len(lines) >= MOST_EVENTS:
                continue
            begin = offset if segment == number else 0
            if begin >= size:
                continue
            with self._path(segment).open("rb") as file:
                file.seek(begin)
                taken = [line for line in file.readlines() if line.endswith(b"\n")][
                    : MOST_EVENTS - len(lines)
                ]
            lines += taken
            ends = (segment, begin + sum(map(len, taken)))
        if not lines:
            return None
        name = hashlib.sha256(b"".join(lines)).hexdigest()[:32]
        return Batch(name, tuple(_events(lines)), ends)

    def delivered(self, batch: Batch) -> None:
        """The vendor has it: never give it out again. Raises `OSError`."""
        staged = self._folder / "sent.json.part"
        with open(staged, "w", encoding="utf-8", opener=_private) as file:
            json.dump({"segment": batch.ends[0], "offset": batch.ends[1]}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(staged, self._folder / "sent.json")
        self._sent = batch.ends
        for number, _ in self._segments():
            if number < batch.ends[0]:
                self._path(number).unlink()

    def _read_sent(self) -> tuple[int, int]:
        try:
            found = json.loads((self._folder / "sent.json").read_text(encoding="utf-8"))
            return int(found["segment"]), int(found["offset"])
        except (OSError, ValueError, KeyError, TypeError):
            return 1, 0

    def _segments(self) -> Sequence[tuple[int, int]]:
        found = []
        for path in self._folder.glob("usage-*.jsonl"):
            number = path.stem.partition("-")[2]
            if number.isdigit():
                found.append((int(number), path.stat().st_size))
        return sorted(found)

    def _size(self, number: int) -> int:
        path = self._path(number)
        return path.stat().st_size if path.exists() else 0

    def _path(self, number: int) -> Path:
        return self._folder / f"usage-{number:06d}.jsonl"

    def _mend(self, path: Path) -> None:
        if not path.exists():
            return
        octets = path.read_bytes()
        whole = octets.rfind(b"\n") + 1
        if whole < len(octets):
            os.truncate(path, whole)


def _locked(folder: Path) -> int:
    """A descriptor that holds the folder's lock; a kill lets it go."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise BlockingIOError(errno.EBUSY, f"{folder} is in use by another process; stop it first") from None
    return lock


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _events(lines: Iterable[bytes]) -> Iterable[UsageEvent]:
    for line in lines:
        try:
            yield UsageEvent.read(json.loads(line))
        except (BadEvent, ValueError, RecursionError):
            continue  # a damaged line must not keep all later ones from being delivered
