"""Log-mel features piece by piece, equal to what NeMo's own front end makes of the whole recording."""

from __future__ import annotations

from typing import Any

import torch

from engines.models.base import ModelUnfit


class Frontend:
    """Every slot's features. What a slot needs of its past is the last window's tail and one raw sample."""

    def __init__(self, featurizer: Any, slots: int, device: torch.device) -> None:
        """`featurizer`: NeMo's `FilterbankFeatures`. Raises `ModelUnfit` for one that normalises."""
        if featurizer.normalize not in (None, "NA", "none", False, ""):
            raise ModelUnfit(f"its features are normalised over the whole recording ({featurizer.normalize})")
        self.window: int = featurizer.win_length
        self.hop: int = featurizer.hop_length
        self._fft: int = featurizer.n_fft
        self._shape = featurizer.window.float().to(device)
        self._bank = featurizer.fb.float().to(device)
        self._emphasis: float = featurizer.preemph or 0.0
        self._power: float = featurizer.mag_power
        self._clamped = featurizer.log_zero_guard_type == "clamp"
        self._guard = float(featurizer.log_zero_guard_value_fn(torch.zeros(1)))
        self._pad = float(featurizer.pad_value)
        self._tail = torch.zeros(slots, self.window - self.hop, device=device)
        self._last = torch.zeros(slots, 1, device=device)

    @property
    def bands(self) -> int:
        """Mel bands."""
        return int(self._bank.shape[1])

    def mel(
        self,
        slots: torch.Tensor,
        sound: torch.Tensor,
        samples: torch.Tensor,
        frames: torch.Tensor,
        first: bool,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """[rows, bands, frames] of the next sound, -1..1, and what to `keep`.

        `samples` and `frames` say how much of each row is real: behind the sound's end NeMo has silence after
        its emphasis filter, and behind the last frame its padding value.
        """
        if first:
            before, tail = torch.zeros_like(sound[:, :1]), sound.new_zeros(len(sound), self.window // 2)
        else:
            before, tail = self._last.index_select(0, slots), self._tail.index_select(0, slots)
        emphasised = sound - self._emphasis * torch.cat([before, sound[:, :-1]], 1)
        behind = torch.arange(sound.shape[1], device=sound.device) >= samples[:, None]
        heard = torch.cat([tail, emphasised.masked_fill(behind, 0.0)], 1)
        mel = self._log_mel(heard)
        behind = torch.arange(mel.shape[2], device=mel.device) >= frames[:, None]
        kept = heard[:, -self._tail.shape[1] :], sound[:, -1:]
        return mel.masked_fill(behind[:, None], self._pad), kept

    def keep(self, slots: torch.Tensor, kept: tuple[torch.Tensor, torch.Tensor]) -> None:
        """Let the slots go on from there."""
        self._tail.index_copy_(0, slots, kept[0])
        self._last.index_copy_(0, slots, kept[1])

    def _log_mel(self, heard: torch.Tensor) -> torch.Tensor:
        cut = heard.unfold(1, self.window, self.hop) * self._shape
        spectrum = torch.fft.rfft(cut, n=self._fft, dim=-1)
        power = spectrum.real.square() + spectrum.imag.square()
        if self._power != 2.0:
            power = power.pow(self._power / 2)
        mel = torch.matmul(self._bank, power.transpose(1, 2))
        return torch.log(mel.clamp(min=self._guard) if self._clamped else mel + self._guard)
