"""Why a file cannot be read; light, because the decoder process knows little else of ours."""

from __future__ import annotations

from enum import StrEnum

FORMATS = ("wav", "mp3", "flac", "ogg", "m4a", "webm", "aac")
"""Containers that are read, by the names that clients know."""


class Reason(StrEnum):
    """What kind of fault it is."""

    UNSUPPORTED = "unsupported"
    """A container or codec that is not read."""
    BROKEN = "broken"
    """It claims to be audio but cannot be decoded, or ends before its own header says."""
    LONG = "long"
    """More seconds than the limit."""


class Unreadable(Exception):
    """The file cannot be read; the message may be shown to whoever sent it."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
