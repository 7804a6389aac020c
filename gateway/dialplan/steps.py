"""Actions where they stand in a route: each with what follows from its outcome, down to any depth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from gateway.dialplan.answers import Expected
from gateway.dialplan.forms import Action, word_of
from gateway.problems import Problem


@dataclass(frozen=True, slots=True)
class Spot:
    """Where something is written."""

    source: str = ""
    line: int = 0
    field: str = ""

    def problem(self, what: str, cure: str) -> Problem:
        return Problem(self.source, self.line, self.field, what, cure)


@dataclass(frozen=True, slots=True)
class Branch:
    """What follows an answer."""

    when: Expected
    steps: Steps


@dataclass(frozen=True, slots=True)
class Step:
    """One action and what follows from its outcome; the next step of the list comes after all of it."""

    action: Action
    fallback: Steps = ()
    """Instead, when the action failed; empty: the plan's own fallback, and then the call is over."""
    on: tuple[Branch, ...] = ()
    """After an answer that fits; the first one that does."""
    invalid: Steps = ()
    """After answers that do not fit, when there is no further try."""
    no_input: Steps = ()
    """After no answer at all, when there is no further try."""
    spot: Spot = field(default=Spot(), compare=False)

    @property
    def word(self) -> str:
        """The action's word in the file."""
        return word_of(self.action)

    def lists(self) -> Iterator[Steps]:
        """Every list of steps within it."""
        yield self.fallback
        yield from (branch.steps for branch in self.on)
        yield self.invalid
        yield self.no_input


Steps: TypeAlias = tuple[Step, ...]


def walk(steps: Steps) -> Iterator[Step]:
    """Every step, those within others too, in the order of the file."""
    for step in steps:
        yield step
        for inner in step.lists():
            yield from walk(inner)


def plain(*actions: Action) -> Steps:
    """Steps that branch nowhere."""
    return tuple(Step(action) for action in actions)
