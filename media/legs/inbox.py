"""What comes from a leg before anybody listens, kept in order and in bounds."""

from __future__ import annotations

from collections import deque

from media.frame import AudioFrame, Voice
from media.legs.base import LegAnswered, LegClosed, LegEvent, LegListener

_WAITING_FRAMES = 100
"""Frames kept for a listener that is not attached yet: two seconds; older ones are dropped and counted."""
_WAITING_EVENTS = 256


class Inbox:
    """Holds what comes before a listener is attached, then hands everything straight on."""

    def __init__(self) -> None:
        self.dropped = 0
        self._watchers: list[LegListener] = []
        """Told everything first, and at once."""
        self._listener: LegListener | None = None
        self._closed: LegClosed | None = None
        """Told again to whoever comes later."""
        self._frames: deque[tuple[AudioFrame, Voice]] = deque(maxlen=_WAITING_FRAMES)
        self._events: deque[LegEvent] = deque(maxlen=_WAITING_EVENTS)

    def attach(self, listener: LegListener) -> None:
        """Deliver what waited, then all else at once. Events come before frames, but for the closing."""
        self._listener = listener
        for event in self._events:
            if not isinstance(event, LegClosed):
                listener.notice(event)
        for frame, voice in self._frames:
            listener.hear(frame, voice)
        self._events.clear()
        self._frames.clear()
        if self._closed is not None:
            listener.notice(self._closed)

    def watch(self, watcher: LegListener) -> None:
        """Tell one more what waits, and all else at once."""
        for event in self._events:
            watcher.notice(event)
        self._watchers.append(watcher)

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        """One frame."""
        for watcher in self._watchers:
            watcher.hear(frame, voice)
        if self._listener is not None:
            self._listener.hear(frame, voice)
            return
        self.dropped += len(self._frames) == _WAITING_FRAMES
        self._frames.append((frame, voice))

    def notice(self, event: LegEvent) -> None:
        """One event."""
        if isinstance(event, LegClosed):
            self._closed = event
        for watcher in self._watchers:
            watcher.notice(event)
        if self._listener is not None:
            self._listener.notice(event)
            return
        if isinstance(event, LegAnswered):
            self._frames.clear()  # ringing, and what else was heard before somebody was there
        self._events.append(event)
