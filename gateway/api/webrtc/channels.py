"""Follows every call, and tells those that came from a page, in each page's own words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.calls.call_events import CallEvent
from gateway.calls.record import CallRecord
from gateway.calls.timings import BargeInTimings, TurnTimings
from gateway.calls.turn_events import Phase
from gateway.observers import SilentObserver
from media.legs.webrtc import WebRtcLeg


class CallChannel(Protocol):
    """One way to tell a page of its call, and to hear it: a `media.legs.webrtc.TextListener` too."""

    def opened(self, label: str) -> None: ...

    def text(self, label: str, text: str) -> None: ...

    def answered(self, codec: str) -> None: ...

    def phase(self, phase: Phase, at_ms: int) -> None: ...

    def words(self, text: str, *, is_final: bool) -> None: ...

    def saying(self, reply: int, sentence: str) -> None: ...

    def barged_in(self, timings: BargeInTimings) -> None: ...

    def timed(self, timings: TurnTimings) -> None: ...

    def happened(self, event: CallEvent) -> None: ...


class _All:
    """Several channels of one call, as one listener."""

    def __init__(self, channels: Sequence[CallChannel]) -> None:
        self._channels = channels

    def opened(self, label: str) -> None:
        for channel in self._channels:
            channel.opened(label)

    def text(self, label: str, text: str) -> None:
        for channel in self._channels:
            channel.text(label, text)


class PageChannels(SilentObserver):
    """A `SessionObserver` for all calls."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now`: the running loop's time."""
        self._now = now
        self._calls: dict[str, tuple[Sequence[CallChannel], float]] = {}

    def add(self, leg: WebRtcLeg, *channels: CallChannel) -> None:
        """A page calls, and is told over these."""
        leg.texts = _All(channels)
        self._calls[leg.leg_id] = (channels, self._now())

    def remove(self, call_id: str) -> None:
        """Its call is over. Idempotent."""
        self._calls.pop(call_id, None)

    def answered(self, call_id: str, codec: str, sample_rate: int) -> None:
        for channel in self._of(call_id):
            channel.answered(codec)

    def phase(self, call_id: str, phase: Phase, at: float) -> None:
        if call_id in self._calls:
            channels, began = self._calls[call_id]
            for channel in channels:
                channel.phase(phase, round((at - began) * 1000))

    def words(self, call_id: str, text: str, *, is_final: bool) -> None:
        for channel in self._of(call_id):
            channel.words(text, is_final=is_final)

    def saying(self, call_id: str, reply: int, sentence: str) -> None:
        for channel in self._of(call_id):
            channel.saying(reply, sentence)

    def barged_in(self, call_id: str, timings: BargeInTimings) -> None:
        for channel in self._of(call_id):
            channel.barged_in(timings)

    def timed(self, call_id: str, timings: TurnTimings) -> None:
        for channel in self._of(call_id):
            channel.timed(timings)

    def happened(self, call_id: str, event: CallEvent) -> None:
        for channel in self._of(call_id):
            channel.happened(event)

    def ended(self, record: CallRecord) -> None:
        self.remove(record.call_id)

    def _of(self, call_id: str) -> Sequence[CallChannel]:
        found = self._calls.get(call_id)
        return found[0] if found else ()
