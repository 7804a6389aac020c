"""Writes each finished call's record to disk."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog

from gateway.calls.record import CallRecord
from gateway.observers import SilentObserver
from gateway.record_archive import JOURNAL, put_away

log = structlog.get_logger(__name__)


def open_folder(folder: Path) -> None:
    """Make sure that records can be written. A folder made here is its owner's alone. Raises `OSError`."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryFile(dir=folder):
        pass


class RecordKeeper(SilentObserver):
    """Keeps `<call id>.json` for each call, and the journal of all. Writing never holds up a call."""

    def __init__(self, folder: Path, wall: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """`wall`: the time; a new day (UTC) begins a new journal."""
        self._folder = folder
        self._wall = wall
        self._writing: set[asyncio.Task[None]] = set()
        self._order = asyncio.Lock()
        self.failures = 0
        """Records that could not be written."""

    def ended(self, record: CallRecord) -> None:
        task = asyncio.get_running_loop().create_task(self._keep(record), name="keep-record")
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def flush(self) -> None:
        """Wait until every record given so far lies on the disk."""
        while self._writing:
            await asyncio.gather(*self._writing, return_exceptions=True)

    async def _keep(self, record: CallRecord) -> None:
        line = json.dumps(record.as_json(), ensure_ascii=False)
        try:
            async with self._order:
                await asyncio.to_thread(self._write, record.call_id, line)
        except OSError as error:
            self.failures += 1
            log.error("record not written", why=error.strerror, folder=str(self._folder))

    def _write(self, call_id: str, line: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        staged = self._folder / f".{call_id}.json"
        staged.write_text(json.dumps(json.loads(line), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        os.replace(staged, self._folder / f"{call_id}.json")
        put_away(self._folder, self._wall().astimezone(UTC).date())
        with (self._folder / JOURNAL).open("a", encoding="utf-8") as journal:
            journal.write(line + "\n")
