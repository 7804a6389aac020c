"""What a service wants to report, until it is surely reported: on disk, in a journal of its own.

Noting an event takes no time; it is on disk a moment later, and survives a kill from then on.
"""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import structlog

from license.journal import Batch, Journal
from license.usage import UsageEvent

log = structlog.get_logger(__name__)

_QUEUED = 10_000
"""Events that may wait for the disk."""
_FOLDERS = 32


class Parcel(Protocol):
    """Events that are reported together."""

    @property
    def events(self) -> Sequence[UsageEvent]: ...


P = TypeVar("P", bound=Parcel)
T = TypeVar("T")


class Outbox(Protocol, Generic[P]):
    """Usage of this service that waits to be reported."""

    def note(self, event: UsageEvent) -> None:
        """Returns at once; what cannot be kept is dropped and counted."""

    async def take(self) -> P | None:
        """The oldest events, at most 1000; None when there are none, or none can be had now."""

    async def settled(self, parcel: P) -> None:
        """They were reported: never give them out again."""


class DiskOutbox:
    """An `Outbox` in a folder. Belongs to the loop that starts it."""

    def __init__(self, folder: Path, most_octets: int = 64_000_000) -> None:
        """Another process may have the folder: then one beside it is taken."""
        self._folder, self._most = folder, most_octets
        self._journal: Journal | None = None
        self._queue: deque[UsageEvent] = deque()
        self._disk = asyncio.Lock()
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._overrun = 0
        self.waiting_octets = 0
        """On disk and not settled, when the disk was last touched."""

    @property
    def dropped(self) -> int:
        """Events that found no room, or that the disk did not take."""
        return self._overrun + (self._journal.dropped if self._journal else 0)

    def note(self, event: UsageEvent) -> None:
        """See `Outbox.note`."""
        if len(self._queue) >= _QUEUED:
            self._overrun += 1
            return
        self._queue.append(event)
        self._news.set()

    async def start(self) -> None:
        """Open the folder, with what an earlier run left in it. Raises `OSError`."""
        self._journal = await asyncio.to_thread(_open, self._folder, self._most)
        self._task = asyncio.get_running_loop().create_task(self._run(), name="usage-outbox")

    async def aclose(self) -> None:
        """Have everything on disk. Idempotent."""
        task, self._task = self._task, None
        if task is None or self._journal is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with self._disk:
            await self._write()
            await self._on_disk(lambda journal: journal.close())

    async def take(self, after: Batch | None = None) -> Batch | None:
        """See `Outbox.take`; with `after` those that come after a batch. Raises `OSError`."""
        if self._journal is None:
            return None
        async with self._disk:
            await self._write()
            return await self._on_disk(lambda journal: journal.next_batch(after))

    async def settled(self, parcel: Batch) -> None:
        """See `Outbox.settled`. Raises `OSError`."""
        async with self._disk:
            await self._on_disk(lambda journal: journal.delivered(parcel))

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            # Shielded: a thread that writes cannot be stopped, and the journal must not be closed under it.
            await asyncio.shield(self._locked_write())

    async def _locked_write(self) -> None:
        async with self._disk:
            await self._write()

    async def _write(self) -> None:
        events = [self._queue.popleft() for _ in range(len(self._queue))]
        if not events:
            return
        try:
            await self._on_disk(lambda journal: journal.append(events))
        except OSError as error:
            self._overrun += len(events)
            log.error("usage is not on disk", why=error.strerror or str(error), events=len(events))

    async def _on_disk(self, work: Callable[[Journal], T]) -> T:
        """In a thread, one at a time: the lock is held."""
        journal = self._journal
        assert journal is not None

        def done() -> tuple[T, int]:
            return work(journal), journal.waiting_octets

        result, self.waiting_octets = await asyncio.to_thread(done)
        return result


def _open(folder: Path, most_octets: int) -> Journal:
    for number in range(1, _FOLDERS + 1):
        path = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            return Journal(path, most_octets=most_octets)
        except BlockingIOError:
            continue
    raise OSError(errno.EBUSY, f"{_FOLDERS} nodes of this machine use {folder}")
