"""How apps that speak TwiML are asked, and how much of a call one may take."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from gateway.secret import Secret


@dataclass(frozen=True, slots=True)
class TwimlSettings:
    """Apps that answer calls with TwiML, as Twilio's do."""

    auth_token: Secret = Secret()
    """Signs every request to an app (`X-Twilio-Signature`); the app's `TWILIO_AUTH_TOKEN`. 32 random
    characters or more. Without it requests are not signed, and an app that checks refuses them."""
    account_sid: str = ""
    """What apps are told as `AccountSid`: AC and 32 hexadecimal digits; empty: one made of `node.name`."""
    public_url: str = ""
    """Where apps reach this node's API, `https://host:port`, for the addresses of recordings; empty: where it
    listens."""
    allow: tuple[str, ...] = ()
    """Networks such as `10.1.0.0/16` that documents may lead to although they are private, loopback or
    link-local. The servers that a dialplan's `twiml` names are reached wherever they are."""
    seconds: float = 15.0
    """Longest time for an app's answer, tries and redirects included, 1 to 15."""
    connect_seconds: float = 5.0
    """Longest time for a name's lookup and a connection, 0.1 to 10."""
    redirects: int = 5
    """HTTP redirects that are followed, each judged like the first address; 0 to 20."""
    documents: int = 1000
    """Documents of one call, 1 to 100,000; then the plan goes on without the app."""
    status_tries: int = 3
    """How often a status callback is sent until it is answered with 2xx, 1 to 10."""
    status_waiting: int = 10_000
    """Status callbacks that may wait on this node; more are dropped and counted. 1 to 1,000,000."""
    play_megabytes: int = 16
    """Largest sound file that `<Play>` takes, 1 to 1024."""

    def __post_init__(self) -> None:
        for network in self.allow:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise ValueError(f"allow: {error}") from None
        sid = self.account_sid
        if sid and not (len(sid) == 34 and sid.startswith("AC") and set(sid[2:]) <= set("0123456789abcdef")):
            raise ValueError("account_sid: must be AC and 32 hexadecimal digits, or empty")
        if self.public_url and not self.public_url.startswith(("http://", "https://")):
            raise ValueError("public_url: must begin with http:// or https://")
        limits: dict[str, tuple[float, float]] = {
            "seconds": (1, 15),
            "connect_seconds": (0.1, 10),
            "redirects": (0, 20),
            "documents": (1, 100_000),
            "status_tries": (1, 10),
            "status_waiting": (1, 1_000_000),
            "play_megabytes": (1, 1024),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: must lie between {low:g} and {high:g}")
