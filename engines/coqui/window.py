"""Which vocoder frames follow from which tokens, and how: the library's interpolation, piece by piece.

XTTS stretches the tokens' latents linearly to frames (for the speed, to the mel rate, to the output's rate)
and the vocoder makes samples of the frames. Every frame depends on two neighbours of the stage before, so a
window of frames can be made from a few tokens, and comes out as if all had been there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Interpolation:
    """Linear stages, each making so many times as many values as it gets."""

    scales: tuple[float, ...]

    def length(self, tokens: int) -> int:
        """Frames of a whole passage of so many tokens."""
        for scale in self.scales:
            tokens = int(np.floor(tokens * scale))
        return tokens

    def settled(self, tokens: int) -> int:
        """Frames that stay as they are, whatever tokens follow these."""
        for scale in self.scales:
            tokens = _settled(tokens, scale)
        return tokens

    def weights(self, first: int, last: int, tokens: int) -> tuple[Weights, int]:
        """The matrix that makes frames `first` to `last` of a passage with so many tokens, and the first
        token that it takes; shape (last - first, tokens taken)."""
        sizes = [tokens]
        for scale in self.scales[:-1]:
            sizes.append(int(np.floor(sizes[-1] * scale)))
        matrix = np.eye(last - first, dtype=np.float32)
        for scale, size in zip(reversed(self.scales), reversed(sizes), strict=True):
            low, high, share = _sources(np.arange(first, last), scale, size)
            first, last = int(low[0]), int(high[-1]) + 1
            stage = np.zeros((len(share), last - first), np.float32)
            rows = np.arange(len(share))
            stage[rows, low - first] += 1 - share
            stage[rows, high - first] += share
            matrix = matrix @ stage
        return matrix, first


def _sources(
    places: npt.NDArray[np.int64], scale: float, size: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Weights]:
    """The two neighbours of each place and the second one's share, in single precision as PyTorch counts."""
    step = np.float32(1.0 / scale)
    exact = np.maximum((places.astype(np.float32) + np.float32(0.5)) * step - np.float32(0.5), np.float32(0))
    low = np.minimum(exact.astype(np.int64), size - 1)
    high = np.minimum(low + 1, size - 1)
    return low, high, np.clip(exact - low.astype(np.float32), 0, 1).astype(np.float32)


def _settled(known: int, scale: float) -> int:
    """How many leading values have both neighbours among the known ones."""
    if known < 2:
        return 0
    most = int(np.floor(known * scale)) + 1
    exact = (np.arange(most, dtype=np.float32) + np.float32(0.5)) * np.float32(1.0 / scale) - np.float32(0.5)
    return min(most - 1, int(np.count_nonzero(exact.astype(np.int64) + 1 <= known - 1)))
