"""How a passage is cut and read before a Coqui voice speaks it."""

from __future__ import annotations

from engines.text import spoken
from engines.text.stretches import LONGEST, Stretch, as_written, plan

_SHORTEST_LIMIT = 40


def stretches(text: str, language: str, longest: int = LONGEST) -> list[Stretch]:
    """The passage's stretches. English is read by our own rules; other languages leave that to the voice."""
    read = spoken if language.lower().startswith("en") else as_written
    return plan(text, read, max(_SHORTEST_LIMIT, min(longest, LONGEST)))


def matching(language: str, known: tuple[str, ...]) -> str | None:
    """The voice's name for a language such as "en-US": the same, or the one without the country."""
    wanted = language.lower()
    by_name = {name.lower(): name for name in known}
    short = wanted.split("-")[0]
    found = by_name.get(wanted) or by_name.get(short)
    return found or next((name for key, name in by_name.items() if key.split("-")[0] == short), None)
