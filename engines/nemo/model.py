"""A loaded NeMo model as a `Stepper`: a pool of per-stream state, and the step that advances any part of it.

A step gathers its streams' state by slot, runs, and scatters back only when all of it went well: a step that
raises has changed nothing. Rows that only peek, and those that fill a batch up, go to a scratch slot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from engines.nemo.attention import Attention
from engines.nemo.frontend import Frontend
from engines.nemo.geometry import Geometry
from engines.nemo.heads import Head, Pen
from engines.nemo.hot_words import State
from engines.nemo.scheduler import fits
from engines.nemo.stepper import Outcome
from engines.nemo.utterance import Row, Work
from engines.nemo.words import Vocabulary

_FULL_SCALE = 32768.0
_BROKEN_NUMBERS = "the model gave numbers that are none (NaN or infinite)"


@dataclass(frozen=True, slots=True)
class _Embedded:
    """Some rows on their way to the encoder's layers, and what their slots need for the next step."""

    embedded: torch.Tensor
    lengths: torch.Tensor
    features: tuple[torch.Tensor, torch.Tensor]
    mel: torch.Tensor


class NemoModel:
    """Serves `Stepper`. Belongs to one thread."""

    def __init__(
        self,
        encoder: Any,
        frontend: Frontend,
        attention: Attention,
        head: Head,
        tokenizer: Any,
        vocabulary: Vocabulary,
        geometry: Geometry,
        slots: int,
        buckets: Sequence[int],
    ) -> None:
        """`buckets`: batch sizes that steps are filled up to; none: each step has the size that it has."""
        self.geometry = geometry
        self.vocabulary = vocabulary
        self.slots = slots
        self._encoder = encoder
        self._frontend = frontend
        self._attention = attention
        self._head = head
        self._tokenizer = tokenizer
        self._buckets = buckets
        weight = next(encoder.parameters())
        self._device, self._dtype = weight.device, weight.dtype
        self._mel = torch.zeros(slots + 1, frontend.bands, geometry.mel_cache, device=self._device)
        self._hot: dict[int, State] = {}

    def step(self, rows: Sequence[Row]) -> list[Outcome]:
        """See `Stepper.step`."""
        order = sorted(range(len(rows)), key=lambda place: not rows[place].first)
        with torch.inference_mode():
            outcomes = self._step([rows[place] for place in order])
        found = dict(zip(order, outcomes, strict=True))
        return [found[place] for place in range(len(rows))]

    def reset(self, slot: int) -> None:
        """See `Stepper.reset`. What a first step never reads need not be cleared."""
        with torch.inference_mode():
            self._attention.reset(slot)
            self._head.reset(slot)
        self._hot.pop(slot, None)

    def pieces_of(self, text: str) -> Sequence[int]:
        """See `Stepper.pieces_of`."""
        return list(self._tokenizer.text_to_ids(text))

    def close(self) -> None:
        """See `Stepper.close`."""
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _step(self, rows: Sequence[Row]) -> list[Outcome]:
        """Rows of first steps lead: only up to the encoder's layers they differ from the others."""
        firsts = [row for row in rows if row.first]
        for row in firsts:
            self._head.reset(row.slot)
            self._hot.pop(row.slot, None)
        parts = [self._embed(part) for part in (firsts, rows[len(firsts) :]) if part]
        heard = [self._heard(row) for row in rows]
        encoded, lengths, keep = self._encode(rows, parts, heard)
        sound = torch.isfinite(encoded).all(2).all(1)
        frames = torch.where(sound, lengths, 0).tolist()
        pens = [self._pen(row, before, real) for row, before, real in zip(rows, heard, frames, strict=True)]
        written = self._head.decode(encoded.masked_fill(~sound[:, None, None], 0.0), pens)
        fine = sound.tolist()
        homes = [self._home(row, good) for row, good in zip(rows, fine, strict=True)]
        keep(homes)
        self._head.keep(homes, written)
        self._keep_features(parts, homes)
        for pen, home in zip(pens, homes, strict=True):
            if pen.hot_words is not None and home != self.slots:
                self._hot[home] = pen.state
        return [
            Outcome(tuple(pen.tokens)) if good else Outcome(error=_BROKEN_NUMBERS)
            for pen, good in zip(pens, fine, strict=True)
        ]

    def _encode(
        self, rows: Sequence[Row], parts: Sequence[_Embedded], heard: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor, Callable[[Sequence[int]], None]]:
        """[rows, width, frames] with zeros behind each row's end, real frames, and how to keep the past.

        The batch is filled up to its bucket with rows that live in the scratch slot.
        """
        missing = (fits(len(rows), self._buckets) if self._buckets else len(rows)) - len(rows)
        lengths = torch.cat([part.lengths for part in parts])
        past = self._numbers([*heard, *[0] * missing])
        encoded, kept = self._attention.advance(
            F.pad(torch.cat([part.embedded for part in parts]), (0, 0, 0, 0, 0, missing)),
            F.pad(lengths, (0, missing), value=self.geometry.outputs),
            self._numbers([*(row.slot for row in rows), *[self.slots] * missing]),
            past,
        )
        encoded = encoded[: len(rows)].float()
        behind = torch.arange(encoded.shape[2], device=self._device) >= lengths[:, None]

        def keep(homes: Sequence[int]) -> None:
            self._attention.keep(self._numbers([*homes, *[self.slots] * missing]), past, kept)

        return encoded.masked_fill(behind[:, None], 0.0), lengths, keep

    def _embed(self, rows: Sequence[Row]) -> _Embedded:
        """Sound to the encoder's layers; all rows are first steps, or none is."""
        first = rows[0].first
        slots = self._numbers([row.slot for row in rows])
        sound = torch.from_numpy(np.stack([row.pcm for row in rows])).to(self._device).float() / _FULL_SCALE
        frames = self._numbers([row.frames for row in rows])
        samples = self._numbers([row.samples for row in rows])
        mel, features = self._frontend.mel(slots, sound, samples, frames, first)
        cached = self.geometry.mel_cache
        before = mel.new_zeros(len(rows), mel.shape[1], cached) if first else self._mel.index_select(0, slots)
        whole = torch.cat([before, mel], 2)
        heard = mel if first else whole
        embedded, lengths = self._encoder.pre_encode(
            x=heard.transpose(1, 2).to(self._dtype), lengths=frames if first else frames + cached
        )
        dropped = 0 if first else self.geometry.dropped
        lengths = (lengths - dropped).clamp(0, self.geometry.outputs)
        return _Embedded(embedded[:, dropped:], lengths, features, whole[:, :, -cached:])

    def _keep_features(self, parts: Sequence[_Embedded], homes: Sequence[int]) -> None:
        start = 0
        for part in parts:
            slots = self._numbers(homes[start : start + len(part.lengths)])
            self._frontend.keep(slots, part.features)
            self._mel.index_copy_(0, slots, part.mel)
            start += len(part.lengths)

    def _heard(self, row: Row) -> int:
        """Output frames before the row's step. Every step but a last one gives as many."""
        if row.first:
            return 0
        later = (row.frames_before - self.geometry.first_frames) // self.geometry.next_frames
        return (1 + later) * self.geometry.outputs

    def _pen(self, row: Row, frame: int, frames: int) -> Pen:
        hot_words = row.utterance.hot_words
        state = self._hot.get(row.slot) or (hot_words.start if hot_words else ())
        return Pen(row.slot, frame, frames, hot_words, state, [])

    def _home(self, row: Row, fine: bool) -> int:
        """The slot that goes on from the step: the row's own, or scratch where nothing comes after it."""
        return row.slot if fine and row.work is Work.CHUNK else self.slots

    def _numbers(self, values: Sequence[int]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.long, device=self._device)
