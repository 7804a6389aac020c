"""What does not work now, as far as a `health` of the dialplan asks: recogniser, voice, single agents."""

from __future__ import annotations

from collections.abc import Callable

CANCELLED = "cancelled"
"""Outcome of work that nobody wanted any more: no fault of the agent's."""
MISSES = 3
"""Failures in a row after which an agent counts as down ..."""
REST = 30.0
"""... until so many seconds after the last of them: then a call may try it again."""


class AgentHealth:
    """Follows what comes of agents' work. Serves `Done` of `gateway/metered.py`, and passes it on."""

    def __init__(self, now: Callable[[], float], done: Callable[[str, str, str, float], None]) -> None:
        """`now`: the running loop's time. `done` is told everything too."""
        self._now = now
        self._done = done
        self._misses: dict[str, int] = {}
        self._last: dict[str, float] = {}

    def done(self, kind: str, name: str, outcome: str, seconds: float) -> None:
        """One piece of work is over; `outcome` is `ok`, or the error's name."""
        self._done(kind, name, outcome, seconds)
        if kind != "agent":
            return
        if outcome == "ok":
            self._misses.pop(name, None)
        elif outcome != CANCELLED:
            self._misses[name] = self._misses.get(name, 0) + 1
            self._last[name] = self._now()

    def down(self) -> frozenset[str]:
        """Names of the agents that do not work now."""
        at = self._now()
        return frozenset(
            name for name, count in self._misses.items() if count >= MISSES and at < self._last[name] + REST
        )
