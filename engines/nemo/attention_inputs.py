"""The past as NeMo keeps it: each layer's inputs, whose keys and values are projected anew in every step."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch

Kept: TypeAlias = tuple[torch.Tensor, torch.Tensor]


class InputsAttention:
    """Serves `Attention` by NeMo's own `cache_aware_stream_step`."""

    def __init__(self, encoder: Any, slots: int, device: torch.device, dtype: torch.dtype) -> None:
        """The encoder's look-ahead must be set. `slots` includes the scratch one."""
        self._encoder = encoder
        self._past = encoder.streaming_cfg.last_channel_cache_size
        self._channel, self._time, _ = encoder.get_initial_cache_state(slots, dtype=dtype, device=device)

    def advance(
        self, embedded: torch.Tensor, lengths: torch.Tensor, slots: torch.Tensor, heard: torch.Tensor
    ) -> tuple[torch.Tensor, Kept]:
        """See `Attention.advance`."""
        void = (heard == 0)[None, :, None, None]
        encoded, _, channel, time, _ = self._encoder.cache_aware_stream_step(
            processed_signal=embedded,
            processed_signal_length=lengths,
            cache_last_channel=self._channel.index_select(1, slots).masked_fill(void, 0.0),
            cache_last_time=self._time.index_select(1, slots).masked_fill(void, 0.0),
            cache_last_channel_len=heard.clamp(max=self._past),
            keep_all_outputs=False,
            bypass_pre_encode=True,
        )
        return encoded, (channel, time)

    def keep(self, slots: torch.Tensor, heard: torch.Tensor, kept: Kept) -> None:
        """See `Attention.keep`."""
        self._channel.index_copy_(1, slots, kept[0])
        self._time.index_copy_(1, slots, kept[1])

    def reset(self, slot: int) -> None:
        """See `Attention.reset`."""
        self._channel[:, slot].zero_()
        self._time[:, slot].zero_()
