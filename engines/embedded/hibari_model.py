"""The hibari voice itself: phonemes in, samples and the time of every word out. Synchronous and thread-safe.

hibari-tts is used by its parts (phonemes, network, signal processing) because its own front door neither
tells how long each phoneme lasts nor keeps to one sentence. The parts are no public interface, hence the
exact version.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import numpy as np
import onnxruntime
from hibari import dsp
from hibari.g2p import G2P

from engines.base import EngineFailed
from engines.loudness import Samples

VOICE = "heart"
SAMPLE_RATE: int = dsp.SR
_VERSION = "0.2.1"
_SECONDS_PER_STEP = 0.025
_STEPS_OUTPUT = b"/CumSum_output_0"
"""Inside the network: after how many steps each phoneme is over."""
_LONGEST = 500
"""Phonemes of one run; the memory and time of a run grow with it."""
_SILENT = frozenset(" .,;:!?…—()\"“”'")


@dataclass(frozen=True, slots=True)
class Speech:
    """Raw synthesis of one stretch of text."""

    pcm: Samples
    spans: tuple[tuple[float, float], ...]
    """Start and end in seconds of each blank-separated word of the text."""


class HibariModel:
    """A loaded voice. `speak` may run in several threads at once."""

    def __init__(self) -> None:
        """Load everything, about half a second. Raises `EngineFailed` when another release is installed."""
        installed = version("hibari-tts")
        if installed != _VERSION:
            raise EngineFailed(f"hibari-tts {installed} is installed: install hibari-tts=={_VERSION}")
        assets = files("hibari") / "assets"
        self._vocabulary: dict[str, int] = json.loads((assets / "vocab.json").read_text(encoding="utf-8"))
        network = (assets / "hibari.onnx").read_bytes() + _also_output(_STEPS_OUTPUT)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        self._g2p = G2P()
        self._g2p.oov("offhook")

    def speak(self, text: str, speed: float, seed: int = 0) -> Speech:
        """Synthesize one sentence of plain words; the same text gives the same samples."""
        ids, owners, words = self._phonemes(text)
        if len(ids) < 3:
            return Speech(np.zeros(0, np.float32), ((0.0, 0.0),) * words)
        *spectra, steps = self._session.run(
            None, {"ids": np.asarray([ids], np.int64), "speed": np.asarray([speed], np.float32)}
        )
        pcm: Samples = dsp.synth(*(s[0] for s in spectra), np.random.default_rng(seed))
        return Speech(pcm, _spans(owners, steps * _SECONDS_PER_STEP, words))

    def _phonemes(self, text: str) -> tuple[list[int], list[int], int]:
        """Network input for the text; the word of each phoneme (-1: none); how many words there are."""
        ids, owners, word = [0], [-1], 0
        for token in self._tokens(text):
            for phoneme in token.phonemes or "":
                if phoneme in self._vocabulary and len(ids) <= _LONGEST:
                    ids.append(self._vocabulary[phoneme])
                    owners.append(-1 if phoneme in _SILENT else word)
            if token.whitespace:
                ids.append(self._vocabulary[" "])
                owners.append(-1)
                word += 1
        return [*ids, 0], [*owners, -1], len(text.split())

    def _tokens(self, text: str) -> Sequence[Any]:
        tokens: Sequence[Any] = self._g2p.phonemize_tokens(self._g2p.tokenize(text))
        return tokens


def _spans(owners: list[int], ends: Sequence[float], words: int) -> tuple[tuple[float, float], ...]:
    """Start and end of each word; a word without a sound of its own is a moment between its neighbours."""
    spans: list[tuple[float, float]] = []
    at = float(ends[0])
    for word in range(words):
        places = [i for i, owner in enumerate(owners) if owner == word]
        if places:
            spans.append((float(ends[places[0] - 1]), float(ends[places[-1]])))
            at = spans[-1][1]
        else:
            spans.append((at, at))
    return tuple(spans)


def _also_output(name: bytes) -> bytes:
    """Bytes that, put behind an ONNX file, make one more inner value an output.

    Protocol buffers that follow each other are merged: ModelProto.graph (7) . output (12) . name (1).
    """
    for field in (1, 12, 7):
        if len(name) > 127:
            raise ValueError("the name is too long for a one-byte length")
        name = bytes([field << 3 | 2, len(name)]) + name
    return name
