"""Where the HTTP side listens, who may use it, and how much it takes."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from gateway.api.core.speech_parts import SpeechLimits


class KeyRule(StrEnum):
    """When the speech APIs and `/calls` ask for a key."""

    AUTO = "auto"
    """Unless the API listens on loopback alone."""
    ALWAYS = "always"
    NEVER = "never"
    """Whoever reaches the port may use it: only behind something that asks itself."""


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """The HTTP side: the speech APIs, health, readiness, metrics, calls."""

    host: str = "127.0.0.1"
    """Address to listen on. Metrics and health are told to anybody who can reach it."""
    port: int = 7100
    """TCP port, 1 to 65535; 0 takes a free one."""
    allowed_hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")
    """Host names that requests may ask for, `*` for any; keeps web pages in a browser on this machine out."""
    probe_seconds: float = 2.0
    """Longest wait for one check of `/ready`; a slower part counts as not ready."""
    keys: KeyRule = KeyRule.AUTO
    """`auto`, `always` or `never`: whether clients need a key (`offhook keys create`). `auto` asks for one
    unless the API listens on loopback only."""
    keys_file: Path = Path("keys.json")
    """Where the keys are kept, hashed; read again when it changes."""
    speech: bool = True
    """Serve the speech APIs (Deepgram, Smallest, OpenAI) on this port."""
    limits: SpeechLimits = field(default_factory=SpeechLimits)
    """How much the speech APIs take."""
    connections: int = 1024
    """1 to 1,000,000: connections at once, idle ones too; the next is answered 503."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError("port: must lie between 0 and 65535")
        if self.probe_seconds <= 0:
            raise ValueError("probe_seconds: must be greater than 0")
        if not 1 <= self.connections <= 1_000_000:
            raise ValueError("connections: must lie between 1 and 1000000")

    @property
    def asks_keys(self) -> bool:
        """Whether clients need a key."""
        return self.keys is KeyRule.ALWAYS or (self.keys is KeyRule.AUTO and not is_loopback(self.host))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
