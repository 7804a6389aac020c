"""The quick gate: WebRTC's detector answers within the frame, but also opens on tones and noise."""

from __future__ import annotations

import numpy as np
import webrtcvad

from media.vad_input import VAD_RATE, VAD_SAMPLES, Bools, Floats, Slots


class WebrtcGate:
    """One WebRTC detector per slot; about 2 µs a frame."""

    def __init__(self, aggressiveness: int) -> None:
        self._aggressiveness = aggressiveness
        self._detectors: list[webrtcvad.Vad] = []

    def reset(self, slots: list[int], needed: int) -> None:
        """Give the slots detectors that have heard nothing."""
        while len(self._detectors) < needed:
            self._detectors.append(webrtcvad.Vad(self._aggressiveness))
        for slot in slots:
            self._detectors[slot] = webrtcvad.Vad(self._aggressiveness)

    def judge(self, slots: Slots, frames: Floats) -> Bools:
        """Whether each row of 8 kHz sound, scaled to ±1, may be a voice."""
        pcm = np.clip(frames * 32768.0, -32768, 32767).astype(np.int16).tobytes()
        size = VAD_SAMPLES * 2
        answers = [
            self._detectors[slot].is_speech(pcm[row * size : (row + 1) * size], VAD_RATE)
            for row, slot in enumerate(slots.tolist())
        ]
        return np.array(answers, np.bool_)
