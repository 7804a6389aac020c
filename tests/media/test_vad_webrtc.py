from __future__ import annotations

import numpy as np

from media.vad_webrtc import WebrtcGate
from tests.media.speech import FRAME, prompts, spoken


def open_share(aggressiveness: int) -> tuple[float, float]:
    """How often the gate is open before the speech, and inside it."""
    pcm = spoken(prompts()[0], before=1.0, after=0.0)
    gate = WebrtcGate(aggressiveness)
    gate.reset([0], 1)
    frames = pcm.reshape(-1, 1, FRAME).astype(np.float32) / 32768
    answers = [bool(gate.judge(np.array([0]), frame)[0]) for frame in frames]
    return float(np.mean(answers[:45])), float(np.mean(answers[50:]))


def test_the_gate_is_shut_on_a_quiet_line_and_open_on_speech() -> None:
    before, inside = open_share(3)
    assert before == 0.0
    assert inside > 0.5


def test_a_less_doubtful_gate_is_open_more() -> None:
    assert open_share(0)[1] >= open_share(3)[1]


def test_slots_are_judged_apart() -> None:
    pcm = spoken(prompts()[0], before=1.0, after=0.0).reshape(-1, FRAME).astype(np.float32) / 32768
    alone, shared = WebrtcGate(3), WebrtcGate(3)
    alone.reset([0], 1)
    shared.reset([0, 1], 2)
    silence = np.zeros(FRAME, np.float32)
    for frame in pcm:
        expected = alone.judge(np.array([0]), frame[None])
        both = shared.judge(np.array([1, 0]), np.stack([frame, silence]))
        assert both.tolist() == [expected[0], False]
