"""A dialplan's file while it is being read: its values, their places, and what is wrong with them."""

from __future__ import annotations

import wave
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from gateway.dialplan.steps import Spot
from gateway.problems import Problem, nearest
from gateway.yaml_source import Place, Source, dotted

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page:
    """One file."""

    source: Source
    folder: Path
    agents: Collection[str] | None
    """Names that exist; None: any."""
    problems: list[Problem] = field(default_factory=list)

    def problem(self, place: Place, what: str, cure: str) -> None:
        self.problems.append(self.spot(place).problem(what, cure))

    def spot(self, place: Place) -> Spot:
        return Spot(self.source.name, self.source.line(place), dotted(place))

    def unknown(self, data: Mapping[str, object], known: Collection[str], place: Place) -> bool:
        """Tell of every key that means nothing here; True when there is one."""
        strangers = [key for key in data if key not in known]
        for key in strangers:
            self.problem((*place, key), f'nothing is called "{key}" here', nearest(key, known))
        return bool(strangers)

    def text(self, data: object, place: Place, what: str) -> str:
        """A word as it was written; `what` says what is wrong when there is none."""
        if data is None or isinstance(data, dict | list) or not str(data).strip():
            self.problem(place, what, "one word will do")
            return ""
        return self.source.raw.get(place, str(data))

    def written(self, place: Place) -> str | None:
        """A scalar as it was written: +1555 must not become the number 1555. None for a list or section."""
        return self.source.raw.get(place)

    def made(self, place: Place, read: Callable[[str], T], cure: str) -> T | None:
        """What `read` makes of the scalar at a place; its `ValueError`, or anything but a scalar, is told."""
        written = self.written(place)
        if written is None:
            self.problem(place, "must be a word, a number or a pattern", cure)
            return None
        try:
            return read(written)
        except ValueError as error:
            what, _, found = str(error).partition("; ")
            self.problem(place, what, found or cure)
            return None

    def each(self, data: object, place: Place, read: Callable[[str], T], cure: str) -> tuple[T, ...]:
        """As `made`, for one scalar or a list of them."""
        places = [(*place, i) for i in range(len(data))] if isinstance(data, list) else [place]
        if not places:
            self.problem(place, "is empty", "leave it out to mean everybody")
        found = (self.made(one, read, cure) for one in places)
        return tuple(one for one in found if one is not None)

    def sound(self, file: Path, place: Place) -> Path | None:
        """The path of a WAV file that can be played, else None, and told."""
        path = self.folder / file
        try:
            with wave.open(str(path), "rb") as sound:
                if sound.getnchannels() == 1 and sound.getsampwidth() == 2:
                    return path
            what = "is not mono 16-bit"
        except (OSError, ValueError) as error:
            what = (
                (error.strerror or "cannot be read").lower() if isinstance(error, OSError) else "is no path"
            )
        except (wave.Error, EOFError):
            what = "is no PCM WAV file"
        self.problem(place, f"{file}: {what}", "name a mono 16-bit PCM WAV file beside the dialplan")
        return None
