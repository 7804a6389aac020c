"""How long an engine usually takes, and from when on it is late. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

_REMEMBERED = 50
_ENOUGH = 5
"""Times below which nothing is known, and `start` holds."""
_FACTOR = 2.0
_MARGIN = 0.05
_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class PaceSettings:
    """Seconds within which progress is expected. What an engine usually takes is learned between them."""

    shortest: float
    """It is never called late before."""
    start: float
    """As long as too little is known of it."""
    longest: float
    """It is late in any case."""

    def __post_init__(self) -> None:
        if not 0.01 <= self.shortest <= self.start <= self.longest <= 60:
            raise ValueError("shortest, start and longest must rise, between 0.01 and 60 seconds")

    def times(self, factor: float) -> PaceSettings:
        """The same for an engine that may take so many times as long."""
        fields = (self.shortest, self.start, self.longest)
        return PaceSettings(*(min(60.0, max(0.01, seconds * factor)) for seconds in fields))


class Pace:
    """One kind of progress of one engine."""

    def __init__(self, settings: PaceSettings) -> None:
        self._settings = settings
        self._times: deque[float] = deque(maxlen=_REMEMBERED)
        self._limit: float | None = None

    def took(self, seconds: float) -> None:
        """It came after so long; or had not come by then, and was given up."""
        self._times.append(seconds)
        self._limit = None

    @property
    def usual(self) -> float:
        """What it takes nearly always; half of `start` as long as too little is known."""
        if len(self._times) < _ENOUGH:
            return self._settings.start / 2
        ranked = sorted(self._times)
        return ranked[min(len(ranked) - 1, int(len(ranked) * _SHARE))]

    @property
    def limit(self) -> float:
        """After so many seconds it is late."""
        if self._limit is None:
            settings = self._settings
            wanted = settings.start if len(self._times) < _ENOUGH else self.usual * _FACTOR + _MARGIN
            self._limit = min(max(wanted, settings.shortest), settings.longest)
        return self._limit
