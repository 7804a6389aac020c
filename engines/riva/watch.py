"""What a server tells whoever measures it; and the one that measures nothing."""

from __future__ import annotations

from typing import Protocol


class WireWatch(Protocol):
    """Hears of everything that passes a worker's wire. Every method returns at once and never raises."""

    def opened(self, method: str) -> None:
        """A request was admitted."""

    def closed(self, method: str, status: str) -> None:
        """An admitted request got its status."""

    def refused(self, method: str, why: str) -> None:
        """A request was turned away at the door."""

    def heard(self, seconds: float) -> None:
        """So much sound came in."""

    def said(self, seconds: float) -> None:
        """So much sound went out."""

    def final_after(self, seconds: float) -> None:
        """From the end of a segment to its final on the wire."""

    def sound_after(self, seconds: float) -> None:
        """From a text to its first sound on the wire."""


class NoWatch:
    """Serves `WireWatch` where nobody looks."""

    def opened(self, method: str) -> None: ...

    def closed(self, method: str, status: str) -> None: ...

    def refused(self, method: str, why: str) -> None: ...

    def heard(self, seconds: float) -> None: ...

    def said(self, seconds: float) -> None: ...

    def final_after(self, seconds: float) -> None: ...

    def sound_after(self, seconds: float) -> None: ...
