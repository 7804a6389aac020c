"""Whose turn it is on a GPU that many callers share: our scheduler against the usual two, in virtual time.

The scheduler is the real one; the model is a curve, a fixed cost per step (kernel launches) and a cost per
stream. It is assumed, not measured: give your GPU's with --step-ms and --row-ms. Callers speak utterances of
exponential length with pauses between them, so that starts and ends are Poisson, each on a phase of its own;
their chunks come when they come, whether the device keeps up or not. Arms:

  ours    every stream with a chunk joins the next step, which begins as soon as the device is free;
          oldest deadline first, and a final's deadline is near
  fifo    the same, but first come, first served
  fixed   first come, first served, in steps of one size, each waiting a bit to be whole

An arm carries a load when 99 of 100 chunks have their words in a quarter of a chunk, and 99 of 100 finals
wait for their step no longer than 5 ms.
"""

from __future__ import annotations

import argparse
import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.arguments import numbers
from benchmarks.report import Report, quantiles
from engines.base import EngineError
from engines.nemo.geometry import Geometry, fastconformer
from engines.nemo.scheduler import Lane, Scheduler
from engines.nemo.utterance import Post, Row, Utterance, Work
from engines.nemo.words import Token

UTTERANCE_S = 3.0
PAUSE_S = 3.0
"""Means. A caller of a voice agent speaks less than half of the time."""
SPEAKING = UTTERANCE_S / (UTTERANCE_S + PAUSE_S)
PATIENCE_S = 0.004
"""For which the arm `fixed` waits for a whole batch."""
LONGEST_WAIT = 0.005
"""Seconds that 99 of 100 finals may wait for their step."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Seconds of a step."""

    fixed: float
    row: float

    def of(self, rows: int) -> float:
        return self.fixed + self.row * rows


@dataclass
class Told:
    """What the callers of one run felt, in seconds."""

    chunks: list[float] = field(default_factory=list)
    """From a chunk's last sample to its words."""
    finals: list[float] = field(default_factory=list)
    """From an utterance's end to its final."""
    waits: list[float] = field(default_factory=list)
    """From an utterance's end to the step that hears its rest: the queueing alone."""
    batches: list[int] = field(default_factory=list)
    unheard: int = 0
    """Finals that were still owed when the run was over."""


class Nobody:
    """Serves `Listener`: only times matter here."""

    def heard(self, utterance: Utterance, work: Work, tokens: Sequence[Token], post: Post) -> None: ...

    def failed(self, utterance: Utterance, error: EngineError, post: Post) -> None: ...


class Fifo(Scheduler):
    """First come, first served."""

    def rank(self, utterance: Utterance) -> float:
        """When its work came up."""
        return utterance.since()


class Fixed(Fifo):
    """Waits for a whole batch, but not for ever."""

    def full(self, batch: int) -> bool:
        """Whether a whole batch is there."""
        return len(self._queue) >= batch

    @property
    def oldest(self) -> float:
        """When the work came up that waits the longest; only where there is some."""
        return self._queue[0][0]


ARMS: dict[str, type[Scheduler]] = {"ours": Scheduler, "fifo": Fifo, "fixed": Fixed}


@dataclass
class Caller:
    """One caller's plan: chunks of the open utterance, then its rest, then a pause."""

    lane: Lane
    chunks: int = 0
    rest: int = 0
    first: bool = True


class Simulation:
    """One arm at one load."""

    def __init__(
        self, arm: str, callers: int, cut: Geometry, curve: Curve, batch: int, seed: int = 1
    ) -> None:
        self._scheduler = ARMS[arm](cut, callers, batch, max_behind=1e9, max_late=1e9)
        self._cut, self._curve, self._batch = cut, curve, batch
        self._choose = random.Random(seed)
        self._events: list[tuple[float, int, Caller]] = []
        self._count = 0
        self._owed = 0
        self._sound = np.zeros(max(cut.need(True), cut.need(False)), np.int16)
        self.told = Told()
        for _ in range(callers):
            caller = Caller(self._scheduler.open(0.0))
            speaks = self._choose.random() < SPEAKING
            self._at(self._choose.random() * cut.chunk_seconds if speaks else self._pause(), caller)

    def run(self, seconds: float) -> Told:
        """Callers speak for so long, then stop where they are; the device gets a second more."""
        now, busy = 0.0, float("inf")
        running: list[tuple[Lane, Row]] = []
        while now < seconds + 1.0:
            if not running and self._begins(now) <= now:
                running = self._scheduler.take(now)
                busy = now + self._cost(len(running))
                self.told.batches.append(len(running))
                self.told.waits += [now - row.ready for _, row in running if row.work is Work.FINAL]
                continue
            arrival = self._events[0][0] if self._events else float("inf")
            now = min(arrival, busy, float("inf") if running else self._begins(now))
            if now == busy:
                self._finish(running, now)
                running, busy = [], float("inf")
            elif now == arrival:
                _, _, caller = heapq.heappop(self._events)
                if now < seconds:
                    self._speak(caller, now)
        self.told.unheard = self._owed
        return self.told

    def _begins(self, now: float) -> float:
        """When the next step should begin, as things are."""
        scheduler = self._scheduler
        if not scheduler.waiting:
            return float("inf")
        if isinstance(scheduler, Fixed) and not scheduler.full(self._batch):
            return max(now, scheduler.oldest + PATIENCE_S)
        return now

    def _cost(self, rows: int) -> float:
        return self._curve.of(self._batch if isinstance(self._scheduler, Fixed) else rows)

    def _pause(self) -> float:
        return self._choose.expovariate(1 / PAUSE_S)

    def _at(self, when: float, caller: Caller) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, caller))

    def _speak(self, caller: Caller, now: float) -> None:
        """The next thing of this caller: a chunk is complete, the utterance ends, or a new one begins."""
        cut, lane = self._cut, caller.lane
        if lane.open is None:
            length = self._choose.expovariate(1 / UTTERANCE_S) * cut.sample_rate
            self._scheduler.start(lane, 1, Nobody())
            caller.first = True
            caller.chunks = max(0, int((length - cut.need(True)) // cut.need(False)) + 1)
            caller.rest = self._choose.randrange(cut.need(False)) if caller.chunks else int(length)
        elif caller.chunks:
            self._scheduler.push(lane, self._sound[: cut.need(caller.first)], now)
            caller.first = False
            caller.chunks -= 1
        else:
            if caller.rest:
                self._scheduler.push(lane, self._sound[: min(caller.rest, cut.need(caller.first) - 1)], now)
            self._scheduler.end(lane, now)
            self._owed += 1
            self._at(now + self._pause(), caller)
            return
        samples = cut.need(caller.first) if caller.chunks else caller.rest
        self._at(now + samples / cut.sample_rate, caller)

    def _finish(self, running: list[tuple[Lane, Row]], now: float) -> None:
        for lane, row in running:
            if row.work is Work.FINAL:
                self._owed -= 1
                self.told.finals.append(now - row.ready)
                self._scheduler.finish(lane, row.utterance)
            else:
                self.told.chunks.append(now - row.ready)
        self._scheduler.done([lane for lane, _ in running])


def carries(told: Told, limit: float) -> bool:
    """Whether callers at this load are served: chunks in time, finals without queueing, none forgotten."""
    chunks, waits = quantiles(told.chunks, 0.99)[0], quantiles(told.waits, 0.99)[0]
    return chunks <= limit and waits <= LONGEST_WAIT and told.unheard == 0


def capacity(arm: str, cut: Geometry, curve: Curve, batch: int, seconds: float, most: int) -> int:
    """The most callers that the arm carries: chunk to words within a quarter of a chunk, and so on."""
    low, high = 0, most
    while high - low > max(10, low // 50):
        middle = (low + high) // 2
        told = Simulation(arm, middle, cut, curve, batch).run(seconds)
        low, high = (middle, high) if carries(told, cut.chunk_seconds / 4) else (low, middle)
    return low


def run(chunk_ms: int, curve: Curve, batch: int, loads: Sequence[int], seconds: float) -> int:
    report = Report(
        "asr_schedule",
        ("arm", "callers", "batch p50", "chunk to words p50 ms", "p99", "final p50 ms", "p95", "p99",
         "final's wait p99", "unheard"),
    )  # fmt: skip
    cut = fastconformer(chunk_ms // 80 - 1)
    report.note(
        f"assumed, not measured: a step takes {curve.fixed * 1000:g} ms and {curve.row * 1000:g} a stream; "
        f"chunks of {chunk_ms} ms, batches of {batch} at most; {seconds:g} s of virtual time"
    )
    ceiling = int(batch / curve.of(batch) * cut.chunk_seconds / SPEAKING)
    report.note(f"the device could do {ceiling} callers if every step were full")
    best = {arm: capacity(arm, cut, curve, batch, seconds, ceiling) for arm in ARMS}
    report.details["capacity"] = best
    full = best["ours"]
    pairs = [(arm, load) for load in [*loads, full] for arm in ARMS]
    told = {(arm, load): Simulation(arm, load, cut, curve, batch).run(seconds) for arm, load in pairs}
    for (arm, load), felt in told.items():
        _tell(report, arm, load, felt)
    for arm in ("fifo", "fixed"):
        what = f"callers carried: {full} by ours, {best[arm]} by {arm}"
        report.bar(what, full / max(best[arm], 1), 1.0, "times", at_least=True)
    report.bar("callers carried of those that the device could do", full / ceiling, 0.85, at_least=True)
    finals = told["ours", full].finals
    for share, limit in ((0.95, 15.0), (0.99, 30.0)):
        report.bar(
            f"final p{share * 100:.0f} at {full} callers", quantiles(finals, share)[0] * 1000, limit, "ms"
        )
    wait = {arm: quantiles(told[arm, full].waits, 0.99)[0] for arm in ARMS}
    report.bar(f"final's wait p99 at {full} callers", wait["ours"] * 1000, LONGEST_WAIT * 1000, "ms")
    report.bar(
        "the same, first come first served, times ours", wait["fifo"] / wait["ours"], 1.0, at_least=True
    )
    return report.finish()


def _tell(report: Report, arm: str, load: int, told: Told) -> None:
    chunks = [value * 1000 for value in quantiles(told.chunks, 0.5, 0.99)]
    finals = [value * 1000 for value in quantiles(told.finals, 0.5, 0.95, 0.99)]
    wait = quantiles(told.waits, 0.99)[0] * 1000
    report.row(arm, load, quantiles(told.batches, 0.5)[0], *chunks, *finals, wait, told.unheard)


def main() -> int:
    arguments = argparse.ArgumentParser(
        prog="python -m benchmarks.asr_schedule",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("--chunk-ms", type=int, default=160)
    arguments.add_argument(
        "--step-ms", type=float, default=2.0, help="fixed cost of a step; with CUDA graphs"
    )
    arguments.add_argument("--row-ms", type=float, default=0.03, help="cost of each stream in it")
    arguments.add_argument("--batch", type=int, default=64, help="streams of a step at most")
    arguments.add_argument("--callers", type=numbers, default=[100, 1000], help="loads to show besides")
    arguments.add_argument("--seconds", type=float, default=20.0, help="of virtual time for each run")
    chosen = arguments.parse_args()
    curve = Curve(chosen.step_ms / 1000, chosen.row_ms / 1000)
    return run(chosen.chunk_ms, curve, chosen.batch, chosen.callers, chosen.seconds)


if __name__ == "__main__":
    raise SystemExit(main())
