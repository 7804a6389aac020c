"""Utterances as subtitles: SubRip and WebVTT. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engines.base import Word
from gateway.api.core.listening import Heard

MOST_LETTERS = 84
"""Two lines of 42, as broadcasters have it."""
MOST_SECONDS = 7.0


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle; seconds of the recording."""

    start: float
    end: float
    text: str


def cues(utterances: Sequence[Heard]) -> Iterator[Cue]:
    """Each utterance as one cue or several, cut between words, after punctuation where there is some."""
    for heard in utterances:
        if not heard.words:
            yield Cue(heard.start, heard.end, heard.text)
            continue
        words = list(heard.words)
        while words:
            count = _fitting(words)
            taken, words = words[:count], words[count:]
            yield Cue(
                taken[0].start, max(taken[-1].end, taken[0].start), " ".join(word.text for word in taken)
            )


def srt(found: Sequence[Cue]) -> str:
    """SubRip."""
    return "".join(
        f"{number}\n{_time(cue.start, ',')} --> {_time(cue.end, ',')}\n{cue.text}\n\n"
        for number, cue in enumerate(found, 1)
    )


def vtt(found: Sequence[Cue]) -> str:
    """WebVTT (W3C); what would be markup there is escaped."""
    body = (f"{_time(cue.start, '.')} --> {_time(cue.end, '.')}\n{_escaped(cue.text)}\n\n" for cue in found)
    return "WEBVTT\n\n" + "".join(body)


def _fitting(words: Sequence[Word]) -> int:
    """Words of the next cue: as many as fit, less those after the last punctuation in its second half."""
    letters, count = 0, 0
    for word in words:
        letters += len(word.text) + (1 if count else 0)
        if count and (letters > MOST_LETTERS or word.end - words[0].start > MOST_SECONDS):
            break
        count += 1
    if count == len(words):
        return count
    stops = [place for place in range(count // 2, count) if words[place].text[-1:] in ".,;:?!"]
    return stops[-1] + 1 if stops else max(1, count)


def _time(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
