"""Where a licence stands, and what that means for new work. Pure: time comes in, nothing is waited for.

    Ready ──answer──▶ Connected ──check failed──▶ Grace ──grace over──▶ Expired
                          ▲  └────── licence runs out, or is revoked ──────▲
                          └──────────────── a good answer ─────────────────┘

Nothing here can touch work that runs: the only question answered is whether new work may begin. Before it
may not, that is announced: first a warning that counts down, then half of the places, then none.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from enum import StrEnum

from license.entitlement import DAY, Answer, Terms


class State(StrEnum):
    """What is known."""

    READY = "Ready"
    """Nothing yet: no check has succeeded."""
    CONNECTED = "Connected"
    GRACE = "Grace"
    """The vendor cannot be reached; the last good answer counts for a while."""
    EXPIRED = "Expired"


class Step(StrEnum):
    """What new work gets."""

    FULL = "full"
    WARN = "warn"
    """All of it, with a warning."""
    HALF = "half"
    """Half of the places."""
    NONE = "none"


SEVERITY = {Step.FULL: 0, Step.WARN: 1, Step.HALF: 2, Step.NONE: 3}
WARN_BEFORE = 14 * DAY
"""Of the day on which the licence runs out."""
HALF_BEFORE = DAY
HALF_OF_GRACE = 0.25
"""The last part of the grace period, in which places are halved."""
WARN_OF_HOURS, HALF_OF_HOURS = 0.8, 0.95
"""Parts of the month's hours that are used when it is announced, and when places are halved."""
COUNTDOWN = (
    *(days * DAY for days in (14, 7, 3, 2, 1)),
    *(hours * 3600.0 for hours in (12, 6, 3, 1)),
    1800.0,
    600.0,
)
"""Seconds that are left when a warning is repeated."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The licence at one moment."""

    state: State
    step: Step
    ends: float | None
    """When new work will no longer be taken, if nothing changes; None: never known to be taken."""
    reason: str
    """In words, for operators and for those whose work is refused."""
    terms: Terms | None = None

    def places(self, licensed: int, capacity: int) -> int:
        """How many may run at once for one more to begin. `licensed`: a limit of the terms, 0 for none."""
        if self.step is Step.NONE:
            return 0
        most = min(licensed, capacity) if licensed else capacity
        return max(1, most // 2) if self.step is Step.HALF else most


class Licence:
    """Follows one licence. Tell it every check's outcome; ask it whenever work begins."""

    def __init__(self) -> None:
        self._answer: Answer | None = None
        self._reachable = False
        self._used = (0, 0.0)
        self._warned: tuple[int, float] | None = None

    @property
    def answer(self) -> Answer | None:
        """The last good one."""
        return self._answer

    def answered(self, answer: Answer, *, fresh: bool = True) -> None:
        """The vendor answered; `fresh` is false for one out of the cache. An older one changes nothing."""
        if self._answer is not None and answer.checked_at < self._answer.checked_at:
            return
        self._answer = answer
        self._reachable = fresh
        self._warned = None

    def unreachable(self) -> None:
        """A check failed."""
        self._reachable = False

    def trusted(self, now: float) -> bool:
        """Whether the last check succeeded and its answer still grants something."""
        return self._by_trust(now).state is State.CONNECTED

    def used(self, seconds: float, at: float) -> None:
        """So much sound was used in the calendar month of `at`."""
        self._used = (month_of(at), seconds)

    def standing(self, now: float) -> Standing:
        """Where it stands. `now` must never go back."""
        standing = self._by_trust(now)
        if standing.step is Step.NONE or not standing.terms or not standing.terms.hours:
            return standing
        return self._by_hours(standing, now)

    def _by_hours(self, standing: Standing, now: float) -> Standing:
        assert standing.terms is not None
        hours = standing.terms.hours
        part = self._used[1] / 3600 / hours if self._used[0] == month_of(now) else 0.0
        if part >= 1:
            told = f"the {hours:g} hours of this month that the licence grants are used"
            return replace(standing, step=Step.NONE, ends=now, reason=told)
        step = Step.FULL if part < WARN_OF_HOURS else Step.WARN if part < HALF_OF_HOURS else Step.HALF
        if SEVERITY[step] <= SEVERITY[standing.step]:
            return standing
        told = f"{part:.0%} of the {hours:g} hours of this month that the licence grants are used"
        return replace(standing, step=step, reason=told)

    def _by_trust(self, now: float) -> Standing:
        answer = self._answer
        if answer is None:
            return Standing(State.READY, Step.NONE, None, "the licence has not been validated yet")
        terms = answer.terms
        if answer.revoked:
            return Standing(State.EXPIRED, Step.NONE, answer.checked_at, "the licence was revoked", terms)
        if now >= terms.expires:
            return Standing(State.EXPIRED, Step.NONE, terms.expires, "the licence has run out", terms)
        if self._reachable:
            step = _step(terms.expires - now, WARN_BEFORE, HALF_BEFORE)
            told = "" if step is Step.FULL else f"the licence runs out in {span(terms.expires - now)}"
            return Standing(State.CONNECTED, step, terms.expires, told, terms)
        ends = min(terms.expires, answer.checked_at + terms.grace_seconds)
        if now >= ends:
            told = "the licence server could not be reached and the grace period is over"
            return Standing(State.EXPIRED, Step.NONE, ends, told, terms)
        by_grace = _step(ends - now, float("inf"), HALF_OF_GRACE * terms.grace_seconds)
        by_term = _step(terms.expires - now, WARN_BEFORE, HALF_BEFORE)
        step = max(by_grace, by_term, key=SEVERITY.__getitem__)
        told = f"the licence server cannot be reached; new work is taken for another {span(ends - now)}"
        return Standing(State.GRACE, step, ends, told, terms)

    def warning(self, now: float) -> str:
        """A warning that is due now, each once, counting down or of another step; "" when there is none."""
        standing = self.standing(now)
        if standing.step is Step.FULL or standing.ends is None:
            self._warned = None
            return ""
        left = max(0.0, standing.ends - now)
        marks = (mark for mark in (*COUNTDOWN, float("inf")) if mark >= left)
        due = min(marks) if left else 0.0
        severity = SEVERITY[standing.step]
        if self._warned is not None and severity <= self._warned[0] and due >= self._warned[1]:
            return ""
        self._warned = (severity, due)
        return standing.reason


class TrustedTime:
    """A clock that only goes forward: setting the wall clock back gains nothing, and is noticed."""

    TOLERANCE = 300.0
    """Seconds by which clocks are corrected every day."""

    def __init__(self, latest: float = 0.0) -> None:
        """`latest`: the latest time that was ever seen, in seconds since 1970."""
        self._latest = latest
        self._steady: float | None = None
        self.set_back = False

    def now(self, wall: float, steady: float) -> float:
        """`wall`: seconds since 1970; `steady`: seconds of a clock that cannot be set."""
        passed = 0.0 if self._steady is None else max(0.0, steady - self._steady)
        self._steady = steady
        self.set_back = wall < self._latest - self.TOLERANCE
        self._latest = max(wall, self._latest + passed)
        return self._latest


def month_of(seconds: float) -> int:
    """The calendar month (UTC) of a moment, counted from year 0."""
    date = time.gmtime(seconds)
    return date.tm_year * 12 + date.tm_mon - 1


def span(seconds: float) -> str:
    """As people say it."""
    if seconds >= 2 * DAY:
        return f"{seconds / DAY:.0f} days"
    if seconds >= 3600:
        return f"{seconds / 3600:.0f} h"
    return f"{max(1, round(seconds / 60))} min"


def _step(left: float, warn: float, half: float) -> Step:
    if left <= half:
        return Step.HALF
    return Step.WARN if left <= warn else Step.FULL
