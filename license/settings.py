"""What the licence proxy is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """The licence proxy: who it asks, what it keeps, where it listens."""

    licence_key: str
    """The vendor's key for this customer: a secret."""
    vendor_public: str
    """The vendor's Ed25519 public key, base64url; everything the vendor says is checked against it."""
    folder: Path
    """Where the last answer and the usage journal are kept."""
    upstream: str = ""
    """The vendor's address; "" with `licence_file`."""
    licence_file: Path | None = None
    """A signed licence of a site without a way out; nothing is asked and nothing is sent."""
    host: str = "127.0.0.1"
    port: int = 6699
    """0 takes a free one."""
    check_seconds: float = 3600.0
    """Between two checks; a failed one is repeated sooner. 1 to 86,400."""
    report_seconds: float = 300.0
    """Between two deliveries of usage. 1 to 86,400."""
    timeout_seconds: float = 10.0
    """Longest wait for the vendor, 0.1 to 60."""

    def __post_init__(self) -> None:
        if not self.licence_key.strip() or not self.licence_key.isprintable() or " " in self.licence_key:
            raise ValueError("licence_key: give it without quotes, spaces or line breaks")
        if bool(self.upstream) == (self.licence_file is not None):
            raise ValueError("give either the vendor's address (upstream) or a licence file")
        limits = {"check_seconds": (1, 86_400), "report_seconds": (1, 86_400), "timeout_seconds": (0.1, 60)}
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: must lie between {low:g} and {high:g}")
