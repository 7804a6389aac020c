"""From encoded frames to pieces: what both decoders share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from engines.nemo.hot_words import HotWords, State
from engines.nemo.words import Token


@dataclass(slots=True)
class Pen:
    """One row's writing during a step. What it remembers is kept by slot, or thrown away after a peek."""

    slot: int
    frame: int
    """Output frame of the utterance at which the step begins."""
    frames: int
    """Real frames of the step."""
    hot_words: HotWords | None
    state: State
    """Where the pieces written last stand in the hot words."""
    tokens: list[Token]

    def write(self, piece: int, at: int, confidence: float) -> None:
        """A piece at this frame of the step."""
        self.tokens.append(Token(piece, self.frame + at, confidence))
        if self.hot_words is not None:
            self.state = self.hot_words.after(self.state, piece)


class Head(Protocol):
    """A decoder with every slot's state. The last slot is scratch."""

    def decode(self, encoded: torch.Tensor, pens: Sequence[Pen]) -> Any:
        """Let the pens write what [rows, width, frames] says; gives what to `keep`. Changes nothing else."""

    def keep(self, slots: Sequence[int], kept: Any) -> None:
        """Let the slots go on from there; rows in the order of `decode`."""

    def reset(self, slot: int) -> None:
        """As at the beginning of an utterance."""
