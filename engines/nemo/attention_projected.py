"""The past as keys and values, projected once, in a ring for each slot and layer.

NeMo keeps each layer's inputs and projects all of the past again in every step: at chunks of 80 ms that is
most of a step's arithmetic. Relative positions are in nobody's way: their embeddings are the same in every
step, so their projection too is made once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

_HIDDEN = -10000.0
"""NeMo's score for what must not be seen."""


@dataclass(slots=True)
class Kept:
    """What a step adds to the past: by layer, new keys and values, and the convolutions' last inputs."""

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    times: list[torch.Tensor]


class ProjectedAttention:
    """Serves `Attention` for a Conformer with relative positions."""

    def __init__(self, encoder: Any, slots: int, device: torch.device, dtype: torch.dtype) -> None:
        """The encoder's look-ahead must be set. `slots` includes the scratch one."""
        self._encoder = encoder
        self._layers = list(encoder.layers)
        self._past: int = encoder.streaming_cfg.last_channel_cache_size
        self._frames: int = encoder.streaming_cfg.valid_out_len
        self._heads: int = self._layers[0].self_attn.h
        width: int = encoder.d_model
        ring = (len(self._layers), slots * self._past, width)
        self._keys = torch.zeros(ring, device=device, dtype=dtype)
        self._values = torch.zeros(ring, device=device, dtype=dtype)
        _, self._times, _ = encoder.get_initial_cache_state(slots, dtype=dtype, device=device)
        self._places = torch.arange(self._past, device=device)
        self._positions = self._project_positions(device, dtype, width)

    def advance(
        self, embedded: torch.Tensor, lengths: torch.Tensor, slots: torch.Tensor, heard: torch.Tensor
    ) -> tuple[torch.Tensor, Kept]:
        """See `Attention.advance`."""
        rows, frames, _ = embedded.shape
        x, _ = self._encoder.pos_enc(x=embedded, cache_len=self._past)
        # The ring's oldest frame first: place `heard` is the one that will be written over next.
        past = (slots[:, None] * self._past + (heard[:, None] + self._places) % self._past).flatten()
        new = torch.arange(frames, device=x.device)
        behind = new >= lengths[:, None]
        hidden = torch.cat([self._places < self._past - heard[:, None], behind], 1)[:, None, None]
        void = (heard == 0)[:, None, None]
        kept = Kept([], [], [])
        for number, layer in enumerate(self._layers):
            x = x + layer.feed_forward1(layer.norm_feed_forward1(x)) * layer.fc_factor
            x = x + self._attend(number, layer, layer.norm_self_att(x), past, hidden, kept)
            time = self._times[number].index_select(0, slots).masked_fill(void, 0.0)
            convolved, time = layer.conv(layer.norm_conv(x), pad_mask=behind, cache=time)
            kept.times.append(time)
            x = x + convolved
            x = x + layer.feed_forward2(layer.norm_feed_forward2(x)) * layer.fc_factor
            x = layer.norm_out(x)
        if self._encoder.out_proj is not None:
            x = self._encoder.out_proj(x)
        return x.transpose(1, 2), kept

    def keep(self, slots: torch.Tensor, heard: torch.Tensor, kept: Kept) -> None:
        """See `Attention.keep`."""
        new = torch.arange(self._frames, device=slots.device)
        places = (slots[:, None] * self._past + (heard[:, None] + new) % self._past).flatten()
        for number in range(len(self._layers)):
            self._keys[number].index_copy_(0, places, kept.keys[number].flatten(0, 1))
            self._values[number].index_copy_(0, places, kept.values[number].flatten(0, 1))
            self._times[number].index_copy_(0, slots, kept.times[number])

    def reset(self, slot: int) -> None:
        """See `Attention.reset`."""
        places = slice(slot * self._past, (slot + 1) * self._past)
        self._keys[:, places].zero_()
        self._values[:, places].zero_()
        self._times[:, slot].zero_()

    def _attend(
        self, number: int, layer: Any, x: torch.Tensor, past: torch.Tensor, hidden: torch.Tensor, kept: Kept
    ) -> torch.Tensor:
        attention = layer.self_attn
        rows, frames, width = x.shape
        key, value = attention.linear_k(x), attention.linear_v(x)
        kept.keys.append(key)
        kept.values.append(value)
        keys = self._with_past(self._keys[number], past, key)
        values = self._with_past(self._values[number], past, value)
        query = attention.linear_q(x).view(rows, frames, self._heads, -1)
        by_content = (query + attention.pos_bias_u).transpose(1, 2) @ keys.transpose(2, 3)
        by_place = (query + attention.pos_bias_v).transpose(1, 2) @ self._positions[number]
        scores = by_content + attention.rel_shift(by_place)[..., : keys.shape[2]]
        scores = (scores / attention.s_d_k).float().masked_fill(hidden, _HIDDEN)
        seen = torch.softmax(scores, -1).masked_fill(hidden, 0.0).to(values.dtype) @ values
        mixed: torch.Tensor = attention.linear_out(seen.transpose(1, 2).reshape(rows, frames, width))
        return mixed

    def _with_past(self, ring: torch.Tensor, past: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        """[rows, heads, past + frames, width of a head]."""
        rows, frames, width = new.shape
        whole = torch.cat([ring.index_select(0, past).view(rows, self._past, width), new], 1)
        return whole.view(rows, self._past + frames, self._heads, -1).transpose(1, 2)

    def _project_positions(self, device: torch.device, dtype: torch.dtype, width: int) -> list[torch.Tensor]:
        """By layer, [heads, width of a head, distances] of every distance that a step can see."""
        x = torch.zeros(1, self._frames, width, device=device, dtype=dtype)
        with torch.inference_mode():
            _, places = self._encoder.pos_enc(x=x, cache_len=self._past)
            seen = places[0, : self._past + 2 * self._frames - 1]
            return [
                layer.self_attn.linear_pos(seen)
                .view(len(seen), self._heads, -1)
                .permute(1, 2, 0)
                .contiguous()
                for layer in self._layers
            ]
