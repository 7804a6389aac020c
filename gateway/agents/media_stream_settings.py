"""What a media-stream agent can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gateway.agents.text_socket import check_url
from gateway.secret import Secret

MOST_PARAMETERS = 500
"""Characters of all names and values together, as Twilio has it."""


@dataclass(frozen=True, slots=True)
class MediaStreamSettings:
    """A bot that speaks Twilio's bidirectional Media Streams: it hears the caller and answers by itself."""

    kind: Literal["media_stream"] = "media_stream"
    """Always `media_stream`."""
    url: str = "ws://127.0.0.1:7860/ws"
    """The bot's WebSocket, wss://host/path; ws:// only on this machine or on `plain_hosts`."""
    auth_token: Secret = Secret()
    """Signs the handshake (X-Twilio-Signature) as the account's auth token would; empty: not signed."""
    account_sid: str = ""
    """AccountSid told to the bot, AC and 32 hexadecimal digits; empty: one made from `node.name`."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """`customParameters` of the stream's `start`; at most 500 characters in all."""
    numbers: bool = True
    """Tell the bot who calls whom: the parameters `from_number` and `to_number`, as Pipecat reads them."""
    plain_hosts: tuple[str, ...] = ()
    """Hosts that may be dialled without TLS: everybody on the way there can listen."""
    connect_seconds: float = 5.0
    """Longest wait for the bot's WebSocket, for each try."""
    attempts: int = 2
    """How often it is tried, 1 to 5, while the caller hears ringing."""
    queue_seconds: float = 120.0
    """Sound of the bot that may wait to be heard, 1 to 600; what it sends beyond is lost and counted."""
    unread_seconds: float = 5.0
    """A bot that reads nothing for so long is given up."""
    most_malformed: int = 20
    """Messages in a row that are none of the protocol's, before the stream ends (Twilio's error 31924)."""
    dead_air_seconds: float = 15.0
    """Silence of the bot after the caller spoke that counts as its failure; 0: it may stay silent."""
    silence_seconds: float = 60.0
    """Silence of both sides that ends the call."""

    def __post_init__(self) -> None:
        try:
            check_url(self.url, self.plain_hosts)
        except ValueError as error:
            raise ValueError(f"url: {error}") from None
        if self.account_sid and not (self.account_sid.startswith("AC") and len(self.account_sid) == 34):
            raise ValueError("account_sid: must be AC and 32 hexadecimal digits, or empty")
        if sum(len(name) + len(value) for name, value in self.parameters.items()) > MOST_PARAMETERS:
            raise ValueError(f"parameters: must hold at most {MOST_PARAMETERS} characters")
        if not 1 <= self.attempts <= 5:
            raise ValueError("attempts: must lie between 1 and 5")
        if not 1 <= self.queue_seconds <= 600:
            raise ValueError("queue_seconds: must lie between 1 and 600")
        if self.most_malformed < 1:
            raise ValueError("most_malformed: must be at least 1")
        if self.dead_air_seconds < 0:
            raise ValueError("dead_air_seconds: must be 0 or more")
        for name in ("connect_seconds", "unread_seconds", "silence_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: must be greater than 0")
