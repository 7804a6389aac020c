"""Which streams the next step advances: every one that has a chunk, oldest deadline first.

Streams join and leave between any two steps. A stream's own work runs in order, one piece per step; nothing
else ties it to its neighbours. Pure: no thread, no clock and no model; time comes in as an argument.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Sequence

from engines.base import EngineBusy, EngineError
from engines.nemo.geometry import Geometry
from engines.nemo.hot_words import HotWords
from engines.nemo.utterance import Listener, Row, Utterance
from media.frame import Pcm

MOST_UTTERANCES = 16
"""Of one stream, without their finals; beyond it the engine is hopelessly behind."""
LATE_MEMORY = 5.0
"""Seconds for which a late step speaks for the load."""


class Lane:
    """One stream's place: a slot of the model's state, and its utterances in order."""

    __slots__ = ("slot", "utterances", "open", "running", "closed", "ticket", "rank")

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.utterances: deque[Utterance] = deque()
        """Those without their final."""
        self.open: Utterance | None = None
        """The one that takes sound."""
        self.running = False
        """A step has its state now."""
        self.closed = False
        self.ticket = 0
        """Number of its valid entry in the queue; 0: it has none."""
        self.rank = 0.0
        """Of that entry."""


class Scheduler:
    """Admits streams, keeps their sound, and chooses each step's rows. Not thread-safe: its owner locks."""

    def __init__(
        self, geometry: Geometry, slots: int, max_batch: int, max_behind: float = 20.0, max_late: float = 0.5
    ) -> None:
        """`max_behind`: seconds of unheard sound that an utterance may have. `max_late`: see `open`."""
        self.geometry = geometry
        self.counts: Counter[str] = Counter()
        self.slots = slots
        self._free = list(reversed(range(slots)))
        self._max_batch = max_batch
        self._max_behind = max_behind
        self._max_late = max_late
        self._queue: list[tuple[float, int, Lane]] = []
        self._tickets = 0
        self._late: deque[tuple[float, float]] = deque(maxlen=1024)

    @property
    def streams(self) -> int:
        """Places taken, those included whose last step is still running."""
        return self.slots - len(self._free)

    @property
    def waiting(self) -> bool:
        """Whether `take` would give rows."""
        while self._queue and self._queue[0][2].ticket != self._queue[0][1]:
            heapq.heappop(self._queue)
        return bool(self._queue)

    def open(self, now: float) -> Lane:
        """Admit a stream. Raises `EngineBusy` when all slots are taken or steps were late lately."""
        if not self._free:
            self.counts["streams_refused_full"] += 1
            raise EngineBusy(f"all {self.slots} streams are in use")
        if (late := self.late(now)) > self._max_late:
            self.counts["streams_refused_late"] += 1
            raise EngineBusy(f"steps are {late:.2f} s late")
        self.counts["streams_opened"] += 1
        return Lane(self._free.pop())

    def close(self, lane: Lane) -> None:
        """Free the stream's slot, at once or when the step that has it returns. Idempotent."""
        if lane.closed:
            return
        lane.closed = True
        lane.ticket = 0
        lane.open = None
        for utterance in lane.utterances:
            utterance.drop()
        lane.utterances.clear()
        if not lane.running:
            self._free.append(lane.slot)

    def start(
        self, lane: Lane, number: int, listener: Listener, hot_words: HotWords | None = None
    ) -> Utterance:
        """Open an utterance, which takes the sound from now on. Raises `EngineBusy`."""
        if len(lane.utterances) >= MOST_UTTERANCES:
            self.counts["utterances_refused"] += 1
            raise EngineBusy(f"{len(lane.utterances)} utterances of this stream still wait to be heard")
        lane.open = Utterance(number, self.geometry, listener, hot_words)
        lane.utterances.append(lane.open)
        return lane.open

    def push(self, lane: Lane, pcm: Pcm, now: float) -> None:
        """Sound of the open utterance. Raises `EngineBusy`, and drops it, when too much waits unheard."""
        utterance = lane.open
        if utterance is None or utterance.over:
            self.counts["pushes_without_utterance"] += 1
            return
        if utterance.behind > self._max_behind:
            self.counts["utterances_too_far_behind"] += 1
            self.cancel(lane)
            raise EngineBusy(f"{self._max_behind:g} s of this utterance wait to be heard")
        utterance.push(pcm, now)
        self._enqueue(lane)

    def pause(self, lane: Lane, now: float) -> None:
        """Ask for a peek at the words so far."""
        if lane.open is not None:
            lane.open.paused = now
            self._enqueue(lane)

    def resume(self, lane: Lane) -> None:
        """Take that back, if the step has not begun."""
        if lane.open is not None:
            lane.open.paused = None
            self._enqueue(lane)

    def end(self, lane: Lane, now: float) -> None:
        """Close the open utterance: its final is owed."""
        utterance, lane.open = lane.open, None
        if utterance is not None:
            utterance.paused = None
            utterance.ended = now
            self._enqueue(lane)

    def cancel(self, lane: Lane) -> None:
        """Forget the open utterance."""
        utterance, lane.open = lane.open, None
        if utterance is not None:
            self.finish(lane, utterance)

    def finish(self, lane: Lane, utterance: Utterance) -> None:
        """The utterance is over, in whatever way; what follows it may run."""
        utterance.drop()
        if utterance is lane.open:
            lane.open = None
        if utterance in lane.utterances:
            lane.utterances.remove(utterance)
        self._enqueue(lane)

    def take(self, now: float) -> list[tuple[Lane, Row]]:
        """The next step's rows, at most `max_batch`; each lane is then running until `done`."""
        taken: list[tuple[Lane, Row]] = []
        while len(taken) < self._max_batch and self.waiting:
            lane = heapq.heappop(self._queue)[2]
            lane.ticket = 0
            lane.running = True
            row = lane.utterances[0].take(lane.slot)
            taken.append((lane, row))
        if taken:
            self._late.append((now, max(now - row.ready for _, row in taken)))
        return taken

    def done(self, lanes: Sequence[Lane]) -> None:
        """The step that had these lanes is over, well or not."""
        for lane in lanes:
            lane.running = False
            if lane.closed:
                self._free.append(lane.slot)
            else:
                self._enqueue(lane)

    def late(self, now: float) -> float:
        """Seconds that the unluckiest row waited for its step, lately or now."""
        waited = [late for at, late in self._late if now - at < LATE_MEMORY]
        if self.waiting:
            lane = self._queue[0][2]
            waited.append(now - lane.utterances[0].due())
        return max(waited, default=0.0)

    def _enqueue(self, lane: Lane) -> None:
        """Put the lane where its oldest work belongs; its earlier entry, if any, is void."""
        head = lane.utterances[0] if lane.utterances else None
        if lane.closed or lane.running or head is None or head.work() is None:
            lane.ticket = 0
            return
        rank = self.rank(head)
        if lane.ticket and lane.rank == rank:
            return
        self._tickets += 1
        lane.ticket, lane.rank = self._tickets, rank
        heapq.heappush(self._queue, (rank, self._tickets, lane))

    def rank(self, utterance: Utterance) -> float:
        """Who goes first when there is no room for all: the lowest. The oldest deadline."""
        return utterance.due()


def fits(batch: int, buckets: Sequence[int]) -> int:
    """The smallest bucket that holds the batch. Raises `EngineError` where none does."""
    for bucket in buckets:
        if bucket >= batch:
            return bucket
    raise EngineError(f"a batch of {batch} is larger than the largest bucket, {buckets[-1]}")
