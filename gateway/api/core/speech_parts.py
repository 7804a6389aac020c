"""What every dialect of the speech API is given: the two engines, the door, and the bounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from engines.base import Asr, Tts
from engines.traits import AsrTraits, TtsTraits, asr_traits, tts_traits
from gateway.api.core.door import Door
from gateway.api.core.listening import ListenLimits
from gateway.api.core.readiness import Readiness
from gateway.api.core.speaking import SpeakLimits
from gateway.api.core.voice_bench import VoiceBench
from gateway.api.core.watch import ApiWatch, NoBook, NoWatch, StreamBook
from gateway.batch.jobs import Jobs
from gateway.batch.recordings import Recordings
from media.segmenter import SegmenterSettings


@dataclass(frozen=True, slots=True)
class SpeechLimits:
    """Bounds of the speech API, on by default."""

    places: int = 256
    """1 to 100,000: requests and sockets served at once; the next is refused with 429."""
    text_bytes: int = 2 * 1024 * 1024
    """1 KiB to 64 MiB: the largest body that is not a recording."""
    text_chars: int = 5000
    """1 to 100,000: characters of one text to speak, where the dialect has no bound of its own."""
    unread_seconds: float = 10.0
    """0.05 to 600: a client that takes nothing for so long is cut off."""
    shortest_endpoint_ms: int = 200
    """50 to 2000: a client's shorter endpointing is raised to this, so that no word is cut in two."""
    listen: ListenLimits = field(default_factory=ListenLimits)
    """One live stream."""
    speak: SpeakLimits = field(default_factory=SpeakLimits)
    """One text, and one socket that speaks."""

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "places": (1, 100_000),
            "text_bytes": (1024, 64 * 2**20),
            "text_chars": (1, 100_000),
            "unread_seconds": (0.05, 600),
            "shortest_endpoint_ms": (50, 2000),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: give {low:g} to {high:g}")


@dataclass(frozen=True, slots=True)
class SpeechParts:
    """The same for all dialects."""

    asr: Asr
    tts: Tts
    door: Door
    bench: VoiceBench
    wall: Callable[[], datetime]
    """UTC, aware."""
    new_id: Callable[[], str]
    """A request's id: a UUID."""
    limits: SpeechLimits = field(default_factory=SpeechLimits)
    recordings: Recordings = field(default_factory=Recordings)
    """Files to words."""
    jobs: Jobs | None = None
    """Recordings recognised later; None: none are."""
    segmenter: SegmenterSettings = field(default_factory=SegmenterSettings)
    language: str = "en-US"
    """For clients that name none."""
    version: str = "0"
    watch: ApiWatch = field(default_factory=NoWatch)
    streams: StreamBook = field(default_factory=NoBook)
    """Live sockets, for other nodes to see."""
    active: Counter[str] = field(default_factory=Counter)
    """Requests and sockets inside, by kind: `listen_live`, `listen`, `speak_live`, `speak`."""
    readiness: Readiness = field(default_factory=lambda: Readiness({}, deadline=2.0))
    """Of `asr`, `tts` and, where they are in use, `license` and `redis`."""

    @property
    def hears(self) -> AsrTraits:
        """What the recogniser can do."""
        return asr_traits(self.asr)

    @property
    def speaks(self) -> TtsTraits:
        """What the voice can do."""
        return tts_traits(self.tts)
