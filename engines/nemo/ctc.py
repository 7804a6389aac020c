"""Greedy CTC: each frame's best piece, repeats and blanks dropped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from engines.nemo.heads import Pen


class CtcHead:
    """Serves `Head`. A slot's state is the label of its last frame, and the lift that label was given."""

    def __init__(self, decoder: Any, slots: int) -> None:
        """`decoder`: NeMo's `ConvASRDecoder`; its blank is the last of its labels."""
        self._decoder = decoder
        self._blank: int = decoder.num_classes_with_blank - 1
        self._last = [(self._blank, 0.0)] * slots

    def decode(self, encoded: torch.Tensor, pens: Sequence[Pen]) -> list[tuple[int, float]]:
        """See `Head.decode`."""
        scores: torch.Tensor = self._decoder(encoder_output=encoded)
        best, labels = scores.max(-1)
        told = zip(pens, labels.tolist(), best.exp().tolist(), strict=True)
        lasts: list[tuple[int, float]] = []
        for row, (pen, found, confidences) in enumerate(told):
            if pen.hot_words is not None:
                lasts.append(self._write_lifted(pen, scores[row, : pen.frames].float().cpu().numpy()))
            else:
                lasts.append(self._write(pen, found, confidences))
        return lasts

    def keep(self, slots: Sequence[int], kept: list[tuple[int, float]]) -> None:
        """See `Head.keep`."""
        for slot, last in zip(slots, kept, strict=True):
            self._last[slot] = last

    def reset(self, slot: int) -> None:
        """See `Head.reset`."""
        self._last[slot] = (self._blank, 0.0)

    def _write(self, pen: Pen, labels: Sequence[int], confidences: Sequence[float]) -> tuple[int, float]:
        last = self._last[pen.slot][0]
        for at in range(pen.frames):
            label = labels[at]
            if label not in (last, self._blank):
                pen.write(label, at, confidences[at])
            last = label
        return last, 0.0

    def _write_lifted(self, pen: Pen, scores: npt.NDArray[np.float32]) -> tuple[int, float]:
        """As `_write`, with the expected next pieces lifted wherever the best label is a piece.

        A lifted label keeps its lift while it lasts, or the piece that it beat would follow it.
        """
        assert pen.hot_words is not None
        last, lift = self._last[pen.slot]
        for at in range(pen.frames):
            if int(scores[at].argmax()) == self._blank:
                last, lift = self._blank, 0.0
                continue
            lifted = scores[at].copy()
            lifts = dict(pen.hot_words.lifts(pen.state))
            for piece, nats in lifts.items():
                lifted[piece] += nats
            if last != self._blank:
                lifted[last] = max(lifted[last], scores[at, last] + lift)
            label = int(lifted[: self._blank].argmax())
            if label != last:
                pen.write(label, at, float(np.exp(scores[at, label])))
                last, lift = label, lifts.get(label, 0.0)
        return last, lift
