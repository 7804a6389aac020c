"""The plain values that cross from the WebRTC thread to the event loop."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class Lost(StrEnum):
    """Why a browser's call is over, when we did not end it."""

    CLOSED = "closed"
    """It closed the connection."""
    VANISHED = "vanished"
    """Nothing came from it any more."""
    UNREACHABLE = "unreachable"
    """No path was found, or the handshake did not come to an end in time."""
    HANDSHAKE = "handshake"
    """DTLS failed: another certificate than the offer told, no common profile."""


@dataclass(frozen=True, slots=True)
class Connected:
    """Sound can flow both ways."""

    at: float
    remote: str
    """The browser's address, `host:port`."""


@dataclass(frozen=True, slots=True)
class Gone:
    why: Lost


@dataclass(frozen=True, slots=True)
class Digit:
    digit: str
    at: float


@dataclass(frozen=True, slots=True)
class ChannelOpened:
    """The browser opened a data channel that we know."""

    label: str


@dataclass(frozen=True, slots=True)
class Message:
    """A text on a data channel, at most `webrtc_channels.LARGEST` characters."""

    label: str
    text: str


Fact: TypeAlias = Connected | Gone | Digit | ChannelOpened | Message
