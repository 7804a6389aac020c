"""The one thread that owns a model. PyTorch runs nowhere else, so models need no locks."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from engines.base import EngineFailed

T = TypeVar("T")


class ModelThread:
    """Runs what is posted to it, and takes turns of work in between.

    `turn(now)` does a little work and returns the seconds after which it wants to be called again: 0 for at
    once, None for not before something was posted. It must not raise.
    """

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self.clock = clock
        """Monotonic seconds, the same as the loop's."""
        self._turn: Callable[[float], float | None] = lambda now: None
        self._posted: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def work(self, turn: Callable[[float], float | None]) -> None:
        """From now on take these turns."""

        def begin() -> None:
            self._turn = turn

        self.post(begin)

    def post(self, call: Callable[[], None]) -> None:
        """Have this run in the thread before its next turn. After `close` it is dropped."""
        with self._changed:
            self._posted.append(call)
            self._changed.notify()

    async def run(self, call: Callable[[], T]) -> T:
        """The result of a call in the thread. Raises what it raises, `EngineFailed` once closed."""
        done: Future[T] = Future()

        def finish() -> None:
            if not done.set_running_or_notify_cancel():
                return
            try:
                done.set_result(call())
            except BaseException as error:
                done.set_exception(error)

        if not self._open:
            raise EngineFailed("the voice is closed")
        self.post(finish)
        return await asyncio.wrap_future(done)

    def close(self) -> None:
        """Stop after the running turn; what is posted is still run. Blocks for it. Idempotent."""
        with self._changed:
            self._open = False
            self._changed.notify()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        wait: float | None = None
        while self._wait(wait):
            wait = self._turn(self.clock())
        self._run_posted()

    def _wait(self, seconds: float | None) -> bool:
        """Until there is something to do; whether the thread goes on."""
        with self._changed:
            if self._open and not self._posted and seconds != 0:
                self._changed.wait(seconds)
            if not self._open:
                return False
        self._run_posted()
        return True

    def _run_posted(self) -> None:
        while self._posted:
            self._posted.popleft()()
