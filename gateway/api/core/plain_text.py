"""Transcripts for clients that want no punctuation."""

from __future__ import annotations

import re

_INSIDE = re.compile(r"(?<=\w)[.,:](?=\d)|(?<=\w)['’-](?=\w)")
_MARKS = re.compile(r"[^\w\s]")


def bare(text: str) -> str:
    """Lower case without punctuation; apostrophes, hyphens and decimal points inside words stay."""
    kept = {match.start() for match in _INSIDE.finditer(text)}
    out = _MARKS.sub(lambda mark: mark.group() if mark.start() in kept else "", text)
    return " ".join(out.lower().split())
