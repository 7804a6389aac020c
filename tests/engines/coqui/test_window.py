from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.coqui.window import Interpolation

SCALES = [(4.0, 24000 / 22050), (1 / 1.3, 4.0, 24000 / 22050), (1 / 0.5, 4.0), (1 / 2.0, 4.0, 24000 / 22050)]


def interpolated(values: np.ndarray, scale: float) -> np.ndarray:
    """As PyTorch's linear `interpolate` without aligned corners is defined, in double precision."""
    size = int(np.floor(len(values) * scale))
    exact = np.maximum((np.arange(size) + 0.5) / scale - 0.5, 0)
    low = np.minimum(exact.astype(int), len(values) - 1)
    high = np.minimum(low + 1, len(values) - 1)
    share = np.clip(exact - low, 0, 1)[:, None]
    mixed: np.ndarray = values[low] * (1 - share) + values[high] * share
    return mixed


def whole(values: np.ndarray, scales: tuple[float, ...]) -> np.ndarray:
    for scale in scales:
        values = interpolated(values, scale)
    return values


@settings(deadline=None)
@given(st.sampled_from(SCALES), st.integers(2, 120), st.data())
def test_a_window_is_a_piece_of_the_whole(
    scales: tuple[float, ...], tokens: int, data: st.DataObject
) -> None:
    values = np.random.default_rng(tokens).standard_normal((tokens, 3))
    frames = whole(values, scales)
    stages = Interpolation(scales)
    assert stages.length(tokens) == len(frames)
    if not len(frames):
        return
    first = data.draw(st.integers(0, len(frames) - 1))
    last = data.draw(st.integers(first + 1, len(frames)))
    matrix, begins = stages.weights(first, last, tokens)
    made = matrix @ values[begins : begins + matrix.shape[1]]
    assert made == pytest.approx(frames[first:last], abs=2e-3)


@settings(deadline=None)
@given(st.sampled_from(SCALES), st.integers(1, 80), st.integers(0, 40))
def test_settled_frames_do_not_move_when_more_tokens_come(
    scales: tuple[float, ...], tokens: int, more: int
) -> None:
    values = np.random.default_rng(1).standard_normal((tokens + more, 2))
    settled = Interpolation(scales).settled(tokens)
    assert settled <= Interpolation(scales).length(tokens)
    assert settled >= Interpolation(scales).length(tokens) - round(2 * np.prod(scales)) - 3
    early, late = whole(values[:tokens], scales), whole(values, scales)
    assert early[:settled] == pytest.approx(late[:settled])
