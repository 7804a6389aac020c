"""The data channel `offhook`: what a page is told while it calls, and what it may say beside its voice.

JSON texts, each with a `type`; README.md lists them. A page that does not know a type passes over it, and so
do we: the version changes only when a type changes its meaning.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any

from gateway.calls.call_events import CallEvent, HoldChanged, KeyPressed, TransferChanged
from gateway.calls.timings import BargeInTimings, TurnTimings
from gateway.calls.turn_events import Phase
from media.dtmf import is_digit
from media.legs.base import EndReason
from media.legs.webrtc import CHANNEL, WebRtcLeg

VERSION = 1
_MOST_EARLY = 100
"""Messages kept for a channel that is not open yet."""
_MOST_DIGITS = 32
"""Keys in one message."""


class PageChannel:
    """One call's channel: a `CallChannel`."""

    def __init__(self, leg: WebRtcLeg, now: Callable[[], float]) -> None:
        """`now`: the running loop's time."""
        self._leg = leg
        self._now = now
        self._began = now()
        self._open = False
        self._early: deque[str] = deque(maxlen=_MOST_EARLY)

    def opened(self, label: str) -> None:
        """See `TextListener.opened`."""
        if label != CHANNEL or self._open:
            return
        self._open = True
        leg = self._leg
        self._tell("hello", version=VERSION, call_id=leg.leg_id, codec=leg.offer.codec.name)
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
            self._do(message)

    def answered(self, codec: str) -> None:
        """Audio flows both ways, and somebody is there."""
        self._tell("answered", codec=codec)

    def phase(self, phase: Phase, at_ms: int) -> None:
        """Somebody else has the floor."""
        self._tell("phase", phase=str(phase))

    def words(self, text: str, *, is_final: bool) -> None:
        """The caller's words so far, or his whole turn."""
        self._tell("transcript", who="caller", text=text, final=is_final)

    def saying(self, reply: int, sentence: str) -> None:
        """A sentence of a reply is queued."""
        self._tell("transcript", who="agent", text=sentence, final=True, reply=reply)

    def barged_in(self, timings: BargeInTimings) -> None:
        """The caller silenced a reply."""
        self._tell("barge_in", stop_ms=round(timings.stop * 1000))

    def timed(self, timings: TurnTimings) -> None:
        """A turn's ledger is complete."""
        if shares := timings.shares():
            hops = {str(hop): round(seconds * 1000) for hop, seconds in shares.items()}
            self._tell("latency", turn=timings.turn, total_ms=round(timings.total * 1000), hops=hops)

    def happened(self, event: CallEvent) -> None:
        """Something beside the conversation."""
        match event:
            case KeyPressed(digit=digit):
                self._tell("digits", who="caller", digits=digit)
            case HoldChanged(on=on, by_us=by_us):
                self._tell("hold", on=on, by_us=by_us)
            case TransferChanged(kind=kind, state=state):
                self._tell("transfer", kind=kind, state=state)

    def _do(self, message: dict[str, Any]) -> None:
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
                named = message.get("id")
                self._tell("pong", id=named if isinstance(named, int | str) else None)

    def _tell(self, type_: str, **fields: object) -> None:
        at_ms = round((self._now() - self._began) * 1000)
        text = json.dumps({"type": type_, "at_ms": at_ms, **fields}, separators=(",", ":"))
        if self._open:
            self._leg.send_text(CHANNEL, text)
        else:
            self._early.append(text)
