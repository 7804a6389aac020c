from __future__ import annotations

import numpy as np
import pytest

from benchmarks.noises import NOISES
from callers.speech import RATE, levels_dbfs


@pytest.mark.parametrize("name", sorted(NOISES))
def test_a_noise_has_its_length_and_can_be_heard(name: str) -> None:
    pcm = NOISES[name](8.0, np.random.default_rng(1))
    assert len(pcm) == 8 * RATE
    assert -50 < levels_dbfs(pcm).max() < 0


@pytest.mark.parametrize("name", sorted(NOISES))
def test_the_same_seed_gives_the_same_noise(name: str) -> None:
    first, second = (NOISES[name](4.0, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, second)


def test_bursts_leave_the_line_quiet_between_them() -> None:
    quiet = levels_dbfs(NOISES["coughs"](20.0, np.random.default_rng(2))) < -60
    assert 0.5 < quiet.mean() < 0.98
