"""The growing audio of a segment."""

from __future__ import annotations

import numpy as np
import pytest

from engines.embedded.moonshine_audio import SegmentAudio
from media import tones
from media.frame import Pcm

RATE = 8000


def of(*parts: Pcm) -> SegmentAudio:
    audio = SegmentAudio(RATE)
    for part in parts:
        audio.append(part)
    return audio


def loud(seconds: float) -> Pcm:
    return tones.tone((300.0,), seconds, RATE, -15.0)


def noise(seconds: float, level: float) -> Pcm:
    return tones.comfort_noise(seconds, RATE, level, seed=1)


def test_a_view_stays_true_while_more_is_added() -> None:
    audio = of(loud(3.9))
    view = audio.view()
    before = view.copy()
    for _ in range(20):
        audio.append(noise(0.5, -30.0))
    assert np.array_equal(view, before)
    assert np.array_equal(audio.view(0, len(before)), before)
    assert audio.seconds == pytest.approx(13.9)


@pytest.mark.parametrize("at", [6.4, 7.5, 10.0])
def test_a_split_falls_into_the_pause_and_loses_nothing(at: float) -> None:
    audio = of(loud(at), noise(0.4, -60.0), loud(11.0 - at))
    whole = audio.view().copy()
    prefix, rest = audio.split(6.0)
    assert at < len(prefix) / RATE < at + 0.4
    assert np.array_equal(np.concatenate([prefix, rest.view()]), whole)


def test_a_split_without_a_pause_still_cuts_where_it_may() -> None:
    prefix, rest = of(noise(12.0, -20.0)).split(6.0)
    assert 6.0 <= len(prefix) / RATE <= 12.0
    assert len(prefix) + len(rest) == 12 * RATE


@pytest.mark.parametrize(
    ("tail", "quiet"),
    [
        (noise(0.4, -70.0), True),
        (noise(0.4, -50.0), True),
        (loud(0.04), False),
        (noise(0.4, -30.0), False),
        (noise(0.0, -30.0), True),
    ],
)
def test_what_comes_after_a_pause_is_quiet_or_not(tail: Pcm, quiet: bool) -> None:
    before = of(loud(1.0), noise(0.2, -60.0))
    mark = len(before)
    before.append(tail)
    assert before.quiet_since(mark) is quiet


def test_on_a_noisy_line_the_line_is_the_measure() -> None:
    audio = of(loud(1.0), noise(0.2, -32.0))
    mark = len(audio)
    audio.append(noise(0.5, -32.0))
    assert audio.quiet_since(mark)
    audio.append(loud(0.1))
    assert not audio.quiet_since(mark)
