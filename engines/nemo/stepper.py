"""What the engine's thread asks of a loaded model. Tests put a script in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from engines.nemo.geometry import Geometry
from engines.nemo.utterance import Row
from engines.nemo.words import Token, Vocabulary


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step gave one stream."""

    tokens: tuple[Token, ...] = ()
    error: str = ""
    """Why this stream's numbers cannot be used; its slot must be reset."""


class Stepper(Protocol):
    """A model with a pool of per-stream state. One thread uses it."""

    @property
    def geometry(self) -> Geometry: ...

    @property
    def slots(self) -> int:
        """Streams for which there is state."""

    @property
    def vocabulary(self) -> Vocabulary: ...

    def step(self, rows: Sequence[Row]) -> Sequence[Outcome]:
        """Advance every row's stream by one step, all together.

        May raise anything; then no stream's state has changed, and the rows may be tried one by one.
        """

    def reset(self, slot: int) -> None:
        """Make the slot's state as new, whatever it holds."""

    def pieces_of(self, text: str) -> Sequence[int]:
        """A text's pieces, as the model would write it."""

    def close(self) -> None:
        """Give back the device's memory."""
