"""From what happens in calls to the log of events."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from gateway.calls.call_events import CallEvent, KeyPressed, event_name
from gateway.calls.orders import OrderRefused
from gateway.calls.record import CallRecord
from gateway.calls.timings import BargeInTimings, TurnTimings
from gateway.control.event_log import EventLog
from gateway.observers import SilentObserver
from media.legs.base import Direction, Parties

_PRIVATE: Mapping[type[object], tuple[str, ...]] = {KeyPressed: ("digit",)}


class EventFeed(SilentObserver):
    """Writes every call's story into the log. Never waits, never raises into a call."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def began(self, call_id: str, direction: Direction, parties: Parties) -> None:
        """A call was admitted, or is about to be placed."""
        told = {
            "direction": str(direction),
            "caller": parties.caller,
            "called": parties.called,
            "trunk": parties.trunk,
        }
        self._log.append("call.began", call_id, told)

    def refused(self, call_id: str, direction: Direction, parties: Parties, reason: str, code: int) -> None:
        """A call was not taken, or may not be placed; nothing more comes about it."""
        told = {
            "direction": str(direction),
            "caller": parties.caller,
            "called": parties.called,
            "trunk": parties.trunk,
            "reason": reason,
            "sip_code": code,
        }
        self._log.append("call.refused", call_id, told)

    def denied(self, trunk: str, target: str, caller: str, reason: str) -> None:
        """The guard forbade a call or a transfer."""
        told = {"trunk": trunk, "called": target, "caller": caller, "reason": reason}
        self._log.append("guard.denied", "", told)

    def order_done(self, call_id: str, order_id: str, order: str) -> None:
        """Somebody ordered something from outside, and it is done."""
        self._log.append("call.order_done", call_id, {"order_id": order_id, "order": order})

    def order_refused(self, call_id: str, order_id: str, order: str, refused: OrderRefused) -> None:
        """... and it could not be done."""
        told = {"order_id": order_id, "order": order, "why": refused.detail, "sip_code": refused.sip_code}
        self._log.append("call.order_refused", call_id, told)

    def answered(self, call_id: str, codec: str, sample_rate: int) -> None:
        self._log.append("call.answered", call_id, {"codec": codec, "sample_rate": sample_rate})

    def words(self, call_id: str, text: str, *, is_final: bool) -> None:
        if is_final:
            self._log.append("call.words", call_id, private={"text": text}, only_private=True)

    def saying(self, call_id: str, reply: int, sentence: str) -> None:
        self._log.append("call.saying", call_id, {"reply": reply}, {"text": sentence}, only_private=True)

    def barged_in(self, call_id: str, timings: BargeInTimings) -> None:
        self._log.append("call.interrupted", call_id, {"stop_ms": _ms(timings.stop)})

    def timed(self, call_id: str, timings: TurnTimings) -> None:
        hops = {str(hop): _ms(share) for hop, share in timings.shares().items()}
        self._log.append("call.turn", call_id, {"turn_ms": _ms(timings.total), "hops_ms": hops})

    def happened(self, call_id: str, event: CallEvent) -> None:
        data = {f.name: getattr(event, f.name) for f in dataclasses.fields(event) if f.name != "at"}
        private = {name: data.pop(name) for name in _PRIVATE.get(type(event), ())}
        self._log.append(f"call.{event_name(event)}", call_id, data, private)

    def ended(self, record: CallRecord) -> None:
        told: dict[str, Any] = {
            "direction": str(record.direction),
            "caller": record.parties.caller,
            "called": record.parties.called,
            "trunk": record.parties.trunk,
            "route": record.route,
            "reason": str(record.end_reason),
            "sip_code": record.sip_code,
            "seconds": round(record.duration, 3),
            "turns": len(record.turns),
        }
        self._log.append("call.ended", record.call_id, told)


def _ms(seconds: float) -> float | None:
    return None if math.isnan(seconds) else round(seconds * 1000, 1)
