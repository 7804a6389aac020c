"""The data channel `offhook`: what a page is told while it calls, and what it may say beside its voice.

JSON texts, each with a `type`; README.md lists them. A page that does not know a type passes over it, and so
do we: the version changes only when a type changes its meaning.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any

import structlog

from gateway.calls.call_events import CallEvent, HoldChanged, KeyPressed, TransferChanged
from gateway.calls.record import CallRecord
from gateway.calls.timings import BargeInTimings, TurnTimings
from gateway.calls.turn_events import Phase
from gateway.observers import SilentObserver
from media.dtmf import is_digit
from media.legs.base import EndReason
from media.legs.webrtc import CHANNEL, WebRtcLeg

log = structlog.get_logger(__name__)

VERSION = 1
_MOST_EARLY = 100
"""Messages kept for a channel that is not open yet."""
_MOST_DIGITS = 32
"""Keys in one message."""


class PageChannel:
    """One call's channel: `TextListener` of its leg."""

    def __init__(self, leg: WebRtcLeg) -> None:
        self._leg = leg
        self._open = False
        self._early: deque[str] = deque(maxlen=_MOST_EARLY)

    def tell(self, type_: str, **fields: object) -> None:
        """Tell the page something."""
        text = json.dumps({"type": type_, **fields}, separators=(",", ":"))
        if self._open:
            self._leg.send_text(CHANNEL, text)
        else:
            self._early.append(text)

    def opened(self, label: str) -> None:
        """See `TextListener.opened`."""
        if label != CHANNEL or self._open:
            return
        self._open = True
        leg = self._leg
        self.tell("hello", version=VERSION, call_id=leg.leg_id, codec=leg.offer.codec.name)
        while self._early:
            leg.send_text(CHANNEL, self._early.popleft())

    def text(self, label: str, text: str) -> None:
        """See `TextListener.text`: what we do not understand is passed over."""
        if label != CHANNEL:
            return
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            return
        if isinstance(message, dict):
            self._obey(message)

    def _obey(self, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "digits":
                digits = message.get("digits")
                if isinstance(digits, str) and len(digits) <= _MOST_DIGITS and all(map(is_digit, digits)):
                    self._leg.press(digits)
            case "mute":
                self._leg.mute(message.get("on") is True)
            case "hangup":
                self._leg.hang_up_by_page(EndReason.CALLER_HUNG_UP)
            case "ping":
                self.tell("pong", id=message.get("id") if isinstance(message.get("id"), int | str) else None)


class PageChannels(SilentObserver):
    """Follows every call, and tells the pages of those that have one."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now`: the running loop's time."""
        self._now = now
        self._channels: dict[str, tuple[PageChannel, float]] = {}

    def add(self, leg: WebRtcLeg) -> None:
        """A page calls."""
        channel = PageChannel(leg)
        leg.texts = channel
        self._channels[leg.leg_id] = (channel, self._now())

    def remove(self, call_id: str) -> None:
        """Its call is over. Idempotent."""
        self._channels.pop(call_id, None)

    def answered(self, call_id: str, codec: str, sample_rate: int) -> None:
        self._tell(call_id, "answered", codec=codec)

    def phase(self, call_id: str, phase: Phase, at: float) -> None:
        self._tell(call_id, "phase", phase=str(phase))

    def words(self, call_id: str, text: str, *, is_final: bool) -> None:
        self._tell(call_id, "transcript", who="caller", text=text, final=is_final)

    def saying(self, call_id: str, reply: int, sentence: str) -> None:
        self._tell(call_id, "transcript", who="agent", text=sentence, final=True, reply=reply)

    def barged_in(self, call_id: str, timings: BargeInTimings) -> None:
        self._tell(call_id, "barge_in", stop_ms=round(timings.stop * 1000))

    def timed(self, call_id: str, timings: TurnTimings) -> None:
        if shares := timings.shares():
            hops = {str(hop): round(seconds * 1000) for hop, seconds in shares.items()}
            self._tell(call_id, "latency", turn=timings.turn, total_ms=round(timings.total * 1000), hops=hops)

    def happened(self, call_id: str, event: CallEvent) -> None:
        match event:
            case KeyPressed(digit=digit):
                self._tell(call_id, "digits", who="caller", digits=digit)
            case HoldChanged(on=on, by_us=by_us):
                self._tell(call_id, "hold", on=on, by_us=by_us)
            case TransferChanged(kind=kind, state=state):
                self._tell(call_id, "transfer", kind=kind, state=state)

    def ended(self, record: CallRecord) -> None:
        self.remove(record.call_id)

    def _tell(self, call_id: str, type_: str, **fields: object) -> None:
        if found := self._channels.get(call_id):
            channel, began = found
            channel.tell(type_, at_ms=round((self._now() - began) * 1000), **fields)
