"""What an engine can do, where requests can ask for it. It may say so in an attribute `traits`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AsrTraits:
    """A recogniser's abilities; what it lacks is refused before it is asked."""

    languages: tuple[str, ...] = ("en-US",)
    """Told to whoever asks for the configuration; the engine itself accepts or refuses."""
    word_times: bool = False
    """Transcripts carry words with their times."""
    hot_words: bool = False
    """`AsrOptions.hot_words` has an effect."""
    punctuation: bool = True
    """Transcripts carry punctuation and capitals."""


@dataclass(frozen=True, slots=True)
class TtsTraits:
    """A voice's abilities."""

    languages: tuple[str, ...] = ("en-US",)
    """As in `AsrTraits`."""
    word_times: bool = True
    """Chunks carry words with their times."""


def asr_traits(engine: object) -> AsrTraits:
    """What the recogniser says of itself, or the least that every recogniser can do."""
    found = getattr(engine, "traits", None)
    return found if isinstance(found, AsrTraits) else AsrTraits()


def tts_traits(engine: object) -> TtsTraits:
    """What the voice says of itself, or what every voice can do."""
    found = getattr(engine, "traits", None)
    return found if isinstance(found, TtsTraits) else TtsTraits()


def trouble_of(engine: object) -> str:
    """Why the engine is out of order for good, as its attribute `trouble` says; "" while it is not."""
    found = getattr(engine, "trouble", "")
    return found if isinstance(found, str) else ""


def facts_of(engine: object) -> dict[str, str]:
    """What the engine's attribute `facts` tells operators, such as its model and the model's licence."""
    found = getattr(engine, "facts", None)
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, Mapping) else {}
