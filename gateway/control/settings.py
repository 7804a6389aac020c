"""Calls that are ordered and steered from outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from media.amd import AmdSettings


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """Call control over the API: what is not about who may be called, which is `outbound`."""

    amd: AmdSettings = field(default_factory=AmdSettings)
    """How people, answering machines and faxes are told apart, where a call asks for it."""
    parked_seconds: float = 3600.0
    """How long a call may wait for orders, 10 to 86,400 seconds; then it is ended."""
    sounds: Path = Path("sounds")
    """Folder of the WAV files that may be played by name."""
    orders: int = 16
    """Orders that one call may have under way, 1 to 1000; the next is refused as too many."""

    def __post_init__(self) -> None:
        if not 10 <= self.parked_seconds <= 86_400:
            raise ValueError("parked_seconds: must lie between 10 and 86400")
        if not 1 <= self.orders <= 1000:
            raise ValueError("orders: must lie between 1 and 1000")
