"""The encoder's layers as one CUDA graph for each batch size: one launch in place of some fifteen hundred.

Only for GPUs. Where a graph cannot be captured, the layers run as they would without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
import torch

from engines.nemo.attention import Attention

log = structlog.get_logger(__name__)

_WARM_RUNS = 3
"""Runs before a capture, so that every kernel has chosen its workspace."""


@dataclass(slots=True)
class _Captured:
    graph: Any
    embedded: torch.Tensor
    lengths: torch.Tensor
    slots: torch.Tensor
    heard: torch.Tensor
    encoded: torch.Tensor
    kept: Any


class GraphedAttention:
    """Serves `Attention` around another one. What it returns is overwritten by its next `advance`."""

    def __init__(
        self,
        inner: Attention,
        outputs: int,
        width: int,
        scratch: int,
        buckets: Sequence[int],
        weight: torch.Tensor,
    ) -> None:
        """Capture every bucket, the largest first, so that the others share its memory."""
        self._inner = inner
        self._captured: dict[int, _Captured] = {}
        self._pool = torch.cuda.graph_pool_handle()
        try:
            for bucket in sorted(buckets, reverse=True):
                self._captured[bucket] = self._capture(bucket, outputs, width, scratch, weight)
        except RuntimeError as error:
            log.warning("CUDA graphs are off: a capture failed", error=str(error))
            self._captured.clear()

    def advance(
        self, embedded: torch.Tensor, lengths: torch.Tensor, slots: torch.Tensor, heard: torch.Tensor
    ) -> tuple[torch.Tensor, Any]:
        """See `Attention.advance`."""
        captured = self._captured.get(len(embedded))
        if captured is None:
            return self._inner.advance(embedded, lengths, slots, heard)
        captured.embedded.copy_(embedded)
        captured.lengths.copy_(lengths)
        captured.slots.copy_(slots)
        captured.heard.copy_(heard)
        captured.graph.replay()
        return captured.encoded, captured.kept

    def keep(self, slots: torch.Tensor, heard: torch.Tensor, kept: Any) -> None:
        """See `Attention.keep`."""
        self._inner.keep(slots, heard, kept)

    def reset(self, slot: int) -> None:
        """See `Attention.reset`."""
        self._inner.reset(slot)

    def _capture(
        self, bucket: int, outputs: int, width: int, scratch: int, weight: torch.Tensor
    ) -> _Captured:
        device = weight.device
        embedded = torch.zeros(bucket, outputs, width, device=device, dtype=weight.dtype)
        lengths = torch.full((bucket,), outputs, dtype=torch.long, device=device)
        slots = torch.full((bucket,), scratch, dtype=torch.long, device=device)
        heard = torch.zeros(bucket, dtype=torch.long, device=device)
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            for _ in range(_WARM_RUNS):
                self._inner.advance(embedded, lengths, slots, heard)
        torch.cuda.current_stream(device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            encoded, kept = self._inner.advance(embedded, lengths, slots, heard)
        return _Captured(graph, embedded, lengths, slots, heard, encoded, kept)
