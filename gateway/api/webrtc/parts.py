"""What the signalling needs of the rest, and nothing more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.api.core.door import Door
from gateway.api.webrtc.channels import PageChannels
from gateway.api.webrtc.tokens import CallTokens
from gateway.calls.orders import Order
from gateway.keys.limits import KeyLimits
from gateway.webrtc_settings import WebRtcSection
from media.legs.base import Parties
from media.legs.webrtc import WebRtcLeg


class WebCalls(Protocol):
    """Where legs are made of offers."""

    async def offer(self, sdp: str, parties: Parties) -> WebRtcLeg:
        """A leg that somebody looks at already."""

    def leg(self, leg_id: str) -> WebRtcLeg | None:
        """A running call's leg."""


@dataclass(frozen=True, slots=True)
class WebRtcParts:
    """Of the signalling."""

    settings: WebRtcSection
    calls: WebCalls
    tokens: CallTokens
    channels: PageChannels
    door: Door
    """Who may make tokens, and whether calls need one."""
    rates: KeyLimits
    """Of addresses."""
    obey: Callable[[str, Order], None]
    """Has a call do something, in its own time; what it refuses is nobody's harm."""
    wall: Callable[[], float]
    """Seconds since 1970."""
    targets: Callable[[], Sequence[str]] = tuple
    """Who can be called by an exact name."""
