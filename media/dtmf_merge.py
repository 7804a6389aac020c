"""One key out of all that a peer sends about one press: RTP events, INFO and tones, in many copies."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

WINDOW = 1.0
"""Seconds between two kinds of news of one press; RTP events keep a press alive while it lasts."""
_REMEMBERED = 16


class KeyKind(StrEnum):
    """How a key came."""

    RTP = "rtp"
    """Events (RFC 4733)."""
    INFO = "info"
    """SIP INFO with application/dtmf-relay or application/dtmf."""
    INBAND = "inband"
    """Heard in the audio."""


@dataclass(slots=True)
class _Press:
    """One press that was told, and by what else it was heard of."""

    digit: str
    kind: KeyKind
    stamp: int
    at: float
    also: set[KeyKind] = field(default_factory=set)


class KeyMerger:
    """Tells each press once. Pure; times in seconds, never backwards by more than a packet's delay.

    RTP events are told apart by their timestamp alone (RFC 4733 section 2.5.1.2): neither the marker bit nor
    the end packets are needed, and a packet that comes late is no new key. News of another kind belongs to a
    press of the same digit that is less than a second old and has had none of that kind yet.
    """

    def __init__(self) -> None:
        self.repeated = 0
        """News that told of a press already told, by another kind."""
        self._presses: deque[_Press] = deque(maxlen=_REMEMBERED)

    def press(self, kind: KeyKind, digit: str, at: float, *, stamp: int = 0, seconds: float = 0.0) -> bool:
        """Whether this is a press not told yet.

        `stamp` is the RTP timestamp of an event; `seconds` how long the press lasted, where that is said with
        it: such news comes at the press's end.
        """
        if kind is KeyKind.RTP and (known := self._event(digit, stamp)) is not None:
            known.at = max(known.at, at)
            return False
        for press in self._presses:
            fresh = at - press.at <= WINDOW + seconds
            if press.digit == digit and press.kind is not kind and kind not in press.also and fresh:
                press.also.add(kind)
                self.repeated += 1
                if kind is KeyKind.RTP:
                    press.stamp, press.at = stamp, at
                return False
        self._presses.append(_Press(digit, kind, stamp, at))
        return True

    def _event(self, digit: str, stamp: int) -> _Press | None:
        """The press that an event with this timestamp belongs to."""
        return next(
            (
                press
                for press in self._presses
                if press.stamp == stamp
                and press.digit == digit
                and (press.kind is KeyKind.RTP or KeyKind.RTP in press.also)
            ),
            None,
        )
