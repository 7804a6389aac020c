"""The keys of a caller who talks with a realtime model: a number is told when it is whole. Pure."""

from __future__ import annotations

PAUSE = 2.5
"""Seconds without a key that end a number."""
_MOST = 32


class KeyedNumber:
    """The number that is being keyed."""

    def __init__(self) -> None:
        self._keys = ""
        self._due = 0.0

    def press(self, digit: str, now: float) -> str | None:
        """Another key; the whole number if this ends it: `#` does, alone it is the number."""
        if digit != "#":
            self._keys += digit
        self._due = now + PAUSE
        return self._taken() if digit == "#" or len(self._keys) >= _MOST else None

    def overdue(self, now: float) -> str | None:
        """The number, if he has paused long enough."""
        return self._taken() if self._keys and now >= self._due else None

    def _taken(self) -> str:
        keys, self._keys = self._keys, ""
        return keys or "#"
