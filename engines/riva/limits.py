"""How much one worker takes, of everything."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WireLimits:
    """Bounds of what clients may make a worker hold, and for how long."""

    streams: int = 512
    """1 to 100,000: requests served at once; the next is refused with RESOURCE_EXHAUSTED."""
    client_share: float = 0.75
    """Above 0, to 1: of the places that one connection may take, so that others find room; 1: all."""
    message_bytes: int = 4 * 1024 * 1024
    """64 KiB to 64 MiB: the largest message taken or sent."""
    idle_seconds: float = 60.0
    """0.05 to 3600: a client that sends nothing for so long is told DEADLINE_EXCEEDED."""
    unread_seconds: float = 10.0
    """0.05 to 600: a client that takes nothing for so long is told DEADLINE_EXCEEDED."""
    segment_seconds: float = 120.0
    """5 to 600: sound of one segment; a longer one is cut, or refused where the client cuts."""
    segments_waiting: int = 2
    """1 to 16: ended segments of one stream without their final; beyond it no more sound is read."""
    final_seconds: float = 15.0
    """0.05 to 600: an engine that gives no final for so long has failed."""
    sound_seconds: float = 15.0
    """0.05 to 600: an engine that gives no sound for so long has failed."""
    text_chars: int = 5000
    """1 to 1,000,000: of one text to speak."""

    @property
    def streams_of_one(self) -> int:
        """Places that one connection may take."""
        return max(1, round(self.streams * self.client_share))

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "streams": (1, 100_000),
            "client_share": (0.001, 1),
            "message_bytes": (65_536, 67_108_864),
            "idle_seconds": (0.05, 3600),
            "unread_seconds": (0.05, 600),
            "segment_seconds": (5, 600),
            "segments_waiting": (1, 16),
            "final_seconds": (0.05, 600),
            "sound_seconds": (0.05, 600),
            "text_chars": (1, 1_000_000),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"limits.{name}: give {low:g} to {high:g}")
