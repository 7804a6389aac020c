"""A few threads that synthesize for all calls, in the order in which callers would fall silent."""

from __future__ import annotations

import asyncio
import heapq
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from typing import Any, TypeVar

from engines.base import EngineBusy, EngineFailed

T = TypeVar("T")

_MOST = 8
"""Times the limit that may wait in all, however late they are due."""


class SynthesisPool:
    """Runs jobs by due time in threads that yield to everything real-time on the machine.

    A job that is cancelled while it waits is gone at once; one that runs is finished and thrown away.
    """

    def __init__(self, threads: int, waiting: int, nice: int) -> None:
        self._limit = waiting
        self._nice = nice
        self._ready = threading.Condition()
        self._heap: list[tuple[float, int, Callable[[], Any], Future[Any]]] = []
        self._order = count()
        self._open = True
        self._threads = [
            threading.Thread(target=self._work, name=f"hibari-{i}", daemon=True) for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Jobs that no thread has taken yet."""
        return len(self._heap)

    async def run(self, job: Callable[[], T], due: float, *, refusable: bool) -> T:
        """The job's result. `due` is the loop time by which it is needed: the earliest runs first.

        A refusable job raises `EngineBusy` when too many wait that are due no later; the others are the
        continuation of speech that has begun, at most one per passage. Raises `EngineFailed` after `close`.
        """
        future: Future[T] = Future()
        with self._ready:
            if not self._open:
                raise EngineFailed("the voice is closed")
            before = sum(entry[0] <= due for entry in self._heap)
            if refusable and (before >= self._limit or len(self._heap) >= _MOST * self._limit):
                raise EngineBusy(f"{len(self._heap)} passages wait for the voice")
            heapq.heappush(self._heap, (due, next(self._order), job, future))
            self._ready.notify()
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            self._forget(future)
            raise

    def close(self) -> None:
        """Stop the threads when their running jobs are done; waiting jobs fail. Blocks for that one job."""
        with self._ready:
            self._open = False
            waiting, self._heap = self._heap, []
            self._ready.notify_all()
        for _, _, _, future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(EngineFailed("the voice was closed"))
        for thread in self._threads:
            thread.join()

    def _forget(self, future: Future[Any]) -> None:
        with self._ready:
            self._heap = [entry for entry in self._heap if entry[3] is not future]
            heapq.heapify(self._heap)

    def _work(self) -> None:
        if self._nice:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._nice)
        while (entry := self._next()) is not None:
            _, _, job, future = entry
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(job())
            except BaseException as error:
                future.set_exception(error)

    def _next(self) -> tuple[float, int, Callable[[], Any], Future[Any]] | None:
        with self._ready:
            while self._open and not self._heap:
                self._ready.wait()
            return heapq.heappop(self._heap) if self._heap else None
