"""Limits of audio files, and who may be asked for them."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """Requests that clients make us send: audio fetched by URL, results delivered to a callback."""

    allow: tuple[str, ...] = ()
    """Networks such as `10.1.0.0/16` that may be reached although they are private, loopback or link-local.
    Everything else that is not a public address is refused: clients must not look around inside."""
    seconds: float = 60.0
    """Longest time for the whole of a download, redirects included, 1 to 3600."""
    connect_seconds: float = 5.0
    """Longest time for a name's lookup and a connection, 0.1 to 60."""
    redirects: int = 5
    """Redirects that are followed, each checked like the first address; 0 to 20."""
    at_once: int = 8
    """Downloads at the same time; more wait. 1 to 1000."""

    def __post_init__(self) -> None:
        for network in self.allow:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise ValueError(f"allow: {error}") from None
        limits: dict[str, tuple[float, float]] = {
            "seconds": (1, 3600),
            "connect_seconds": (0.1, 60),
            "redirects": (0, 20),
            "at_once": (1, 1000),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: must lie between {low:g} and {high:g}")


@dataclass(frozen=True, slots=True)
class AudioSettings:
    """Audio files that clients send: how large, how long, how they are decoded."""

    max_megabytes: int = 100
    """Largest file, as sent or fetched; 1 to 4096."""
    max_seconds: float = 7200.0
    """Longest sound in a file; 1 to 86400. A larger or longer one is refused, never cut."""
    decoders: int = 2
    """Files decoded at once, each by a process that a hostile file takes down alone; 1 to 64."""
    waiting: int = 64
    """Files that may wait for a decoder before the next is refused as busy; 0 to 10,000."""
    decoder_megabytes: int = 1024
    """Address space of a decoder process, 256 to 65536; a file that wants more is refused."""
    stall_seconds: float = 20.0
    """A decoder that brings no further sound for so long is ended and the file refused; 0.1 to 600."""
    upload_stall_seconds: float = 30.0
    """A client that sends nothing of its file for so long is refused; 0.1 to 600."""
    spool_dir: str = ""
    """Folder where files lie while they are decoded; empty takes the system's folder for temporary files. It
    should not be in memory."""
    fetch: FetchSettings = field(default_factory=FetchSettings)

    def __post_init__(self) -> None:
        limits: dict[str, tuple[float, float]] = {
            "max_megabytes": (1, 4096),
            "max_seconds": (1, 86400),
            "decoders": (1, 64),
            "waiting": (0, 10_000),
            "decoder_megabytes": (256, 65536),
            "stall_seconds": (0.1, 600),
            "upload_stall_seconds": (0.1, 600),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: must lie between {low:g} and {high:g}")

    @property
    def max_octets(self) -> int:
        """`max_megabytes` as octets."""
        return self.max_megabytes * 1_000_000
