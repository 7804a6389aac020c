"""A circuit breaker: an engine that keeps failing is left alone for a while. Pure; time comes in.

closed ── failures in a row, or too large a share of them ──▶ open ── its rest is over ──▶ half-open
  ▲                                                            ▲                              │ one try
  └─────────────────────────── it worked ──────────────────────┴────────── it failed ─────────┘
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

_REMEMBERED = 200
"""Outcomes of the window that are kept at most."""


class BreakerState(StrEnum):
    CLOSED = "closed"
    """Requests go through."""
    OPEN = "open"
    """None does."""
    HALF_OPEN = "half_open"
    """One may try."""


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When an engine counts as broken, and for how long."""

    failures: int = 2
    """1 to 100: so many in a row open the breaker."""
    share: float = 0.5
    """0 to 1: so large a share of at least ten outcomes within `window` opens it as well."""
    window: float = 10.0
    """1 to 600 seconds: how long an outcome counts."""
    rest: float = 0.5
    """0.05 to 60 seconds until one request may try again; doubled each time that it fails."""
    longest_rest: float = 10.0
    """`rest` to 600 seconds: the longest it becomes."""
    try_seconds: float = 5.0
    """0.1 to 60: a try that is not heard of for so long is given up, and another one may begin."""

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "failures": (1, 100), "share": (0, 1), "window": (1, 600), "rest": (0.05, 60),
            "longest_rest": (self.rest, 600), "try_seconds": (0.1, 60),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must lie between {low:g} and {high:g}")


_FEW = 10
"""Outcomes below which a share says nothing."""


class Breaker:
    """One engine's. Shared by all calls: what one call finds out spares the others."""

    def __init__(self, settings: BreakerSettings | None = None) -> None:
        self._settings = settings or BreakerSettings()
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=_REMEMBERED)
        self._in_row = 0
        self._opened: float | None = None
        self._closed_at = float("-inf")
        self._rest = self._settings.rest
        self._trying: float | None = None
        self.opened = 0
        """How often it opened."""

    def state(self, now: float) -> BreakerState:
        """Where it stands."""
        if self._opened is None:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if now >= self._opened + self._rest else BreakerState.OPEN

    def allows(self, now: float) -> bool:
        """Whether requests go through as ever."""
        return self._opened is None

    def reopens(self) -> float:
        """When the next try may begin; `-inf` while it is closed."""
        return self._opened + self._rest if self._opened is not None else float("-inf")

    def may_try(self, now: float) -> bool:
        """Take the one try of a half-open breaker. Who gets it tells `worked` or `failed`."""
        if self.state(now) is not BreakerState.HALF_OPEN:
            return False
        if self._trying is not None and now < self._trying + self._settings.try_seconds:
            return False
        self._trying = now
        return True

    def worked(self, now: float) -> None:
        """A request was served. While open it says nothing: it was begun before."""
        state = self.state(now)
        if state is BreakerState.OPEN:
            return
        if state is BreakerState.HALF_OPEN:
            if self._trying is None:
                return
            self._close(now)
        self._in_row = 0
        self._outcomes.append((now, True))

    def failed(self, now: float) -> None:
        """A request was not."""
        state = self.state(now)
        if state is BreakerState.OPEN:
            return
        if state is BreakerState.HALF_OPEN:
            if self._trying is not None:
                self._rest = min(self._rest * 2, self._settings.longest_rest)
                self._open(now)
            return
        self._in_row += 1
        self._outcomes.append((now, False))
        if self._in_row >= self._settings.failures or self._too_many(now):
            if now - self._closed_at < self._settings.window:  # it was believed too early
                self._rest = min(self._rest * 2, self._settings.longest_rest)
            else:
                self._rest = self._settings.rest
            self._open(now)
            self.opened += 1

    def _too_many(self, now: float) -> bool:
        while self._outcomes and self._outcomes[0][0] < now - self._settings.window:
            self._outcomes.popleft()
        failed = sum(not good for _, good in self._outcomes)
        return len(self._outcomes) >= _FEW and failed >= self._settings.share * len(self._outcomes)

    def _open(self, now: float) -> None:
        self._opened = now
        self._trying = None
        self._in_row = 0
        self._outcomes.clear()

    def _close(self, now: float) -> None:
        self._opened = None
        self._trying = None
        self._closed_at = now
