"""Which of our voices serves a client that names one of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engines.base import Tts
from gateway.api.core.languages import fitting

_LANGUAGE = re.compile(r"-([a-z]{2})$")


def voice_for(asked: str, tts: Tts) -> str:
    """The voice of that name, or the engine's first: clients keep the names they were written with.

    Answers tell the name of the voice that really speaks.
    """
    wanted = asked.strip().lower()
    named = [voice for voice in tts.voices if voice.lower() == wanted]
    return next(iter(named or tts.voices), "")


def language_of(model: str, served: Sequence[str], default: str) -> str:
    """The language that a name such as `aura-2-thalia-en` ends with. Raises `AbilityMissing`."""
    found = _LANGUAGE.search(model.strip().lower())
    return fitting(found.group(1), served, default) if found else default
