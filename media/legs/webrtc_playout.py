"""A leg's playout that two threads share: the session writes, the clock of the WebRTC thread pulls."""

from __future__ import annotations

import threading
from collections.abc import Callable

from media.frame import Pcm
from media.legs.base import LegEvent
from media.playout import QueuePlayout


class SharedPlayout:
    """Implements `media.legs.base.Playout`; the lock is held for a copy of samples, never for work."""

    def __init__(self, sample_rate: int, post: Callable[[LegEvent], None]) -> None:
        """`post` hears of starts, marks and ends on the thread that pulls."""
        self._lock = threading.Lock()
        self._queue = QueuePlayout(sample_rate, post)
        self._open = True

    @property
    def waiting(self) -> bool:
        """Whether a pull would give sound, or has something to tell."""
        return self._queue.busy

    def write(self, pcm: Pcm, reply: int) -> int:
        """See `Playout.write`."""
        with self._lock:
            return self._queue.write(pcm, reply) if self._open else 0

    def mark(self, mark: int) -> None:
        """See `Playout.mark`."""
        with self._lock:
            self._queue.mark(mark)

    def finish(self) -> None:
        """See `Playout.finish`."""
        with self._lock:
            self._queue.finish()

    def clear(self) -> int:
        """See `Playout.clear`."""
        with self._lock:
            return self._queue.clear()

    def position(self) -> int:
        """See `Playout.position`."""
        with self._lock:
            return self._queue.position()

    def duck(self, gain: float, ramp_ms: int = 20) -> None:
        """See `Playout.duck`."""
        with self._lock:
            self._queue.duck(gain, ramp_ms)

    def pull(self, now: float) -> Pcm | None:
        """The next frame, or None where there is nothing to say."""
        if not self._queue.busy:
            return None
        with self._lock:
            return self._queue.pull(now)

    def shut(self) -> None:
        """The leg is over: nothing is taken any more; how much was heard stays known."""
        with self._lock:
            self._open = False
            self._queue.clear()

    def counts(self) -> dict[str, int]:
        """Samples sent and refused."""
        with self._lock:
            return {"samples_sent": self._queue.sent, "samples_refused": self._queue.refused}
