"""What an operator may set about choosing engines and changing them."""

from __future__ import annotations

from dataclasses import dataclass, field

from engines.router.breaker import BreakerSettings
from engines.router.pace import PaceSettings


def _word() -> PaceSettings:
    return PaceSettings(0.8, 1.2, 2.0)


def _final() -> PaceSettings:
    return PaceSettings(0.12, 0.25, 0.5)


def _sound() -> PaceSettings:
    return PaceSettings(0.15, 0.35, 0.5)


def _gap() -> PaceSettings:
    return PaceSettings(0.08, 0.3, 0.5)


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """When another engine takes over. Deadlines are on useful progress: words and samples, never octets."""

    first_word: PaceSettings = field(default_factory=_word)
    """From the caller's voice to the first words shown. Noise has none: nobody is blamed for it."""
    final: PaceSettings = field(default_factory=_final)
    """From the end of the caller's speech to its words."""
    first_sound: PaceSettings = field(default_factory=_sound)
    """From the text to the first samples."""
    gap: PaceSettings = field(default_factory=_gap)
    """From one piece of sound to the next; shorter when the caller has less left to hear."""
    breaker: BreakerSettings = field(default_factory=BreakerSettings)
    """When an engine that fails is left alone. One breaker for all calls."""
    probe_seconds: float = 3.0
    """0.2 to 600: engines that nobody used for so long are tried, so that a standby is known to work. Engines
    that cost something, or are in the cloud, are tried only after they failed."""
    probe_limit: float = 0.8
    """0.05 to 30: seconds that such a try may take."""
    replay: float = 65.0
    """1 to 300: seconds of each unfinished stretch of speech kept, to be heard again by another engine."""
    give_up: float = 4.0
    """0.5 to 60: seconds without any sound after which a passage is given up, whoever is still at it."""
    hedges: float = 0.1
    """0 to 1: late answers, per answer, that a second engine may be asked for before the first is given up.
    Keeps slow engines from doubling the load."""
    hedges_at_once: int = 20
    """1 to 10,000: how many in a burst."""

    def __post_init__(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "probe_seconds": (0.2, 600), "probe_limit": (0.05, 30), "replay": (1, 300), "hedges": (0, 1),
            "give_up": (0.5, 60),
            "hedges_at_once": (1, 10_000),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must lie between {low:g} and {high:g}")
