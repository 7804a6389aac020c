"""The tokens of all rows, one step at a time: one batch on the device, every row pushed to its right edge.

Rows have prompts of different lengths and begin at different times. Pushed to the right, with the room on
the left masked, each of them sees its own past alone, so it gains the same tokens as if it were alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from transformers import DynamicCache

Past: TypeAlias = list[tuple[torch.Tensor, torch.Tensor]]
"""Keys and values of each layer, (rows, heads, places, width)."""


@dataclass
class Sampling:
    """How the next token is drawn."""

    temperature: float = 0.75
    top_k: int = 50
    top_p: float = 0.85
    repetition_penalty: float = 5.0
    greedy: bool = False


@dataclass
class TokenRow:
    """One row's own part."""

    length: int
    """Places that it fills in the batch's past."""
    token: int
    """The last token, which the next step reads."""
    latents: torch.Tensor
    """One for each token so far, and room for more: (most tokens, width)."""
    seen: torch.Tensor
    """Which tokens it has had, (vocabulary)."""
    chance: np.random.Generator
    count: int = 0
    ended: bool = False
    voiced: int = 0
    """Vocoder frames that are samples already."""
    speaker: Any = None
    speed: float = 1.0


@dataclass
class Batch:
    """The rows whose past lies together on the device, and those that are set aside."""

    ids: tuple[int, ...] = ()
    past: Past = field(default_factory=list)
    aside: dict[int, Past] = field(default_factory=dict)


class TokenRows:
    """All rows of one XTTS model."""

    def __init__(self, gpt: Any, sampling: Sampling, device: torch.device) -> None:
        self._gpt = gpt
        self._sampling = sampling
        self._device = device
        self._batch = Batch()
        names = inspect.signature(gpt.gpt.forward).parameters
        self._cache = "cache" if "cache" in names else "past_key_values"  # renamed in transformers 5.24
        self._most = int(gpt.max_gen_mel_tokens)
        self.rows: dict[int, TokenRow] = {}

    def opening(self, style: torch.Tensor) -> Past:
        """What every prompt of a voice begins with, read once; `style`: (1, places, width)."""
        cache = DynamicCache()
        self._run(style, cache, self._mask([style.shape[1]], style.shape[1]))
        return _past(cache)

    def read(self, prompts: dict[int, tuple[Past, torch.Tensor, int]]) -> tuple[int, ...]:
        """New rows: each its voice's opening, an embedded text (places, width), the seed of its chances.

        Each has its first token then; returns those that have all of theirs.
        """
        texts = [self._begun(text) for _, text, _ in prompts.values()]
        longest, opened = max(map(len, texts)), next(iter(prompts.values()))[0][0][0].shape[2]
        embedded = torch.stack([torch.nn.functional.pad(t, (0, 0, longest - len(t), 0)) for t in texts])
        cache = DynamicCache()
        for layer in range(len(next(iter(prompts.values()))[0])):
            keys, values = (torch.cat([p[0][layer][part] for p in prompts.values()]) for part in (0, 1))
            cache.update(keys, values, layer)
        mask = self._mask([len(text) for text in texts], longest)
        mask = torch.cat([torch.ones(len(texts), opened, dtype=torch.long, device=self._device), mask], 1)
        hidden = self._run(embedded, cache, mask)[:, -1]
        past = _past(cache)
        for place, (row, (_, _, seed)) in enumerate(prompts.items()):
            self.rows[row] = self._row(opened + len(texts[place]) - 1, seed, hidden.shape[1])
            room = longest - len(texts[place])
            mine = _selected(past, [place]) if len(texts) > 1 else past
            self._batch.aside[row] = [(_without(k, opened, room), _without(v, opened, room)) for k, v in mine]
        return self._gain(list(prompts), hidden)

    def step(self, ids: Sequence[int]) -> tuple[int, ...]:
        """One token for each of these rows; returns those that have all theirs now."""
        self._assemble(tuple(ids))
        return self._gain(self._batch.ids, self._hidden([self.rows[row] for row in self._batch.ids]))

    def _begun(self, text: torch.Tensor) -> torch.Tensor:
        """The text and the token that opens all speech."""
        gpt = self._gpt
        start = torch.tensor([int(gpt.start_audio_token)], device=self._device)
        first = torch.zeros(1, dtype=torch.long, device=self._device)
        return torch.cat([text, gpt.mel_embedding(start) + gpt.mel_pos_embedding.emb(first)])

    def _gain(self, ids: Sequence[int], hidden: torch.Tensor) -> tuple[int, ...]:
        """Each row's next token, drawn from what the transformer made of the last one."""
        rows = [self.rows[row] for row in ids]
        latents = self._gpt.final_norm(hidden)
        tokens = self._drawn(self._gpt.mel_head(latents).float(), rows)
        stop = int(self._gpt.stop_audio_token)
        ended = []
        for place, (row_id, row) in enumerate(zip(ids, rows, strict=True)):
            row.latents[row.count] = latents[place]
            row.token = tokens[place]
            row.seen[row.token] = True
            row.count += 1
            row.length += 1
            if row.token == stop or row.count == self._most:
                row.ended = True
                ended.append(row_id)
        return tuple(ended)

    def rest(self, row: int) -> None:
        """The row has all its tokens: only its latents are still needed."""
        self._leave(row)

    def forget(self, row: int) -> None:
        """Free everything of the row. Unknown ones are ignored."""
        self._leave(row)
        self.rows.pop(row, None)

    def _row(self, length: int, seed: int, width: int) -> TokenRow:
        gpt = self._gpt
        seen = torch.zeros(gpt.num_audio_tokens, dtype=torch.bool, device=self._device)
        seen[[1, int(gpt.start_audio_token)]] = True  # what the library's own prompt counts as said
        latents = torch.empty(self._most, width, device=self._device)
        return TokenRow(length, int(gpt.start_audio_token), latents, seen, np.random.default_rng(seed))

    def _hidden(self, rows: list[TokenRow]) -> torch.Tensor:
        """What the transformer makes of each row's last token; the past grows by one place."""
        tokens = torch.tensor([row.token for row in rows], device=self._device)
        places = torch.tensor([row.count for row in rows], device=self._device)
        embedded = self._gpt.mel_embedding(tokens) + self._gpt.mel_pos_embedding.emb(places)
        cache = DynamicCache()
        for layer, (keys, values) in enumerate(self._batch.past):
            cache.update(keys, values, layer)
        longest = max(row.length for row in rows) + 1
        mask = self._mask([row.length + 1 for row in rows], longest)
        hidden = self._run(embedded[:, None], cache, mask)
        self._batch.past = _past(cache)
        return hidden[:, -1]

    def _run(self, embedded: torch.Tensor, cache: Any, mask: torch.Tensor) -> torch.Tensor:
        told = {self._cache: cache}
        out = self._gpt.gpt(inputs_embeds=embedded, attention_mask=mask, use_cache=True, **told)
        hidden: torch.Tensor = out.last_hidden_state
        return hidden

    def _mask(self, lengths: list[int], longest: int) -> torch.Tensor:
        places = torch.arange(longest, device=self._device)
        starts = longest - torch.tensor(lengths, device=self._device)
        return (places[None] >= starts[:, None]).long()

    def _assemble(self, ids: tuple[int, ...]) -> None:
        """Have exactly these rows in the batch; the others are set aside."""
        batch = self._batch
        if ids == batch.ids:
            return
        wanted = set(ids)
        for row in batch.ids:
            if row not in wanted and row in self.rows:
                batch.aside[row] = self._taken(row)
        stay = [row for row in batch.ids if row in wanted]
        new = [row for row in ids if row not in stay]
        longest = max(self.rows[row].length for row in ids)
        pieces = [_selected(batch.past, [batch.ids.index(row) for row in stay])] if stay else []
        pieces += [batch.aside.pop(row) for row in new]
        batch.past = [
            tuple(torch.cat([_pushed(piece[layer][part], longest) for piece in pieces]) for part in (0, 1))
            for layer in range(len(pieces[0]))
        ]
        batch.ids = (*stay, *new)

    def _taken(self, row: int) -> Past:
        place, length = self._batch.ids.index(row), self.rows[row].length
        return [
            (k[place : place + 1, :, -length:].clone(), v[place : place + 1, :, -length:].clone())
            for k, v in self._batch.past
        ]

    def _leave(self, row: int) -> None:
        batch = self._batch
        batch.aside.pop(row, None)
        if row not in batch.ids:
            return
        stay = [place for place, other in enumerate(batch.ids) if other != row]
        ids = tuple(batch.ids[place] for place in stay)
        longest = max((self.rows[other].length for other in ids), default=0)
        batch.past = (
            [(_pushed(k, longest), _pushed(v, longest)) for k, v in _selected(batch.past, stay)]
            if stay
            else []
        )
        batch.ids = ids

    def _drawn(self, scores: torch.Tensor, rows: list[TokenRow]) -> list[int]:
        """The next token of each row, by its own chances alone."""
        sampling = self._sampling
        seen = torch.stack([row.seen for row in rows])
        penalty = sampling.repetition_penalty
        scores = torch.where(seen, torch.where(scores < 0, scores * penalty, scores / penalty), scores)
        if sampling.greedy:
            best: list[int] = scores.argmax(-1).tolist()
            return best
        kept, places = torch.topk(scores / sampling.temperature, min(sampling.top_k, scores.shape[1]), dim=-1)
        shares = torch.softmax(kept, -1)
        before = shares.cumsum(-1) - shares
        shares = shares.masked_fill(before >= sampling.top_p, 0.0)
        chances = torch.tensor([row.chance.random() for row in rows], device=self._device)
        sums = shares.cumsum(-1)
        chosen = (sums < chances[:, None] * sums[:, -1:]).sum(-1, keepdim=True)
        drawn: list[int] = places.gather(-1, chosen.clamp(max=shares.shape[1] - 1))[:, 0].tolist()
        return drawn


def _past(cache: Any) -> Past:
    return [(layer.keys, layer.values) for layer in cache.layers]


def _selected(past: Past, places: list[int]) -> Past:
    if past and len(places) == past[0][0].shape[0]:
        return past
    return [(k[places], v[places]) for k, v in past]


def _without(tensor: torch.Tensor, first: int, room: int) -> torch.Tensor:
    """Without the `room` empty places from `first` on."""
    return torch.cat([tensor[:, :, :first], tensor[:, :, first + room :]], 2) if room else tensor


def _pushed(tensor: torch.Tensor, longest: int) -> torch.Tensor:
    """As wide as `longest` places, the right edges kept."""
    room = longest - tensor.shape[2]
    if room <= 0:
        return tensor[:, :, -longest:]
    return torch.nn.functional.pad(tensor, (0, 0, room, 0))
