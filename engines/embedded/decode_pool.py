"""A few threads that run model work for every call: the urgent first, the optional only when there is room.

Three kinds of work meet here. A *final* is owed to a caller and always runs. An *early* decode is a final
that may still be taken back. An *interim* is a courtesy: it gets a bounded share of the threads, waits no
longer than its deadline, and gives way in the middle when something urgent finds no free thread. *Background*
work, the finals of recordings, takes what is left: it gives way like an interim, but is run again. Results
are handed to the loop of whoever asked; nothing of the loop ever runs on these threads.
"""

from __future__ import annotations

import asyncio
import heapq
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Generic, Protocol, TypeVar

import structlog

from engines.base import EngineBusy
from engines.embedded.owed_load import OwedLoad

T = TypeVar("T")
Work = Callable[[Callable[[], bool]], T]
"""What a thread runs; it is given `aborted`, to be asked between steps, and may then raise anything."""

_WAIT_MEMORY = 5.0
"""Seconds for which a final's wait in the queue speaks for the pool's load."""

log = structlog.get_logger(__name__)


class Priority(IntEnum):
    """What runs first, and what is shed last."""

    FINAL = 0
    EARLY = 1
    INTERIM = 2
    BACKGROUND = 3
    """Owed, but nobody waits for it live."""


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Size and manners of the threads."""

    threads: int = 0
    """Decodes at once; 0 takes one per core but one (at least one): RTP and the event loop need it."""
    nice: int = 3
    """Scheduling weakness of the threads, 0 to 19, so that RTP and the event loop win a contended core."""
    queued: int = 256
    """Jobs that may wait. A final over it pushes an interim or early decode out, else it is refused."""
    early_queued: int = 4
    """Jobs per thread that may wait before early decodes are shed (their final comes later all the same)."""
    interim_duty: float = 0.5
    """Share of the threads' time that interims may use, 0 to 1."""
    interim_deadline: float = 0.5
    """Seconds after which an interim still waiting is dropped as out of date."""

    def __post_init__(self) -> None:
        if not 0 <= self.threads <= 256:
            raise ValueError("threads: give 1 to 256, or 0 for one per core but one")
        if not 0 <= self.nice <= 19:
            raise ValueError("nice: give 0 (as urgent as RTP) to 19 (weakest)")
        if self.queued < 1 or self.early_queued < 1:
            raise ValueError("queued, early_queued: give at least 1")
        if not 0.0 <= self.interim_duty <= 1.0:
            raise ValueError("interim_duty: give a share from 0 (no interims) to 1")
        if not 0.0 < self.interim_deadline <= 10.0:
            raise ValueError("interim_deadline: give seconds above 0, up to 10")

    @property
    def thread_count(self) -> int:
        """Threads that will really run."""
        return self.threads or max(1, (os.cpu_count() or 2) - 1)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """How a job ended: with a value, with an error, or (both None) shed before it was done."""

    value: T | None = None
    error: BaseException | None = None


class Ticket(Protocol):
    """The asker's hold on a job."""

    def cancel(self) -> None:
        """Nobody wants it any more: its outcome will not be reported. Idempotent."""

    def promote(self) -> None:
        """It is owed now: treat it as a final from here on."""


class Pool(Protocol):
    """What a stream needs of the threads. The asker must run on an event loop."""

    def submit(self, priority: Priority, work: Work[T], done: Callable[[Outcome[T]], None]) -> Ticket | None:
        """Queue work; `done` is called once on the asker's loop. None: shed at once.

        Raises `EngineBusy` when the queue is full of finals.
        """


class _Job(Generic[T]):
    """One piece of work on its way through the pool. Its fields belong to the pool's lock."""

    def __init__(
        self, pool: DecodePool, priority: Priority, work: Work[T], done: Callable[[Outcome[T]], None]
    ) -> None:
        self.pool = pool
        self.priority = priority
        self.work = work
        self.done = done
        self.loop = asyncio.get_running_loop()
        self.queued_at = 0.0
        self.cancelled = False
        self.give_way = False

    def aborted(self) -> bool:
        """Asked by the work between its steps; a stale answer only costs one step."""
        return self.cancelled or self.give_way

    def cancel(self) -> None:
        self.pool._cancel(self)

    def promote(self) -> None:
        self.pool._promote(self)

    def report(self, outcome: Outcome[T]) -> None:
        """Hand the outcome to the asker's loop; a loop that is gone has nobody left to hear it."""
        try:
            self.loop.call_soon_threadsafe(self._deliver, outcome)
        except RuntimeError:
            log.debug("decode outcome had no loop to go to")

    def _deliver(self, outcome: Outcome[T]) -> None:
        if not self.cancelled:
            self.done(outcome)


class DecodePool:
    """The threads. All methods may be called from any thread; `submit` from a running loop."""

    def __init__(
        self, settings: PoolSettings, name: str = "decode", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._changed = threading.Condition()
        self._queue: list[tuple[int, int, _Job[Any]]] = []
        self._ticket = 0
        self._running: set[_Job[Any]] = set()
        self._closed = False
        self._counts: Counter[str] = Counter()
        self._waits: deque[tuple[float, float]] = deque(maxlen=256)
        self._owed = 0.0
        self._duty = _Duty(settings.interim_duty * settings.thread_count)
        self._threads = [
            threading.Thread(target=self._serve, name=f"{name}-{number}", daemon=True)
            for number in range(settings.thread_count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, priority: Priority, work: Work[T], done: Callable[[Outcome[T]], None]) -> Ticket | None:
        """See `Pool.submit`."""
        job: _Job[T] = _Job(self, priority, work, done)
        with self._changed:
            if self._closed:
                raise EngineBusy("the decode threads are closed")
            if shed := self._reason_to_shed(priority):
                self._counts[f"{priority.name.lower()}_shed_{shed}"] += 1
                return None
            if len(self._queue) >= self._settings.queued and not self._push_out():
                self._counts["final_refused"] += 1
                raise EngineBusy(f"{len(self._queue)} decodes already wait for a thread")
            job.queued_at = self._clock()
            self._enqueue(job)
            if priority not in (Priority.INTERIM, Priority.BACKGROUND):
                self._make_room()
            self._changed.notify()
        return job

    def final_wait(self) -> float:
        """Seconds that the unluckiest final waited for a thread lately, or waits now."""
        with self._changed:
            now = self._clock()
            lately = [wait for at, wait in self._waits if now - at < _WAIT_MEMORY]
            waiting = [now - job.queued_at for _, _, job in self._queue if job.priority is Priority.FINAL]
            return max(lately + waiting, default=0.0)

    def owed(self) -> float:
        """Seconds of threads that finals and early decodes took since the start."""
        with self._changed:
            return self._owed

    def load(self) -> OwedLoad:
        """A measure of what streams take of these threads, for whoever opens them."""
        return OwedLoad(len(self._threads), self.owed, self._clock)

    def stats(self) -> dict[str, int | float]:
        """Counters since the start, and what is queued and running now."""
        wait = self.final_wait()
        with self._changed:
            now = {"threads": len(self._threads), "queued": len(self._queue), "running": len(self._running)}
            return {**self._counts, **now, "final_wait": wait}

    def close(self) -> None:
        """Stop the threads; queued work is dropped, running work gives way. Blocks for one step."""
        with self._changed:
            self._closed = True
            for job in self._running:
                job.give_way = True
            for _, _, job in self._queue:
                job.report(Outcome(error=EngineBusy("the decode threads are closed")))
            self._queue.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _reason_to_shed(self, priority: Priority) -> str | None:
        waiting = sum(job.priority is not Priority.BACKGROUND for _, _, job in self._queue)
        if priority is Priority.EARLY and waiting >= self._settings.early_queued * len(self._threads):
            return "queue"
        if priority is Priority.INTERIM:
            if waiting >= len(self._threads):
                return "queue"
            if not self._duty.allows(self._clock()):
                return "duty"
        return None

    def _enqueue(self, job: _Job[T]) -> None:
        self._ticket += 1
        heapq.heappush(self._queue, (int(job.priority), self._ticket, job))
        self._counts[f"{job.priority.name.lower()}_queued"] += 1

    def _push_out(self) -> bool:
        """Make a place in a full queue at the cost of its least urgent job, unless that is a final.

        Background work that is pushed out has failed: whoever asked may ask again.
        """
        worst = max(self._queue)
        job = worst[2]
        if job.priority is Priority.FINAL:
            return False
        self._queue.remove(worst)
        heapq.heapify(self._queue)
        self._counts[f"{job.priority.name.lower()}_shed_full"] += 1
        busy = EngineBusy("live calls took its place") if job.priority is Priority.BACKGROUND else None
        job.report(Outcome(error=busy))
        return True

    def _make_room(self) -> None:
        """Ask what is least urgent to give way when no thread is free for something urgent."""
        if len(self._running) < len(self._threads):
            return
        weak = [job for job in self._running if job.priority >= Priority.INTERIM and not job.give_way]
        if weak:
            max(weak, key=lambda job: job.priority).give_way = True

    def _cancel(self, job: _Job[T]) -> None:
        with self._changed:
            job.cancelled = True
            self._queue = [entry for entry in self._queue if entry[2] is not job]
            heapq.heapify(self._queue)

    def _promote(self, job: _Job[T]) -> None:
        with self._changed:
            waiting = any(entry[2] is job for entry in self._queue)
            self._queue = [entry for entry in self._queue if entry[2] is not job]
            heapq.heapify(self._queue)
            job.priority = Priority.FINAL
            job.give_way = False
            if waiting:
                self._enqueue(job)
                self._make_room()
                self._changed.notify()

    def _serve(self) -> None:
        if self._settings.nice:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._settings.nice)
        while (job := self._next()) is not None:
            started = self._clock()
            outcome = _outcome_of(job)
            with self._changed:
                self._running.discard(job)
                self._account(job, outcome, self._clock() - started)
                again = job.priority is Priority.BACKGROUND and outcome == Outcome() and not self._closed
                if again and not job.cancelled:
                    job.give_way = False
                    self._enqueue(job)
            if not job.cancelled and not again:
                job.report(outcome)

    def _next(self) -> _Job[Any] | None:
        """The most urgent job, once there is one; None when the pool closes."""
        with self._changed:
            while not self._closed:
                if not self._queue:
                    self._changed.wait()
                    continue
                job = heapq.heappop(self._queue)[2]
                wait = self._clock() - job.queued_at
                if job.priority is Priority.INTERIM and wait > self._settings.interim_deadline:
                    self._counts["interim_shed_late"] += 1
                    job.report(Outcome())
                    continue
                if job.priority is Priority.FINAL:
                    self._waits.append((self._clock(), wait))
                self._running.add(job)
                return job
        return None

    def _account(self, job: _Job[Any], outcome: Outcome[Any], cost: float) -> None:
        kind = job.priority.name.lower()
        self._counts[f"{kind}_milliseconds"] += round(cost * 1000)
        if job.priority <= Priority.EARLY:
            self._owed += cost
        elif job.priority is Priority.INTERIM:
            self._duty.spend(cost)
        if job.cancelled:
            self._counts[f"{kind}_cancelled"] += 1
        elif outcome.error is not None:
            self._counts[f"{kind}_failed"] += 1
        elif outcome.value is None:
            self._counts[f"{kind}_gave_way"] += 1
        else:
            self._counts[f"{kind}_done"] += 1


def _outcome_of(job: _Job[Any]) -> Outcome[Any]:
    """Run the work. Whatever it raises after it was asked to give way is the giving way."""
    try:
        return Outcome(job.work(job.aborted))
    except Exception as error:
        return Outcome() if job.give_way else Outcome(error=error)


class _Duty:
    """Time that interims may still use: fills at a rate, spent by what they cost."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._level = rate
        self._at: float | None = None

    def allows(self, now: float) -> bool:
        if self._at is not None:
            self._level = min(self._rate, self._level + (now - self._at) * self._rate)
        self._at = now
        return self._level > 0.0

    def spend(self, seconds: float) -> None:
        self._level -= seconds
