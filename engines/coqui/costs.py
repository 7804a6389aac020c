"""What a piece of work will take, learned from what such work took."""

from __future__ import annotations

_FORGET = 0.97
"""Weight of what was known before, at each new measurement."""
_SPREADS = 2.0
"""How many mean deviations a prediction stays on the safe side."""


class Cost:
    """Seconds as a straight line over a size, such as the rows of a batch; newer measurements count more.

    The line never falls: more work is never predicted to take less.
    """

    def __init__(self, fixed: float = 0.0, each: float = 0.0) -> None:
        """`fixed`, `each`: the line until something was measured."""
        self._fixed, self._each = fixed, each
        self._weight = self._x = self._y = self._xx = self._xy = 0.0
        self._spread = 0.0

    def learn(self, size: float, seconds: float) -> None:
        """One piece of work of that size took so long."""
        if self._weight:
            missed = abs(seconds - self._line(size))
            self._spread += (1 - _FORGET) * (missed - self._spread)
        self._weight = _FORGET * self._weight + 1
        self._x = _FORGET * self._x + size
        self._y = _FORGET * self._y + seconds
        self._xx = _FORGET * self._xx + size * size
        self._xy = _FORGET * self._xy + size * seconds
        self._fit()

    def __call__(self, size: float) -> float:
        """Seconds that work of this size will hardly exceed."""
        return self._line(size) + _SPREADS * self._spread

    def _line(self, size: float) -> float:
        return self._fixed + self._each * size

    def _fit(self) -> None:
        mean_x, mean_y = self._x / self._weight, self._y / self._weight
        spread = self._xx / self._weight - mean_x * mean_x
        if spread > 1e-9 * max(1.0, mean_x * mean_x):
            slope = (self._xy / self._weight - mean_x * mean_y) / spread
            self._each = min(max(slope, 0.0), mean_y / mean_x if mean_x > 0 else slope)
        else:  # one size only: the safe reading is that all of it grows with the size
            self._each = mean_y / mean_x if mean_x > 0 else 0.0
        self._fixed = max(0.0, mean_y - self._each * mean_x)
