"""The one thread that owns the model: it steps while any stream has sound for a step, and sleeps otherwise.

Callers' loops hold the lock for a few list operations only; the step itself runs without it.
"""

from __future__ import annotations

import threading
import time
from asyncio import AbstractEventLoop
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog

from engines.base import EngineBusy, EngineError, EngineFailed
from engines.nemo.scheduler import Lane, Scheduler
from engines.nemo.settings import NemoSettings
from engines.nemo.stepper import Outcome, Stepper
from engines.nemo.utterance import Row, Work

log = structlog.get_logger(__name__)

BROKEN_AFTER = 3
"""Steps in a row in which every row failed, each of them alone as well: then the device is given up."""


class Post:
    """Calls for the streams' loops, handed over once per step and loop."""

    def __init__(self) -> None:
        self._calls: defaultdict[AbstractEventLoop, list[Callable[[], None]]] = defaultdict(list)

    def add(self, loop: AbstractEventLoop, call: Callable[[], None]) -> None:
        """To be called on the loop."""
        self._calls[loop].append(call)

    def send(self) -> None:
        """Hand all of it over. A loop that is closed has nobody left who waits."""
        for loop, calls in self._calls.items():
            try:
                loop.call_soon_threadsafe(_run_all, calls)
            except RuntimeError:
                log.debug("a stream's loop is closed", dropped=len(calls))
        self._calls.clear()


def _run_all(calls: Sequence[Callable[[], None]]) -> None:
    for call in calls:
        call()


class EngineThread:
    """Loads the model, then serves its streams until `close`."""

    def __init__(
        self, load: Callable[[], Stepper], settings: NemoSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`load` runs on the thread."""
        self.counts: Counter[str] = Counter()
        self.clock = clock
        self._load = load
        self._settings = settings
        self._changed = threading.Condition()
        self._scheduler: Scheduler | None = None
        self._stepper: Stepper | None = None
        self._closed = False
        self._broken = 0
        self._error: EngineError | None = None
        self._thread: threading.Thread | None = None
        self._loaded = threading.Event()

    def start(self) -> None:
        """Begin to load, or once more where that failed. Idempotent."""
        with self._changed:
            failed = self._loaded.is_set() and self._stepper is None
            if self._closed or (self._thread is not None and not failed):
                return
            self._loaded.clear()
            self._error = None
            self._thread = threading.Thread(target=self._run, name="nemo", daemon=True)
            self._thread.start()

    def wait_loaded(self) -> Stepper:
        """Block until the model is there. Raises `EngineError` with the reason when it is not, or no more."""
        self._loaded.wait()
        if self._stepper is None or self._error is not None:
            raise self._error or EngineFailed("the model's thread has ended")
        return self._stepper

    @property
    def trouble(self) -> str:
        """Why no stream will be served any more; "" while they are."""
        error = self._error
        return str(error) if error is not None and self._stepper is not None else ""

    @contextmanager
    def scheduler(self) -> Iterator[Scheduler]:
        """The scheduler under its lock. Raises `EngineBusy` while there is none, or no more."""
        with self._changed:
            if self._closed:
                raise EngineBusy("the recogniser is closed")
            if self._error is not None:
                raise EngineBusy(f"the recogniser is out of order: {self._error}")
            if self._scheduler is None:
                raise EngineBusy("the model is still being loaded")
            yield self._scheduler
            if self._scheduler.waiting:
                self._changed.notify()

    def release(self, lane: Lane) -> None:
        """Free a stream's slot whatever state the engine is in."""
        with self._changed:
            if self._scheduler is not None:
                self._scheduler.close(lane)

    def stats(self) -> dict[str, int | float]:
        """Counters since the start, and what is in use now."""
        with self._changed:
            if self._scheduler is None:
                return dict(self.counts)
            now = {"streams": self._scheduler.streams, "late": self._scheduler.late(self.clock())}
            return {**self.counts, **self._scheduler.counts, **now}

    def close(self) -> None:
        """Stop after the running step and give the model back. Blocks. Idempotent."""
        with self._changed:
            self._closed = True
            if self._thread is None:
                self._loaded.set()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            stepper = self._load()
            with self._changed:
                self._scheduler = Scheduler(
                    stepper.geometry,
                    stepper.slots,
                    self._settings.max_batch,
                    self._settings.max_behind,
                    self._settings.max_late,
                )
            self._stepper = stepper
        except EngineError as error:
            self._error = error
        except Exception as error:
            log.exception("the model could not be loaded")
            self._error = EngineFailed(f"the model could not be loaded: {error}")
        finally:
            self._loaded.set()
        if self._stepper is not None:
            self._serve(self._stepper)

    def _serve(self, stepper: Stepper) -> None:
        while taken := self._next():
            post = Post()
            try:
                self._step(stepper, taken, post)
            except Exception as error:  # a listener's or our own mistake; the streams must not wait for ever
                log.exception("a step's results could not be delivered")
                self._fail_all(taken, f"internal error: {error}", post)
            finally:
                with self._changed:
                    if self._scheduler is not None:
                        self._scheduler.done([lane for lane, _ in taken])
                post.send()
        stepper.close()

    def _next(self) -> list[tuple[Lane, Row]]:
        """The next step's rows, once there are any; none when the engine closes."""
        with self._changed:
            while not self._closed:
                scheduler = self._scheduler
                if scheduler is not None and (taken := scheduler.take(self.clock())):
                    return taken
                self._changed.wait()
        return []

    def _step(self, stepper: Stepper, taken: list[tuple[Lane, Row]], post: Post) -> None:
        steps = [pair for pair in taken if pair[1].frames]
        for lane, row in taken:
            if not row.frames:  # nothing is left that the model has not heard
                self._deliver(stepper, lane, row, Outcome(), post)
        if not steps:
            return
        began = self.clock()
        outcomes = self._outcomes(stepper, [row for _, row in steps])
        self._count(len(steps), self.clock() - began)
        for (lane, row), outcome in zip(steps, outcomes, strict=True):
            self._deliver(stepper, lane, row, outcome, post)
        if all(outcome.error for outcome in outcomes):
            self._broken += 1
            if self._broken >= BROKEN_AFTER:
                self._give_up(outcomes[0].error)
        else:
            self._broken = 0

    def _outcomes(self, stepper: Stepper, rows: Sequence[Row]) -> Sequence[Outcome]:
        """All rows in one step; if it breaks, each alone, so that only the row at fault pays."""
        try:
            return stepper.step(rows)
        except Exception as error:
            if len(rows) == 1:
                log.warning("a step failed", error=str(error))
                return [Outcome(error=f"the model's step failed: {error}")]
            self.counts["batches_retried"] += 1
            log.warning("a step failed; its streams are tried one by one", batch=len(rows), error=str(error))
        return [outcome for row in rows for outcome in self._outcomes(stepper, [row])]

    def _deliver(self, stepper: Stepper, lane: Lane, row: Row, outcome: Outcome, post: Post) -> None:
        utterance = row.utterance
        if outcome.error:
            self.counts["streams_reset"] += 1
            self._reset(stepper, row.slot)
        with self._changed:
            if utterance.over:  # cancelled, or its caller has hung up, while the step ran
                return
            if (outcome.error or row.work is Work.FINAL) and self._scheduler is not None:
                self._scheduler.finish(lane, utterance)
        if outcome.error:
            utterance.listener.failed(utterance, EngineFailed(outcome.error), post)
        else:
            utterance.listener.heard(utterance, row.work, outcome.tokens, post)

    def _reset(self, stepper: Stepper, slot: int) -> None:
        try:
            stepper.reset(slot)
        except Exception as error:
            log.warning("a slot could not be reset", slot=slot, error=str(error))

    def _fail_all(self, taken: list[tuple[Lane, Row]], reason: str, post: Post) -> None:
        for lane, row in taken:
            with self._changed:
                over = row.utterance.over
                if self._scheduler is not None:
                    self._scheduler.finish(lane, row.utterance)
            if not over:
                row.utterance.listener.failed(row.utterance, EngineFailed(reason), post)

    def _give_up(self, reason: str) -> None:
        """A device that fails every step will not recover inside this process."""
        with self._changed:
            self._error = EngineFailed(f"{BROKEN_AFTER} steps in a row failed: {reason}")
        log.error("the recogniser takes no more streams", reason=reason)

    def _count(self, rows: int, seconds: float) -> None:
        self.counts["steps"] += 1
        self.counts["rows"] += rows
        self.counts["step_milliseconds"] += round(seconds * 1000)
        self.counts["largest_batch"] = max(self.counts["largest_batch"], rows)
        self.counts["longest_step_milliseconds"] = max(
            self.counts["longest_step_milliseconds"], round(seconds * 1000)
        )
