"""Two plans beside each other: where calls that were recorded would go with the one and with the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gateway.dialplan.match import Arrival
from gateway.dialplan.order import targets
from gateway.dialplan.plan import Dialplan
from gateway.dialplan.steps import walk
from gateway.errors import DialplanError, verdict
from media.legs.base import Direction, Parties


@dataclass(frozen=True, slots=True)
class PastCall:
    """A call as a record tells of it."""

    call_id: str
    arrival: Arrival

    def unknown(self, *plans: Dialplan) -> frozenset[str]:
        """Headers that these plans ask for and the record does not tell of; judged as if none had come."""
        known = {name for name, _ in self.arrival.parties.headers}
        return frozenset[str]().union(*(plan.headers for plan in plans)) - known


@dataclass(frozen=True, slots=True)
class Difference:
    """A call that the two plans treat differently."""

    call: PastCall
    old: str
    """Name of the route, or `refused 404`."""
    new: str
    """The same as `old` when only what the route does has changed."""

    @property
    def elsewhere(self) -> bool:
        return self.old != self.new


def past_calls(path: Path) -> Iterator[PastCall | None]:
    """Inbound calls of a journal (`calls.jsonl`), one after another; None for a line that is no record.

    A record holds the headers that its own plan asked for; `PastCall.unknown` names what it lacks.
    Raises `OSError`.
    """
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.strip():
                call = _past(line)
                if call is None or call is not _OUTBOUND:
                    yield call


def differences(old: Dialplan, new: Dialplan, call: PastCall) -> Difference | None:
    """What the new plan would do otherwise, None for nothing."""
    before, after = _where(old, call.arrival), _where(new, call.arrival)
    if before != after:
        return Difference(call, before, after)
    was, will = old.named(before), new.named(after)
    if was is not None and will is not None and _does(old, was.name) != _does(new, will.name):
        return Difference(call, before, after)
    return None


def _does(plan: Dialplan, name: str) -> object:
    """Everything that a call of this route may come to: its steps, and those of the routes it leads to."""
    seen: dict[str, object] = {}
    waiting = [name]
    while waiting:
        one = waiting.pop()
        route = plan.named(one)
        if route is not None and one not in seen:
            seen[one] = route.steps
            waiting += [target for _, target in targets(walk(route.steps))]
    return seen, plan.fallback


def _where(plan: Dialplan, arrival: Arrival) -> str:
    try:
        return plan.route(arrival).name
    except DialplanError as error:
        return f"refused {verdict(error).sip_code}"


def _past(line: str) -> PastCall | None:
    try:
        record = json.loads(line)
        parties = record["parties"]
        if record.get("direction") == str(Direction.OUTBOUND):
            return _OUTBOUND
        at = datetime.fromisoformat(record["started"])
        headers = tuple((str(name).lower(), str(value)) for name, value in parties.get("headers", ()))
        who = str(parties["caller"]), str(parties["called"]), str(parties["trunk"])
        arrival = Arrival(Parties(*who, headers=headers), at)
        return PastCall(str(record["call_id"]), arrival) if at.tzinfo is not None else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


_OUTBOUND = PastCall("", Arrival(Parties("", ""), datetime.min))
"""Stands for calls that no plan routes."""
