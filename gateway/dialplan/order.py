"""Whether each action comes at a time when it can be done: a walk through all that may happen in a plan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from gateway.dialplan.actions import (
    Answer,
    ConnectAgent,
    GoToRoute,
    HangUpCall,
    PlayFile,
    Progress,
    Reject,
    Ring,
    SayText,
)
from gateway.dialplan.actions_ask import Gather, Menu, Record, Voicemail
from gateway.dialplan.actions_reach import Bridge, Transfer, Twiml
from gateway.dialplan.match import Route
from gateway.dialplan.steps import Step, Steps
from gateway.problems import Problem

_AUDIBLE = (SayText, PlayFile)
_ANSWERED = (Gather, Menu, ConnectAgent, Transfer, Bridge, Record, Voicemail, HangUpCall)


class Phase(Enum):
    """How far a call is."""

    RINGING = auto()
    EARLY = auto()
    """Heard, but not answered."""
    ANSWERED = auto()
    OVER = auto()
    """Nothing of this list follows: the call ended, or went to another route."""


Phases = frozenset[Phase]
_BEGIN: Phases = frozenset({Phase.RINGING})
_UP: Phases = frozenset({Phase.ANSWERED})
_OVER: Phases = frozenset({Phase.OVER})


@dataclass(slots=True)
class _Walk:
    """One pass over a plan's lists."""

    problems: list[Problem] = field(default_factory=list)
    jumps: dict[str, Phases] = field(default_factory=dict)
    """Routes that are gone to, and how far the call is then."""

    def steps(self, steps: Steps, phases: Phases, *, lenient: bool = False) -> Phases:
        """What the call may be like after these."""
        for i, step in enumerate(steps):
            if phases == _OVER:
                what = f"never happens: the call ends with `{steps[i - 1].word}` before it"
                self.problems.append(step.spot.problem(what, "remove it, or move it up"))
                return phases
            live = phases - _OVER
            wrong = {phase: told for phase in live if (told := _wrong(step, phase, lenient=lenient))}
            if wrong:
                first = min(wrong, key=lambda phase: phase.value)
                self.problems.append(step.spot.problem(*wrong[first]))
                live = live - wrong.keys() or live  # what was told once is taken as mended
            phases = self._after(step, live, lenient=lenient) | (phases & _OVER)
        return phases

    def _after(self, step: Step, phases: Phases, *, lenient: bool) -> Phases:
        match step.action:
            case Answer():
                done = _UP
            case Progress():
                done = frozenset({Phase.EARLY})
            case HangUpCall() | Reject():
                done = _OVER
            case GoToRoute(route):
                self.jumps[route] = self.jumps.get(route, frozenset()) | phases
                done = _OVER
            case ConnectAgent() | Transfer() | Twiml():
                done = _OVER
            case _:
                done = phases
        for inner in step.lists():
            if inner:
                done = done | self.steps(inner, phases, lenient=lenient)
        return done


def problems(routes: Sequence[Route], fallback: Steps) -> list[Problem]:
    """Every action of the plan that comes too early, too late, or never."""
    jumps: dict[str, Phases] = {}
    while True:
        walk = _Walk()
        walk.steps(fallback, _UP, lenient=True)
        for route in routes:
            phases = jumps.get(route.name, _UP) if route.match.never else _BEGIN
            walk.steps(route.steps, phases, lenient=route.match.never)
        if walk.jumps == jumps:
            return walk.problems
        jumps = walk.jumps


def targets(steps: Iterable[Step]) -> list[tuple[Step, str]]:
    """Steps that go to another route, and its name."""
    return [(step, step.action.route) for step in steps if isinstance(step.action, GoToRoute)]


# `lenient`: where it is not known whether the call was answered, it may be answered again.
def _wrong(step: Step, phase: Phase, *, lenient: bool) -> tuple[str, str] | None:
    """What is wrong with an action in this phase (what, cure), or None."""
    action = step.action
    answered, audible = phase is Phase.ANSWERED, phase is not Phase.RINGING
    if isinstance(action, _AUDIBLE) and not audible:
        return "needs an answered call", "put `- answer` before it, or `- progress` to be heard unanswered"
    if isinstance(action, _ANSWERED) and not answered:
        refuse = isinstance(action, HangUpCall)
        cure = "use `reject` to refuse a call" if refuse else "put `- answer` before it"
        return "needs an answered call", cure
    if isinstance(action, Reject | Ring | Progress | Answer) and answered and not lenient:
        cure = "use `hangup`" if isinstance(action, Reject) else "remove it, or move it before `answer`"
        return "comes after the call was answered", cure
    if isinstance(action, Ring | Progress) and audible and not lenient:
        return "comes after `progress`", "remove it, or move it before `progress`"
    return None
