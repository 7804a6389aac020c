"""Notices that we send and nothing comes back. Pure."""

from __future__ import annotations

PATIENCE = 2.0
"""Seconds without a packet, while audio should flow both ways."""


class OneWayWatch:
    """Counts frames that nobody sent; each frame is 20 ms."""

    def __init__(self) -> None:
        self.count = 0
        """How often it was told."""
        self._quiet = 0.0
        self._told = False

    def frame(self, seconds: float, *, nothing: bool, expected: bool) -> float:
        """One frame; returns for how long nothing has come when that is to be told now, else 0.

        `nothing`: no packet brought it. `expected`: the call is up, nobody is on hold, and the far end is not
        one that stops sending while it is silent.
        """
        if not (nothing and expected):
            self._quiet, self._told = 0.0, False
            return 0.0
        self._quiet += seconds
        if self._told or self._quiet < PATIENCE:
            return 0.0
        self._told = True
        self.count += 1
        return self._quiet
