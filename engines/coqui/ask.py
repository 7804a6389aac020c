"""What both Coqui engines ask of a request before they take it, and how long a listener can wait."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from engines.base import EngineRefused, TtsOptions
from engines.coqui.reading import matching

_RATES = range(8000, 48001)
_SHOWN = 8
"""Names of voices in an error message."""


def check(
    text: str, options: TtsOptions, longest: int, voices: Sequence[str], languages: Sequence[str]
) -> str:
    """The voice's own name of the language. Raises `EngineRefused`, telling what there is."""
    if len(text) > longest:
        raise EngineRefused(f"{len(text)} characters are too many: at most {longest}")
    if options.voice and options.voice not in voices:
        known = ", ".join(voices[:_SHOWN]) + (" and more" if len(voices) > _SHOWN else "")
        raise EngineRefused(f"no voice {options.voice!r}: there are {known}")
    if not 0.5 <= options.speed <= 2.0:
        raise EngineRefused(f"speed {options.speed} is out of range: choose 0.5 to 2.0")
    if options.sample_rate not in _RATES:
        raise EngineRefused(f"sample rate {options.sample_rate} is out of range: choose 8000 to 48000")
    language = matching(options.language, tuple(languages))
    if language is None:
        raise EngineRefused(f"no language {options.language!r}: this voice speaks {', '.join(languages)}")
    return language


def require_library() -> None:
    """Raise ImportError when PyTorch or Coqui's library is missing, without the seconds of importing them."""
    for module in ("torch", "TTS"):
        if importlib.util.find_spec(module) is None:
            raise ImportError(f"No module named {module!r}", name=module)


class Listener:
    """How much of one passage a listener still has to hear."""

    def __init__(self, options: TtsOptions, now: float) -> None:
        self._rate = options.sample_rate
        self._dry = now + options.ahead
        self.samples = 0

    @property
    def due(self) -> float:
        """Loop time by which the next chunk is needed."""
        return self._dry

    @property
    def seconds(self) -> float:
        """Speech given out so far."""
        return self.samples / self._rate

    def hears(self, samples: int, now: float) -> None:
        """A chunk is given out."""
        self._dry = max(self._dry, now) + samples / self._rate
        self.samples += samples
