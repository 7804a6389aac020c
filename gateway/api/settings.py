"""Where the HTTP side listens."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """The HTTP side: health, readiness, metrics, calls."""

    host: str = "127.0.0.1"
    """Address to listen on. Calls and metrics are told to anybody who can reach it: keep it to this machine
    or a private network."""
    port: int = 7100
    """TCP port, 1 to 65535; 0 takes a free one."""
    allowed_hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")
    """Host names that requests may ask for, `*` for any; keeps web pages in a browser on this machine out."""
    probe_seconds: float = 2.0
    """Longest wait for one check of `/ready`; a slower part counts as not ready."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError("port: must lie between 0 and 65535")
        if self.probe_seconds <= 0:
            raise ValueError("probe_seconds: must be greater than 0")
