"""Measures how late the event loop runs, and shows what held it up.

Every frame of every call passes through one loop, so its lateness is everybody's lateness. A timer notes the
difference between when it asked to run and when it ran; a thread looks at the loop's stack while it stands
still, because afterwards the culprit has left.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import structlog

log = structlog.get_logger(__name__)

_STACK_DEPTH = 12
"""Innermost calls shown; what lies above is the loop itself."""


@dataclass(frozen=True, slots=True)
class StallSettings:
    """The probe of the event loop."""

    interval_seconds: float = 0.05
    """Time between two measurements, 0.01 to 1 second."""
    warn_seconds: float = 0.1
    """Lateness above which a warning tells where the loop was held up; greater than the interval."""

    def __post_init__(self) -> None:
        if not 0.01 <= self.interval_seconds <= 1:
            raise ValueError("interval_seconds: must lie between 0.01 and 1")
        if self.warn_seconds <= self.interval_seconds:
            raise ValueError("warn_seconds: must be greater than interval_seconds")


class StallProbe:
    """Reports every measured lateness, in seconds; warns about long ones with the stack of that moment."""

    def __init__(self, report: Callable[[float], None], settings: StallSettings | None = None) -> None:
        self._report = report
        self._settings = settings or StallSettings()
        self._timer: asyncio.TimerHandle | None = None
        self._watch: _StackWatch | None = None

    def start(self) -> None:
        """Measure from now on, on the running loop."""
        loop = asyncio.get_running_loop()
        self._watch = _StackWatch(threading.get_ident(), self._settings.warn_seconds)
        self._watch.start()
        self._arm(loop)

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + self._settings.interval_seconds
        self._timer = loop.call_at(due, self._tick, loop, due)

    def _tick(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        late = max(0.0, loop.time() - due)
        self._report(late)
        stack = self._watch.beat() if self._watch is not None else ()
        if late >= self._settings.warn_seconds:
            log.warning("event loop stalled", seconds=round(late, 3), stack=list(stack))
        self._arm(loop)

    def close(self) -> None:
        """Stop measuring. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._watch is not None:
            self._watch.close()
            self._watch = None


class _StackWatch:
    """A thread that looks at the loop's stack once when the loop has not beaten for `limit` seconds."""

    def __init__(self, thread_id: int, limit: float) -> None:
        self._thread_id = thread_id
        self._limit = limit
        self._beaten = time.monotonic()
        self._stack: tuple[str, ...] = ()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stall-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def beat(self) -> tuple[str, ...]:
        """The loop runs; returns the stack seen while it did not, if it was."""
        stack, self._stack = self._stack, ()
        self._beaten = time.monotonic()
        return stack

    def close(self) -> None:
        self._closed.set()
        self._thread.join(timeout=1.0)

    def _run(self) -> None:
        while not self._closed.wait(self._limit / 2):
            frame = sys._current_frames().get(self._thread_id)
            if frame is not None and not self._stack and time.monotonic() - self._beaten > self._limit:
                # Names and lines only, no values: a local variable may hold what a caller said.
                calls = traceback.extract_stack(frame, limit=None)[-_STACK_DEPTH:]
                self._stack = tuple(f"{call.filename}:{call.lineno} {call.name}" for call in calls)
