"""What remains of a call: who, when, what was said and heard, where the time went, why it ended."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from engines.base import Switch
from gateway.calls.call_events import CallEvent, KeyPressed, event_name
from gateway.calls.timings import BargeInTimings, Hop, Percentiles, TurnTimings
from media.legs.base import Direction, EndReason, Parties

SCHEMA = 1
"""Grows when a field changes its meaning or goes; new fields do not count."""
MOST_SWITCHES = 200
"""Changes of engine kept in a record."""
MOST_EVENTS = 500
"""Events beside the conversation kept in a record."""


@dataclass(slots=True)
class TurnRecord:
    """One turn of the caller and the reply to it; turn 0 is the greeting."""

    number: int
    said: str = ""
    """The caller's words."""
    dtmf: str = ""
    reply: str = ""
    """What the agent wanted to say, as far as it was received."""
    heard: str = ""
    """What the caller heard of it, cut at the word."""
    interrupted: bool = False
    timings: TurnTimings | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values; times in milliseconds."""
        timings = self.timings
        return {
            "number": self.number,
            "said": self.said,
            "dtmf": self.dtmf,
            "reply": self.reply,
            "heard": self.heard,
            "interrupted": self.interrupted,
            "turn_ms": _ms(timings.total) if timings is not None else None,
            "hops_ms": _hops_ms(timings.shares()) if timings is not None else {},
            "work_ms": _hops_ms(timings.own()) if timings is not None else {},
            "filler": timings.filled if timings is not None else False,
        }


@dataclass(slots=True)
class CallRecord:
    """One call. `as_json` is what is written, shown and sent to webhooks."""

    call_id: str
    direction: Direction
    parties: Parties
    """With the headers alone that the dialplan's matches name."""
    route: str
    """Name of the dialplan's route that took the call."""
    started: str
    """UTC, ISO 8601, given by whoever started the session."""
    codec: str = ""
    sample_rate: int = 0
    began: float = 0.0
    """Loop time at which the session began; `at_seconds` counts from here."""
    answered_after: float = math.nan
    """Seconds from the start of the session to the answer."""
    duration: float = 0.0
    """Seconds from the answer to the end; 0 for a call that was not answered."""
    end_reason: EndReason = EndReason.INTERNAL_ERROR
    sip_code: int = 0
    turns: list[TurnRecord] = field(default_factory=list)
    barge_ins: list[BargeInTimings] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    """What did not go straight, by name."""
    switches: list[Switch] = field(default_factory=list)
    """Changes of engine, in order; the first `MOST_SWITCHES` of them."""
    events: list[CallEvent] = field(default_factory=list)
    """What happened beside the conversation, in order; the first `MOST_EVENTS`. Keys are in the turns."""
    leg: dict[str, int | float | str] = field(default_factory=dict)
    """The leg's own counters."""

    def note(self, event: CallEvent) -> None:
        """Keep an event; what is too much is counted."""
        if isinstance(event, KeyPressed):
            return
        if len(self.events) < MOST_EVENTS:
            self.events.append(event)
        else:
            self.counts["events_dropped"] = self.counts.get("events_dropped", 0) + 1

    def note_switches(self, switches: Sequence[Switch]) -> None:
        """Keep the changes of engine; what is too much is counted."""
        self.switches = list(switches[:MOST_SWITCHES])
        if len(switches) > MOST_SWITCHES:
            self.counts["switches_dropped"] = len(switches) - MOST_SWITCHES

    def ledger(self) -> dict[str, Percentiles]:
        """Distribution over the call of each hop's share, of `turn` and of `barge_in`, in seconds."""
        timed = [turn.timings for turn in self.turns if turn.timings is not None]
        shares = [timings.shares() for timings in timed]
        columns: dict[str, list[float]] = {
            str(hop): [share[hop] for share in shares if hop in share] for hop in Hop
        }
        columns["turn"] = [timings.total for timings in timed if not math.isnan(timings.total)]
        columns["barge_in"] = [barge_in.stop for barge_in in self.barge_ins]
        spread = {name: Percentiles.of(values) for name, values in columns.items()}
        return {name: found for name, found in spread.items() if found is not None}

    def worst_turn(self) -> TurnRecord | None:
        """The turn the caller waited longest for."""
        timed = [turn for turn in self.turns if turn.timings and not math.isnan(turn.timings.total)]
        return max(timed, key=lambda turn: turn.timings.total if turn.timings else 0.0, default=None)

    def as_json(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`; times in milliseconds unless the name says seconds."""
        worst = self.worst_turn()
        return {
            "schema": SCHEMA,
            "call_id": self.call_id,
            "direction": str(self.direction),
            "parties": asdict(self.parties),
            "route": self.route,
            "started": self.started,
            "codec": self.codec,
            "sample_rate": self.sample_rate,
            "answered_after_ms": _ms(self.answered_after),
            "duration_seconds": round(self.duration, 3),
            "end_reason": str(self.end_reason),
            "sip_code": self.sip_code,
            "turns": [turn.as_json() for turn in self.turns],
            "barge_ins_ms": [{"duck": _ms(b.duck), "stop": _ms(b.stop)} for b in self.barge_ins],
            "ledger_ms": {
                name: {field: _ms(value) for field, value in asdict(spread).items()}
                for name, spread in self.ledger().items()
            },
            "worst_turn": worst.number if worst is not None else None,
            "switches": [self._switch(switch) for switch in self.switches],
            "events": [self._event(event) for event in self.events],
            "counts": dict(sorted(self.counts.items())),
            "leg": dict(self.leg),
        }

    def _event(self, event: CallEvent) -> dict[str, Any]:
        told = asdict(event)
        at = told.pop("at")
        return {"event": event_name(event), "at_seconds": round(at - self.began, 3), **told}

    def _switch(self, switch: Switch) -> dict[str, Any]:
        return {
            "kind": switch.kind,
            "from": switch.source,
            "to": switch.target,
            "why": switch.why,
            "at_seconds": round(switch.at - self.began, 3),
            "gap_ms": _ms(switch.gap),
        }


def _hops_ms(hops: Mapping[Hop, float]) -> dict[str, float | None]:
    return {str(hop): _ms(value) for hop, value in hops.items()}


def _ms(seconds: float) -> float | None:
    """Milliseconds to a tenth; None for what did not happen."""
    return None if math.isnan(seconds) else round(seconds * 1000, 1)
