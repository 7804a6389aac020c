"""Who may watch a call: metrics, the live terminal, recorders, webhooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from gateway.calls.call_events import CallEvent
from gateway.calls.record import CallRecord
from gateway.calls.timings import BargeInTimings, TurnTimings
from gateway.calls.turn_events import Phase

log = structlog.get_logger(__name__)


class SessionObserver(Protocol):
    """Told what happens, on the loop's thread, while the call waits: return at once, queue slow work."""

    def answered(self, call_id: str, codec: str, sample_rate: int) -> None:
        """Audio flows both ways."""

    def phase(self, call_id: str, phase: Phase, at: float) -> None:
        """Somebody else has the floor."""

    def words(self, call_id: str, text: str, *, is_final: bool) -> None:
        """The caller's words so far, or, final, his whole turn."""

    def saying(self, call_id: str, reply: int, sentence: str) -> None:
        """A sentence of a reply is queued for the caller."""

    def barged_in(self, call_id: str, timings: BargeInTimings) -> None:
        """The caller silenced a reply."""

    def timed(self, call_id: str, timings: TurnTimings) -> None:
        """A reply began to sound: the turn's ledger is complete."""

    def happened(self, call_id: str, event: CallEvent) -> None:
        """Something beside the conversation: a hold, a transfer, a key, a new stage."""

    def ended(self, record: CallRecord) -> None:
        """The call is over; nothing more comes about it."""


class Observers:
    """Tells all of them; one that raises is logged and does no harm to the call."""

    def __init__(self, observers: Sequence[SessionObserver]) -> None:
        self._observers = tuple(observers)

    def tell(self, what: Callable[[SessionObserver], None]) -> None:
        """Call `what` with each observer."""
        for observer in self._observers:
            try:
                what(observer)
            except Exception:
                log.exception("observer failed", observer=type(observer).__name__)
