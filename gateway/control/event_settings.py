"""What is kept of call events, and who is told of them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.secret import Secret
from gateway.webhook_signature import secret_octets


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """An address that is told of call events, signed as Standard Webhooks has it."""

    url: str
    """`http` or `https`; one of your own network is fine, because only you can write it here."""
    secret: Secret
    """Signs each message: `whsec_` and base64 of 24 to 64 random octets; `offhook batch secret` makes one."""
    events: tuple[str, ...] = ()
    """Kinds of events, such as `call.ended`; none named: all of them."""
    words: bool = False
    """Tell it what was said and which keys were pressed, too."""
    tries: int = 8
    """How often a message is sent until it is answered with 2xx, 1 to 20; then it is given up and counted."""
    first_wait: float = 1.0
    """Seconds before the second try, 0.1 to 600; each later wait is four times as long."""
    longest_wait: float = 600.0
    """Seconds that a wait lasts at most, 1 to 86,400. Later events of the same call wait behind it."""
    seconds: float = 10.0
    """Seconds in which a message must be answered, 1 to 120."""
    at_once: int = 16
    """Messages on their way at the same time, 1 to 1000; those of one call go one after another."""
    waiting: int = 10_000
    """Messages that may wait, 1 to 1,000,000; the next is given up and counted."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ValueError("url: give an address that begins with http:// or https://, without a user")
        secret_octets(self.secret.reveal(), "secret")
        limits: dict[str, tuple[float, float]] = {
            "tries": (1, 20),
            "first_wait": (0.1, 600),
            "longest_wait": (1, 86_400),
            "seconds": (1, 120),
            "at_once": (1, 1000),
            "waiting": (1, 1_000_000),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: must lie between {low:g} and {high:g}")


@dataclass(frozen=True, slots=True)
class EventSettings:
    """Events of calls: the log that subscribers read, and webhooks."""

    kept: int = 20_000
    """Events kept in memory, 100 to 1,000,000, so that a subscriber who comes back misses nothing."""
    subscribers: int = 64
    """Sockets and streams of events at the same time, 1 to 10,000."""
    unread_seconds: float = 10.0
    """A subscriber who takes nothing for so long is cut off, 1 to 300."""
    webhooks: tuple[WebhookSettings, ...] = ()
    """Addresses that are told of events."""

    def __post_init__(self) -> None:
        limits: dict[str, tuple[float, float]] = {
            "kept": (100, 1_000_000),
            "subscribers": (1, 10_000),
            "unread_seconds": (1, 300),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: must lie between {low:g} and {high:g}")
