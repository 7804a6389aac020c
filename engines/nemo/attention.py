"""The seam around the encoder's layers: embeddings of a chunk in, encoded frames out, the past by slot.

Two ways to keep the past stand behind it: `attention_inputs` keeps what NeMo keeps, each layer's inputs, and
`attention_projected` keys and values as they were projected. Both give the same numbers.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch


class Attention(Protocol):
    """Every slot's past, and the layers that hear with it. The last slot is scratch."""

    def advance(
        self, embedded: torch.Tensor, lengths: torch.Tensor, slots: torch.Tensor, heard: torch.Tensor
    ) -> tuple[torch.Tensor, Any]:
        """[rows, frames, width] of embeddings to [rows, width, frames] of encoded frames, and what to `keep`.

        `lengths`: real frames of each row. `heard`: frames that its slot has heard before; 0 makes its past
        void. Changes nothing that another call could see.
        """

    def keep(self, slots: torch.Tensor, heard: torch.Tensor, kept: Any) -> None:
        """Let the slots go on from there; rows of the same `advance`, in the same order."""

    def reset(self, slot: int) -> None:
        """Forget the slot's past, so that not even its numbers' being broken is left."""
