"""The records of finished calls: found again without reading all of them, and deleted when they are old.

The journal of today is `calls.jsonl`; that of an earlier day (UTC, by when its last call ended) is
`calls-<day>.jsonl`. A cursor names a day and the place within its journal before which reading goes on, so it
stays good while calls end and while days pass.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

log = structlog.get_logger(__name__)

JOURNAL = "calls.jsonl"
"""Records of today, one JSON object a line, in the order in which the calls ended."""
_OF_DAY = re.compile(r"calls-(\d{4}-\d\d-\d\d)\.jsonl")
_CALL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_CURSOR = re.compile(r"(\d{4}-\d\d-\d\d):(\d{1,15})")
_BLOCK = 65_536
_MOST_READ = 8_000_000
"""Octets looked at for one page; whoever seeks further asks again with the cursor."""
_SWEEP_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class RecordQuery:
    """Which calls are wanted. Empty fields ask for nothing."""

    began_from: str = ""
    """ISO 8601; calls that started then or later."""
    began_to: str = ""
    """... and before that."""
    caller: str = ""
    called: str = ""
    route: str = ""
    reason: str = ""

    def fits(self, record: Mapping[str, Any]) -> bool:
        """Whether a record is one of them."""
        parties = record.get("parties") or {}
        started = str(record.get("started", ""))
        return (
            (not self.began_from or started >= self.began_from)
            and (not self.began_to or started < self.began_to)
            and self.caller in ("", parties.get("caller"))
            and self.called in ("", parties.get("called"))
            and self.route in ("", record.get("route"))
            and self.reason in ("", record.get("end_reason"))
        )


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Some of them, the newest first."""

    records: list[dict[str, Any]]
    cursor: str
    """Where to go on; "" when there are no more."""


class RecordArchive:
    """Reads and sweeps the folder; every method runs in a thread, none holds up a call."""

    def __init__(self, folder: Path, wall: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._folder = folder
        self._wall = wall
        self.swept = 0
        """Files deleted for their age."""

    async def find(self, query: RecordQuery, cursor: str, most: int) -> RecordPage:
        """A page of records. Raises `ValueError` for a cursor that is none of ours."""
        return await asyncio.to_thread(self._find, query, cursor, most)

    def recording(self, call_id: str) -> Path | None:
        """The sound of a finished call, or None."""
        path = self._folder / f"{call_id}.wav"
        return path if _CALL_ID.fullmatch(call_id) and path.is_file() and not path.is_symlink() else None

    async def keep_swept(self, days: int) -> None:
        """Delete what is older than so many days, now and every hour, until cancelled."""
        while True:
            try:
                if gone := await asyncio.to_thread(self.sweep, days):
                    log.info("old records deleted", files=gone, keep_days=days)
            except OSError as error:
                log.error("old records not deleted", why=error.strerror)
            await asyncio.sleep(_SWEEP_SECONDS)

    def sweep(self, days: int) -> int:
        """Delete whole days that ended more than `days` ago, with their calls' files; how many files went.

        Only what a journal names is touched: nothing else in the folder is ours to delete.
        """
        oldest = self._wall().astimezone(UTC).date() - timedelta(days=days)
        gone = 0
        for day, path in self._days():
            if day >= oldest or path.name == JOURNAL:
                continue
            with path.open("rb") as journal:
                ids = [
                    str(record.get("call_id")) for line in journal if (record := _record(line)) is not None
                ]
            for call_id in ids:
                if _CALL_ID.fullmatch(call_id):
                    gone += sum(_deleted(self._folder / f"{call_id}{end}") for end in (".json", ".wav"))
            gone += _deleted(path)
        self.swept += gone
        return gone

    def _days(self) -> list[tuple[date, Path]]:
        """Every journal with its day, the newest first."""
        found: list[tuple[date, Path]] = []
        for path in self._folder.glob("calls-*.jsonl"):
            if (named := _OF_DAY.fullmatch(path.name)) and not path.is_symlink():
                try:
                    found.append((date.fromisoformat(named[1]), path))
                except ValueError:
                    continue
        today = self._folder / JOURNAL
        if today.is_file():
            found.append((day_of(today), today))
        return sorted(found, key=lambda one: one[0], reverse=True)

    def _find(self, query: RecordQuery, cursor: str, most: int) -> RecordPage:
        named = _CURSOR.fullmatch(cursor) if cursor else None
        if cursor and named is None:
            raise ValueError("not a cursor of this list")
        records: list[dict[str, Any]] = []
        budget = _MOST_READ
        for day, path in self._days():
            if named is not None and day > date.fromisoformat(named[1]):
                continue
            before = int(named[2]) if named is not None and day.isoformat() == named[1] else None
            for place, line in _backwards(path, before):
                budget -= len(line) + 1
                record = _record(line)
                if record is not None and query.fits(record):
                    records.append(record)
                if len(records) >= most or budget <= 0:
                    return RecordPage(records, f"{day.isoformat()}:{place}")
        return RecordPage(records, "")


def day_of(path: Path) -> date:
    """The day (UTC) on which a file was written last."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).date()


def put_away(folder: Path, today: date) -> None:
    """Give the journal its day's name when that day is over. Raises `OSError`."""
    journal = folder / JOURNAL
    try:
        day = day_of(journal)
    except FileNotFoundError:
        return
    if day >= today:
        return
    named = folder / f"calls-{day.isoformat()}.jsonl"
    if named.exists():  # the clock went back and forth: nothing is lost, only its order
        with named.open("ab") as older:
            older.write(journal.read_bytes())
        journal.unlink()
    else:
        journal.rename(named)


def _backwards(path: Path, before: int | None) -> Iterator[tuple[int, bytes]]:
    """Lines with the places at which they begin, the last first. A line without its end is passed over."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        at = size if before is None else min(before, size)
        tail = b""
        while at > 0:
            step = min(_BLOCK, at)
            at -= step
            file.seek(at)
            lines = (file.read(step) + tail).split(b"\n")
            tail = lines[0]
            place = at + len(b"\n".join(lines))
            for line in reversed(lines[1:]):
                place -= len(line)
                if line:
                    yield place, line
                place -= 1
        if tail:
            yield 0, tail


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _deleted(path: Path) -> int:
    try:
        path.unlink()
    except FileNotFoundError:
        return 0
    return 1
