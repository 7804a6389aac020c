"""The calls of this moment, as an operator wants to see them: who talks with whom, since when, who speaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.calls.call_events import CallEvent, HoldChanged, Ringing, RouteTaken, StageBegan
from gateway.calls.record import CallRecord
from gateway.calls.turn_events import Phase
from gateway.observers import SilentObserver
from media.legs.base import Direction, Parties

ARRIVING = "arriving"
"""No route yet, or a call of ours that does not ring yet."""
RINGING = "ringing"
ANNOUNCING = "announcing"
"""Something is played or said before a conversation, or instead of one."""


@dataclass(slots=True)
class _LiveCall:
    direction: Direction
    parties: Parties
    began: float
    route: str = ""
    agent: str = ""
    codec: str = ""
    phase: str = ARRIVING
    stage: str = ""
    held_by_us: bool = False
    held_by_them: bool = False
    turns: int = 0


class LiveCalls(SilentObserver):
    """Follows every call from its admission to its end. No words, no keys, no network address."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now`: the running loop's time."""
        self._now = now
        self._calls: dict[str, _LiveCall] = {}

    def began(self, call_id: str, direction: Direction, parties: Parties) -> None:
        """A call was admitted."""
        self._calls[call_id] = _LiveCall(direction, parties, self._now())

    def routed(self, call_id: str, route: str) -> None:
        """The dialplan knows what to do with it."""
        if call := self._calls.get(call_id):
            call.route = route
            call.phase = RINGING

    def announcing(self, call_id: str) -> None:
        """It was answered by no agent yet."""
        if call := self._calls.get(call_id):
            call.phase = ANNOUNCING

    def connected(self, call_id: str, agent: str) -> None:
        """It talks with an agent from here."""
        if call := self._calls.get(call_id):
            call.agent = agent
            if call.codec:
                call.phase = Phase.LISTENING

    def answered(self, call_id: str, codec: str, sample_rate: int) -> None:
        if call := self._calls.get(call_id):
            call.codec = codec
            call.phase = Phase.LISTENING if call.agent else ANNOUNCING

    def phase(self, call_id: str, phase: Phase, at: float) -> None:
        if call := self._calls.get(call_id):
            call.phase = phase

    def words(self, call_id: str, text: str, *, is_final: bool) -> None:
        if is_final and (call := self._calls.get(call_id)):
            call.turns += 1

    def happened(self, call_id: str, event: CallEvent) -> None:
        if (call := self._calls.get(call_id)) is None:
            return
        match event:
            case Ringing() if call.phase == ARRIVING:
                call.phase = RINGING
            case RouteTaken(route=route):
                call.route = route
            case StageBegan(stage=stage):
                call.stage = stage
            case HoldChanged(on=on, by_us=True):
                call.held_by_us = on
            case HoldChanged(on=on):
                call.held_by_them = on

    def ended(self, record: CallRecord) -> None:
        self.gone(record.call_id)

    def gone(self, call_id: str) -> None:
        """It is over. Idempotent."""
        self._calls.pop(call_id, None)

    def facts(self, call_id: str) -> dict[str, str]:
        """What other nodes may know of a call: nothing of its parties."""
        call = self._calls.get(call_id)
        if call is None:
            return {}
        told = {
            "direction": str(call.direction),
            "route": call.route,
            "agent": call.agent,
            "codec": call.codec,
        }
        return {name: value for name, value in told.items() if value}

    def views(self) -> list[dict[str, Any]]:
        """Every running call, the oldest first."""
        now = self._now()
        return [
            {
                "call_id": call_id,
                "direction": str(call.direction),
                "caller": call.parties.caller,
                "called": call.parties.called,
                "trunk": call.parties.trunk,
                "route": call.route,
                "agent": call.agent,
                "phase": str(call.phase),
                "stage": call.stage,
                "held_by_us": call.held_by_us,
                "held_by_them": call.held_by_them,
                "codec": call.codec,
                "turns": call.turns,
                "seconds": round(now - call.began, 1),
            }
            for call_id, call in self._calls.items()
        ]
