"""The data channels of one call: texts both ways, bounded on both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiortc import RTCSctpTransport

from media.legs.webrtc_facts import ChannelOpened, Fact, Message

LABELS = ("offhook", "oai-events")
"""Channels that we know by their names; others are closed."""
LARGEST = 16_384
"""Characters of one message from the browser."""
_BACKLOG = 256 * 1024
"""Octets that may wait for a browser that does not read."""
_PER_SECOND = 50
"""Messages taken from a browser in a second."""


class DataChannels:
    """What aiortc's SCTP transport brings, and takes. Lives on the WebRTC thread."""

    def __init__(
        self, transport: RTCSctpTransport, tell: Callable[[Fact], None], clock: Callable[[], float]
    ) -> None:
        self.dropped = 0
        """Messages thrown away: too long, too many, or for a browser that does not read."""
        self._tell = tell
        self._clock = clock
        self._channels: dict[str, Any] = {}
        self._second = 0.0
        self._taken = 0
        transport.on("datachannel", self._opened)

    def send(self, label: str, text: str) -> None:
        """Send a text, if the browser has the channel open and reads it."""
        channel = self._channels.get(label)
        if channel is None or channel.readyState != "open":
            return
        if channel.bufferedAmount + len(text) > _BACKLOG:
            self.dropped += 1
            return
        channel.send(text)

    def _opened(self, channel: Any) -> None:
        if channel.label not in LABELS or channel.label in self._channels:
            channel.close()
            return
        label = str(channel.label)
        self._channels[label] = channel
        channel.on("message", lambda data: self._message(label, data))
        self._tell(ChannelOpened(label))

    def _message(self, label: str, data: object) -> None:
        now = self._clock()
        if now - self._second >= 1.0:
            self._second, self._taken = now, 0
        self._taken += 1
        if self._taken > _PER_SECOND or not isinstance(data, str) or len(data) > LARGEST:
            self.dropped += 1
            return
        self._tell(Message(label, data))
