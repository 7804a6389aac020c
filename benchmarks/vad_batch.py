"""What judging voice costs: CPU per call and time per tick, from one call to many, one batch per tick.

Each leg hears a recorded prompt, then as much silence, from a place of its own, so that windows of all legs
do not fall together and half the legs are silent at any time. CPU is the process's own; run it quietly.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.arguments import numbers, parser
from benchmarks.report import Report, quantiles
from media.vad import BatchDetector, VadMode, VadSettings, open_detector
from media.wav import read_mono

RATE, FRAME = 8000, 160
MEASURED_SECONDS = 12.0
MANY = 100
"""From this many calls on the promise for a batch holds; fewer share the fixed cost of a run."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One detector at one number of calls."""

    cpu_percent: float
    """Of a core, per call."""
    tick_ms: tuple[float, float, float]
    """p50, p99 and longest."""
    skipped_percent: float
    """Windows that the model did not need to hear."""


def lines(speech: Path, legs: int, ticks: int) -> npt.NDArray[np.int16]:
    """(ticks, legs, samples): what each leg hears."""
    rng = np.random.default_rng(1)
    pieces: list[npt.NDArray[np.int16]] = []
    for path in sorted(speech.glob("*.wav")):
        pcm = read_mono(path, RATE)
        pieces += [pcm, np.zeros(len(pcm), np.int16)]
    track = np.concatenate(pieces)
    track = np.clip(track + rng.normal(0, 20, len(track)), -32768, 32767).astype(np.int16)
    starts = rng.integers(0, len(track), legs)
    places = (starts[:, None] + np.arange(ticks * FRAME)) % len(track)
    return np.ascontiguousarray(track[places].reshape(legs, ticks, FRAME).swapaxes(0, 1))


def measure(settings: VadSettings, heard: npt.NDArray[np.int16], ticks: int) -> Cost:
    """Judge tick after tick, a second of warming up first."""
    detector = open_detector(settings)
    legs = heard.shape[1]
    numbers_, counts, rates = list(range(legs)), [FRAME] * legs, [RATE] * legs
    for tick in range(50):
        detector.judge(numbers_, heard[tick % len(heard)], counts, rates)
    took: list[float] = []
    cpu = time.process_time()
    for tick in range(ticks):
        began = time.perf_counter()
        detector.judge(numbers_, heard[tick % len(heard)], counts, rates)
        took.append((time.perf_counter() - began) * 1000)
    cpu = time.process_time() - cpu
    p50, p99, longest = quantiles(took, 0.5, 0.99, 1.0)
    model = detector.model if isinstance(detector, BatchDetector) else None
    skipped = 100 * model.skipped / max(model.skipped + model.windows, 1) if model else 0.0
    return Cost(100 * cpu / (ticks / 50) / legs, (p50, p99, longest), skipped)


def run(speech: Path, calls: Sequence[int]) -> int:
    report = Report(
        "vad_batch",
        ("mode", "calls", "CPU % of a core per call", "tick p50 ms", "p99 ms", "max ms", "windows skipped %"),
    )
    ticks = int(MEASURED_SECONDS * 50)
    arms = {
        "webrtc": VadSettings(mode=VadMode.WEBRTC),
        "both": VadSettings(),
        "both, never resting": VadSettings(sleep_after_ms=0),
    }
    for legs in calls:
        heard = lines(speech, legs, ticks)
        for name, settings in arms.items():
            cost = measure(settings, heard, ticks)
            report.row(name, legs, cost.cpu_percent, *cost.tick_ms, cost.skipped_percent)
            if legs >= MANY and name == "webrtc":
                report.bar(f"CPU per call, webrtc, {legs} calls", cost.cpu_percent, 0.02, "%")
            if legs >= MANY and name == "both":
                report.bar(f"CPU per call, both, {legs} calls", cost.cpu_percent, 0.10, "%")
            if legs <= 8 and name == "both":
                report.bar(f"tick p50, both, {legs} calls", cost.tick_ms[0], 1.0, "ms")
    return report.finish()


def main() -> int:
    arguments = parser("vad_batch", __doc__ or "")
    arguments.add_argument("--calls", type=numbers, default=[1, 8, 25, 100, 300], help="numbers of calls")
    chosen = arguments.parse_args()
    return run(chosen.speech, chosen.calls)


if __name__ == "__main__":
    raise SystemExit(main())
