"""What the speech API tells whoever measures it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class ApiWatch(Protocol):
    """Hears of every request. Every method returns at once and never raises; labels are closed lists."""

    def began(self, api: str, kind: str) -> None:
        """A request was let in; kind: `listen_live`, `listen`, `speak_live`, `speak`."""

    def ended(self, api: str, kind: str, outcome: str, seconds: float, features: Sequence[str] = ()) -> None:
        """It is over; outcome: `ok`, `gone` (the client left) or an error class's name.

        `features`: what it made use of, names of a closed list.
        """

    def heard(self, api: str, seconds: float) -> None:
        """So much sound came in."""

    def said(self, api: str, seconds: float, characters: int) -> None:
        """So much sound went out, made of so many characters."""

    def turned_away(self, reason: str) -> None:
        """Somebody was not let in."""


class NoWatch:
    """Serves `ApiWatch` where nobody looks."""

    def began(self, api: str, kind: str) -> None: ...

    def ended(
        self, api: str, kind: str, outcome: str, seconds: float, features: Sequence[str] = ()
    ) -> None: ...

    def heard(self, api: str, seconds: float) -> None: ...

    def said(self, api: str, seconds: float, characters: int) -> None: ...

    def turned_away(self, reason: str) -> None: ...


class StreamBook(Protocol):
    """Which live streams run, for other nodes. Every method returns at once and never raises."""

    def began(self, api: str, kind: str) -> str:
        """A socket is open; gives the stream's name."""

    def ended(self, stream_id: str) -> None:
        """It is over."""


class NoBook:
    """Serves `StreamBook` where no other node is."""

    def began(self, api: str, kind: str) -> str:
        """See `StreamBook.began`."""
        return ""

    def ended(self, stream_id: str) -> None: ...
