"""Which calls a route is for, and what it does with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from engines.base import Residency
from gateway.dialplan.actions import ConnectAgent, Reject
from gateway.dialplan.forms import Action
from gateway.dialplan.numbers import normalise, spellings
from gateway.dialplan.patterns import MAX_ADDRESS, Pattern, any_of
from gateway.dialplan.steps import Steps, walk
from gateway.dialplan.times import TimeWindow
from media.legs.base import Parties


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call as the dialplan sees it: what the signalling said, when, and what works here at that moment."""

    parties: Parties
    at: datetime
    """The moment, with its zone."""
    down: frozenset[str] = frozenset()
    """What does not work now: `asr`, `tts`, and names of agents."""


@dataclass(frozen=True, slots=True)
class Match:
    """The calls that a route is for; what is left empty means everybody."""

    called: tuple[Pattern, ...] = ()
    caller: tuple[Pattern, ...] = ()
    trunk: tuple[Pattern, ...] = ()
    headers: tuple[tuple[str, tuple[Pattern, ...]], ...] = ()
    """Names in small letters, with the patterns of which one must fit the value; a missing header is ""."""
    times: tuple[TimeWindow, ...] = ()
    """One of them must hold."""
    up: frozenset[str] = frozenset()
    """What must work: `asr`, `tts`, names of agents."""
    down: frozenset[str] = frozenset()
    """What must not."""
    region: str = ""
    """Where numbers without a country are dialled; ISO 3166 alpha-2."""
    never: bool = False
    """For `goto` only."""

    def means_number(self, call: Arrival) -> bool:
        """Whether the called number is meant."""
        return not self.never and any_of(self.called, spellings(call.parties.called, self.region))

    def means_caller(self, call: Arrival) -> bool:
        """Whether the calling side is meant: its number, trunk and headers."""
        parties = call.parties
        if not any_of(self.caller, spellings(parties.caller, self.region)):
            return False
        if not any_of(self.trunk, normalise(parties.trunk)):
            return False
        return all(any_of(patterns, _value(call, name)) for name, patterns in self.headers)

    def means_moment(self, call: Arrival) -> bool:
        """Whether the time, and what works now, are meant."""
        if self.times and not any(window.holds(call.at) for window in self.times):
            return False
        return not (self.up & call.down) and self.down <= call.down


@dataclass(frozen=True, slots=True)
class Route:
    """One rule: the calls it is for and what to do with them."""

    name: str
    match: Match
    steps: Steps
    source: str = ""
    """File and line, for logs and the call's record."""
    data: Residency | None = None
    """How far these calls' sound and words may go, where that is less far than the node allows."""

    @property
    def actions(self) -> tuple[Action, ...]:
        """What it does when nothing branches."""
        return tuple(step.action for step in self.steps)

    @property
    def agents(self) -> frozenset[str]:
        """Names of the agents it connects, wherever in it."""
        found = (step.action for step in walk(self.steps))
        return frozenset(action.agent for action in found if isinstance(action, ConnectAgent))

    @property
    def refuses(self) -> Reject | None:
        """The refusal, when that is all that the route does in the end."""
        last = self.steps[-1].action
        return last if isinstance(last, Reject) else None


def _value(call: Arrival, name: str) -> str:
    value = call.parties.header(name).strip().lower()
    return value if len(value) <= MAX_ADDRESS else value[: MAX_ADDRESS + 1]
