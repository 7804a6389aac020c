"""Tells admission what turns take of our own: all but the agent's time and the pause that ends a turn."""

from __future__ import annotations

from gateway.calls.timings import Hop, TurnTimings
from gateway.control.admission import Admission
from gateway.observers import SilentObserver

_NOT_OURS = frozenset({Hop.AGENT, Hop.ENDPOINT})


class LoadWatch(SilentObserver):
    """Watches every call."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def timed(self, call_id: str, timings: TurnTimings) -> None:
        if shares := timings.shares():
            self._admission.turn(sum(share for hop, share in shares.items() if hop not in _NOT_OURS))
