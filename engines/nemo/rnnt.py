"""Greedy RNN-T for a batch of streams: each writes until it hears a blank, then goes on to its next frame.

NeMo's own batched decoder keeps every piece of a hypothesis for as long as the stream lives. Here a slot
keeps the prediction network's state and nothing else, so an hour costs no more than a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch

from engines.nemo.heads import Pen

Kept: TypeAlias = tuple[torch.Tensor, tuple[torch.Tensor, ...]]
"""What the prediction network says next, [rows, width], and its state, each [layers, rows, width]."""


class RnntHead:
    """Serves `Head`."""

    def __init__(self, decoder: Any, joint: Any, most_symbols: int, slots: int) -> None:
        """`decoder`, `joint`: NeMo's. `most_symbols`: pieces that one frame may give."""
        self._decoder = decoder
        self._joint = joint
        self._most = most_symbols
        self._blank: int = joint.num_classes_with_blank - 1
        with torch.inference_mode():
            start = torch.full((1, 1), self._blank, device=next(decoder.parameters()).device)
            said, state = self._predict(start, None)
            self._start: Kept = said, state
            self._said = said.repeat(slots, 1)
            self._state = tuple(part.repeat(1, slots, 1) for part in state)

    def decode(self, encoded: torch.Tensor, pens: Sequence[Pen]) -> Kept:
        """See `Head.decode`."""
        slots = torch.tensor([pen.slot for pen in pens], device=encoded.device)
        said = self._said.index_select(0, slots)
        state = tuple(part.index_select(1, slots) for part in self._state)
        heard = self._joint.project_encoder(encoded.transpose(1, 2))
        for at in range(heard.shape[1]):
            writing = [at < pen.frames for pen in pens]
            for _ in range(self._most):
                if not any(writing):
                    break
                labels, confidences = self._labels(heard[:, at : at + 1], said, pens)
                writing = [on and label != self._blank for on, label in zip(writing, labels, strict=True)]
                if not any(writing):
                    break
                for pen, on, label, confidence in zip(pens, writing, labels, confidences, strict=True):
                    if on:
                        pen.write(label, at, confidence)
                said, state = self._advance(said, state, labels, writing)
        return said, state

    def keep(self, slots: Sequence[int], kept: Kept) -> None:
        """See `Head.keep`."""
        places = torch.tensor(slots, device=self._said.device)
        self._said.index_copy_(0, places, kept[0])
        for part, new in zip(self._state, kept[1], strict=True):
            part.index_copy_(1, places, new)

    def reset(self, slot: int) -> None:
        """See `Head.reset`."""
        self._said[slot] = self._start[0][0]
        for part, start in zip(self._state, self._start[1], strict=True):
            part[:, slot] = start[:, 0]

    def _labels(
        self, heard: torch.Tensor, said: torch.Tensor, pens: Sequence[Pen]
    ) -> tuple[list[int], list[float]]:
        """Each row's best label and its probability."""
        scores = self._joint.joint_after_projection(heard, said[:, None])[:, 0, 0].float().log_softmax(-1)
        labels = scores.argmax(-1)
        if any(pen.hot_words is not None for pen in pens):
            lifted = (scores + self._lifts(scores, pens))[:, : self._blank].argmax(-1)
            labels = torch.where(labels == self._blank, labels, lifted)
        confidences = scores.gather(1, labels[:, None])[:, 0].exp()
        return labels.tolist(), confidences.tolist()

    def _lifts(self, scores: torch.Tensor, pens: Sequence[Pen]) -> torch.Tensor:
        lifts = torch.zeros(scores.shape)
        for row, pen in enumerate(pens):
            if pen.hot_words is not None:
                for piece, nats in pen.hot_words.lifts(pen.state).items():
                    lifts[row, piece] = nats
        return lifts.to(scores.device)

    def _advance(
        self,
        said: torch.Tensor,
        state: tuple[torch.Tensor, ...],
        labels: Sequence[int],
        writing: Sequence[bool],
    ) -> Kept:
        """The prediction network, one piece on where one was written."""
        on = torch.tensor(writing, device=said.device)
        written = torch.tensor(labels, device=said.device)[:, None]
        said_next, state_next = self._predict(written, state)
        said = torch.where(on[:, None], said_next, said)
        return said, tuple(
            torch.where(on[None, :, None], new, old) for new, old in zip(state_next, state, strict=True)
        )

    def _predict(self, written: torch.Tensor, state: tuple[torch.Tensor, ...] | None) -> Kept:
        output, after = self._decoder.predict(written, state, add_sos=False, batch_size=len(written))
        return self._joint.project_prednet(output)[:, 0], tuple(after)
