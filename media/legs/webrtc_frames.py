"""Frames and playout events of all browsers on their way from the WebRTC thread to the event loop.

Looks like the native frame bus to `FrameReader`: one wake-up, one array of frames for every leg of a tick,
one judgement of voice for all of them. Bounded: what a loop that stands still does not take is counted.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from media.legs.base import LegEvent, PlayoutDrained, PlayoutMark, PlayoutStarted
from media.legs.frame_reader import BusEvent
from media.legs.webrtc_ear import Heard

META = np.dtype([("leg", "<i4"), ("samples", "<i4"), ("pts", "<i8"), ("arrived_ns", "<i8"), ("flags", "<i4")])
"""One row beside each frame; `flags` as the native bus has them."""
_LOST, _DTX = 1, 2
_MOST_FRAMES = 8_192
"""Frames that wait: over a second of a hundred legs."""
_MOST_EVENTS = 8_192

STARTED, DRAINED, MARK = 0, 1, 2
"""Kinds of events."""


class FrameQueue:
    """Implements `media.legs.frame_reader.FrameSource`; written by one thread, read by another."""

    def __init__(self) -> None:
        self.dropped = 0
        """Frames thrown away because too many waited."""
        self._lock = threading.Lock()
        self._frames: deque[tuple[int, int, Heard]] = deque()
        self._events: deque[BusEvent] = deque(maxlen=_MOST_EVENTS)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """See `FrameSource.fileno`."""
        return self._wake

    def push(self, rows: Sequence[tuple[int, int, Heard]]) -> None:
        """Frames of one tick: leg, index of the first sample, and the frame. Wakes the reader."""
        with self._lock:
            room = _MOST_FRAMES - len(self._frames)
            self._frames.extend(rows[:room])
            self.dropped += max(0, len(rows) - room)
        self.wake()

    def post(self, leg: int, event: LegEvent) -> None:
        """Something happened to a leg's playout; told with the next wake-up."""
        match event:
            case PlayoutStarted(reply, at):
                told = (leg, STARTED, reply, 0, round(at * 1e9))
            case PlayoutDrained(reply, count, at):
                told = (leg, DRAINED, reply, count, round(at * 1e9))
            case PlayoutMark(reply, mark, at):
                told = (leg, MARK, reply, mark, round(at * 1e9))
            case _:
                return
        self._events.append(told)

    def wake(self) -> None:
        """Let the reader look."""
        os.eventfd_write(self._wake, 1)

    @property
    def untold(self) -> bool:
        """Whether events wait that no frame will bring along."""
        return bool(self._events)

    def poll(self, pcm: npt.NDArray[np.int16], meta: npt.NDArray[np.void]) -> int:
        """See `FrameSource.poll`."""
        with self._lock:
            count = min(len(self._frames), len(meta))
            rows = [self._frames.popleft() for _ in range(count)]
        for i, (leg, pts, heard) in enumerate(rows):
            size = len(heard.pcm)
            pcm[i, :size] = heard.pcm
            flags = _LOST * heard.lost | _DTX * heard.dtx
            meta[i] = (leg, size, pts, round(heard.arrived * 1e9), flags)
        return count

    def events(self) -> Sequence[BusEvent]:
        """See `FrameSource.events`."""
        found: list[BusEvent] = []
        while self._events:
            found.append(self._events.popleft())
        return found

    def close(self) -> None:
        """Give the file descriptor back, once nobody reads or writes any more."""
        os.close(self._wake)
