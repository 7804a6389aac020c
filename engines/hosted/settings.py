"""What every hosted engine is told: where it is, how we show ourselves, how long we wait, where data goes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

PLACES = ("node", "site", "cloud")
"""How far away from a call a service may be, the nearest first."""

_HERE = re.compile(r"localhost|127\.\d+\.\d+\.\d+|::1")
_PRINTABLE = re.compile(r"[\x21-\x7e]*")


@dataclass(frozen=True, slots=True)
class HostedSettings:
    """A speech service on somebody else's machines, or your own server that speaks its protocol."""

    url: str = ""
    """Where it is, up to and without `/v1/...`."""
    api_key: str = field(default="", repr=False)
    """Sent with each request; empty for servers of your own that ask for none."""
    data: Literal["node", "site", "cloud"] = "cloud"
    """Where sound and text go with it: this machine, your own machines, or somebody else's. Calls that must
    stay nearer never use it."""
    connect_seconds: float = 3.0
    """0.05 to 60: longest wait for a connection."""
    hold_off_seconds: float = 2.0
    """0 to 3600: after a failed connection, calls are told so at once for so long, without another try."""

    def __post_init__(self) -> None:
        check_hosted(self, ("http", "https"))


def check_hosted(settings: HostedSettings, schemes: tuple[str, ...]) -> None:
    """Raises `ValueError` that names the field and the cure, never the key."""
    try:
        parts = urlsplit(settings.url)
        named = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        named = False
    if not named or parts.username or parts.query or parts.fragment:
        raise ValueError(f"url: give {' or '.join(f'{scheme}://host' for scheme in schemes)}")
    if not _PRINTABLE.fullmatch(settings.api_key):
        raise ValueError("api_key: must be printable ASCII without spaces; look for a stray line end")
    if settings.api_key and parts.scheme in ("http", "ws") and not on_this_machine(settings.url):
        raise ValueError(f"api_key: would be sent in the clear; give a url with {parts.scheme}s://")
    if settings.data not in PLACES:
        raise ValueError(f"data: give one of {', '.join(PLACES)}")
    check_ranges(settings, {"connect_seconds": (0.05, 60), "hold_off_seconds": (0, 3600)})


def check_ranges(settings: object, ranges: dict[str, tuple[float, float]]) -> None:
    """Raises `ValueError` for the first field out of its range."""
    for name, (low, high) in ranges.items():
        if not low <= getattr(settings, name) <= high:
            raise ValueError(f"{name}: give {low:g} to {high:g}")


def on_this_machine(url: str) -> bool:
    """Whether the URL leads nowhere else; then no proxy is asked."""
    return bool(_HERE.fullmatch(urlsplit(url).hostname or ""))
