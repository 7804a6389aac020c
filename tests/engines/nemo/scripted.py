"""A stepper without a model: it writes what the samples say, so that mixed-up streams would show."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from engines.nemo.geometry import Geometry, fastconformer
from engines.nemo.stepper import Outcome
from engines.nemo.utterance import Row, Work
from engines.nemo.words import Token, Vocabulary

PIECES = tuple(f"▁w{number}" for number in range(1000))


class ScriptedStepper:
    """Each step writes one piece: the number in the chunk's loudest sample, so that sound says what is heard.

    It fails for a row whose sound holds `poison`, checks each slot's order of steps, and may be held back.
    """

    def __init__(self, slots: int = 4, chunk_ms: int = 160, poison: int = -7) -> None:
        self.geometry: Geometry = fastconformer(chunk_ms // 80 - 1)
        self.vocabulary = Vocabulary(PIECES)
        self.slots = slots
        self.poison = poison
        self.batches: list[list[Row]] = []
        self.resets: list[int] = []
        self.fails: Callable[[Sequence[Row]], bool] = lambda rows: False
        self.gate = threading.Event()
        self.gate.set()
        self.thread: int | None = None
        self._done: dict[int, int] = {}

    def step(self, rows: Sequence[Row]) -> list[Outcome]:
        self.gate.wait(10)
        self.thread = self.thread or threading.get_ident()
        assert self.thread == threading.get_ident(), "another thread touched the model"
        self.batches.append(list(rows))
        if self.fails(rows):
            raise RuntimeError("scripted: the device stumbled")
        return [self._one(row) for row in rows]

    def _one(self, row: Row) -> Outcome:
        assert row.frames_before == 0 or self._done[row.slot] == row.frames_before, "steps out of order"
        assert len(row.pcm) == self.geometry.need(row.first)
        if row.work is Work.CHUNK:
            self._done[row.slot] = row.frames_before + row.frames
        if (row.pcm == self.poison).any():
            return Outcome(error="scripted: poisoned")
        loudest = int(row.pcm.max(initial=0))
        return Outcome((Token(loudest, row.frames_before // 8, 0.5),) if loudest else ())

    def reset(self, slot: int) -> None:
        self.resets.append(slot)

    def pieces_of(self, text: str) -> Sequence[int]:
        return [PIECES.index("▁" + text)] if "▁" + text in PIECES else []

    def close(self) -> None:
        self.slots = 0
