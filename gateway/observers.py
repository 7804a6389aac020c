"""Who watches every call: the metrics. And a base for watchers that care about little."""

from __future__ import annotations

from gateway.calls.call_events import CallEvent
from gateway.calls.record import CallRecord
from gateway.calls.timings import BargeInTimings, TurnTimings
from gateway.calls.turn_events import Phase
from gateway.metrics import Metrics


class SilentObserver:
    """A `SessionObserver` that ignores everything; override what matters."""

    def answered(self, call_id: str, codec: str, sample_rate: int) -> None:
        """Audio flows both ways."""

    def phase(self, call_id: str, phase: Phase, at: float) -> None:
        """Somebody else has the floor."""

    def words(self, call_id: str, text: str, *, is_final: bool) -> None:
        """The caller's words so far, or his whole turn."""

    def saying(self, call_id: str, reply: int, sentence: str) -> None:
        """A sentence of a reply is queued."""

    def barged_in(self, call_id: str, timings: BargeInTimings) -> None:
        """The caller silenced a reply."""

    def timed(self, call_id: str, timings: TurnTimings) -> None:
        """A turn's ledger is complete."""

    def happened(self, call_id: str, event: CallEvent) -> None:
        """Something beside the conversation."""

    def ended(self, record: CallRecord) -> None:
        """The call is over."""


class MetricsObserver(SilentObserver):
    """Turns what happens in calls into metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def timed(self, call_id: str, timings: TurnTimings) -> None:
        hops = {str(hop): seconds for hop, seconds in timings.shares().items()}
        if hops:
            self._metrics.turns.observe({**hops, "turn": timings.total})
            self._metrics.turns.observe_work({str(hop): seconds for hop, seconds in timings.own().items()})

    def barged_in(self, call_id: str, timings: BargeInTimings) -> None:
        self._metrics.turns.observe({"barge_in": timings.stop})
