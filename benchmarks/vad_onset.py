"""How soon voice is suspected and confirmed, how true the edges are, and what else is taken for voice.

Truth is the energy of the clean recording: the first and last 15 ms on end above -38 dBFS. Times are media
time: from the first voiced sample to the arrival of the frame that made the segmenter speak up. Network,
jitter buffer and the way back come on top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.arguments import parser
from benchmarks.report import Report, quantiles
from benchmarks.vad_noises import KINDS, RATE, Rng, pink, through_ulaw, white
from media.frame import AudioFrame, Pcm, Voice
from media.segmenter import (
    SegmenterSettings,
    SegmentEvent,
    SpeechEnded,
    SpeechSegmenter,
    SpeechStarted,
    VoiceSuspected,
)
from media.vad import VadMode, VadSettings, open_detector
from media.wav import read_mono

FRAME = 160
STREAMS = 10
"""Streams judged together; an hour of noise is six minutes of each."""
CONDITIONS = (
    ("white -60 dBFS", 0.0),
    ("pink -45 dBFS", 0.0),
    ("pink -38 dBFS", 0.0),
    ("white -60 dBFS", -10.0),
)
"""Noise on the line, and the gain of the speech in dB."""


@dataclass(slots=True)
class Track:
    """Prompts with silence between them, and where each truly begins and ends."""

    pcm: Pcm
    spans: list[tuple[int, int]]


@dataclass(slots=True)
class Figures:
    """Milliseconds, one per prompt."""

    suspected: list[float] = field(default_factory=list)
    started: list[float] = field(default_factory=list)
    onset_bias: list[float] = field(default_factory=list)
    end_bias: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    missed: int = 0
    extra: int = 0
    pieces: int = 0


def span(pcm: Pcm) -> tuple[int, int]:
    """The first sample of the speech, and the one after its last."""
    blocks = pcm[: len(pcm) // 40 * 40].reshape(-1, 40).astype(np.float64) / 32768
    loud = 10 * np.log10((blocks**2).mean(axis=1) + 1e-12) > -38
    runs = np.flatnonzero(loud[:-2] & loud[1:-1] & loud[2:])
    return int(runs[0]) * 40, (int(runs[-1]) + 3) * 40


def track(prompts: Sequence[Pcm], noise: str, gain: float, rng: Rng) -> Track:
    parts: list[npt.NDArray[np.float64]] = []
    spans: list[tuple[int, int]] = []
    at = 0
    for index in rng.permutation(len(prompts)):
        gap = int(rng.integers(RATE, 2 * RATE + RATE // 2))
        first, last = span(prompts[index])
        spans.append((at + gap + first, at + gap + last))
        parts += [np.zeros(gap), prompts[index] / 32768 * 10 ** (gain / 20)]
        at += gap + len(prompts[index])
    parts.append(np.zeros(2 * RATE))
    line = np.concatenate(parts)
    kind, level = noise.split()[:2]
    line = line + (pink if kind == "pink" else white)(len(line), float(level), rng)
    return Track(through_ulaw(line), spans)


def events(settings: VadSettings, streams: Sequence[Pcm]) -> list[list[SegmentEvent]]:
    """What each stream's segmenter said, all streams judged together."""
    detector = open_detector(settings)
    count = max(len(pcm) for pcm in streams) // FRAME * FRAME
    heard = np.stack([np.pad(pcm[:count], (0, max(0, count - len(pcm)))) for pcm in streams])
    rows, counts, rates = list(range(len(streams))), [FRAME] * len(streams), [RATE] * len(streams)
    segmenters = [SpeechSegmenter(SegmenterSettings(), RATE) for _ in streams]
    said: list[list[SegmentEvent]] = [[] for _ in streams]
    for at in range(0, count, FRAME):
        voices: list[Voice] = detector.judge(rows, heard[:, at : at + FRAME], counts, rates)
        for row, voice in enumerate(voices):
            frame = AudioFrame(heard[row, at : at + FRAME], RATE, at, (at + FRAME) / RATE)
            said[row] += segmenters[row].push(frame, voice)
    return said


def compare(one: Track, said: Sequence[SegmentEvent], figures: Figures) -> None:
    """Match segments to prompts and note the differences."""
    starts = [event for event in said if isinstance(event, SpeechStarted)]
    ends = [event for event in said if isinstance(event, SpeechEnded)]
    suspicions = [event.at for event in said if isinstance(event, VoiceSuspected)]
    segments = list(zip(starts, ends, strict=False))
    used = 0
    for first, last in one.spans:
        mine = [(s, e) for s, e in segments if s.onset_pts < last and e.speech_end_pts > first]
        used += len(mine)
        if not mine:
            figures.missed += 1
            continue
        start, end = mine[0][0], mine[-1][1]
        early = [at for at in suspicions if first / RATE - 0.04 < at <= start.at]
        figures.suspected.append(1000 * (min([*early, start.at]) - first / RATE))
        figures.started.append(1000 * (start.at - first / RATE))
        figures.onset_bias.append((start.onset_pts - first) / RATE * 1000)
        figures.end_bias.append((end.speech_end_pts - last) / RATE * 1000)
        figures.ended.append(1000 * (end.at - last / RATE))
        figures.pieces += len(mine)
    figures.extra += len(segments) - used


def measure_onset(report: Report, settings: VadSettings, prompts: Sequence[Pcm]) -> None:
    for noise, gain in CONDITIONS:
        tracks = [track(prompts, noise, gain, np.random.default_rng(seed)) for seed in range(4)]
        figures = Figures()
        for one, said in zip(tracks, events(settings, [one.pcm for one in tracks]), strict=True):
            compare(one, said, figures)
        columns = (figures.suspected, figures.started, figures.onset_bias, figures.end_bias, figures.ended)
        shown = [" / ".join(f"{value:.0f}" for value in quantiles(c, 0.05, 0.5, 0.95)) for c in columns]
        name = f"{settings.mode}, {noise}, speech {gain:+.0f} dB"
        report.row(name, *shown, figures.missed, figures.extra, figures.pieces / max(len(figures.started), 1))
        if settings.mode is VadMode.BOTH:
            where = f"{noise}, speech {gain:+.0f} dB"
            report.bar(f"suspected p50, {where}", quantiles(figures.suspected, 0.5)[0], 45, "ms")
            report.bar(f"started p50, {where}", quantiles(figures.started, 0.5)[0], 80, "ms")
            report.bar(f"started p95, {where}", quantiles(figures.started, 0.95)[0], 120, "ms")
            report.bar(f"prompts missed, {where}", figures.missed, 0)


def measure_noise(report: Report, settings: VadSettings, hours: float) -> None:
    count = int(hours * 3600 * RATE / STREAMS)
    for kind, make in KINDS.items():
        streams = [through_ulaw(make(count, np.random.default_rng(100 + row))) for row in range(STREAMS)]
        said = [event for one in events(settings, streams) for event in one]
        starts = sum(isinstance(event, SpeechStarted) for event in said) / hours
        suspected = sum(isinstance(event, VoiceSuspected) for event in said) / hours
        report.details[kind] = {"starts_per_hour": starts, "suspicions_per_hour": suspected}
        report.note(f"{settings.mode}, {kind}: {starts:.1f} starts and {suspected:.0f} suspicions per hour")
        if settings.mode is VadMode.BOTH:
            report.bar(f"false starts per hour, {kind}", starts, 2.0)


def main() -> int:
    arguments = parser("vad_onset", __doc__ or "")
    arguments.add_argument("--hours", type=float, default=0.2, help="hours of each noise; 0 leaves them out")
    chosen = arguments.parse_args()
    prompts = [read_mono(path, RATE) for path in sorted(Path(chosen.speech).glob("*.wav"))]
    times = ("suspected", "started", "onset bias", "end bias", "ended after the end")
    report = Report("vad_onset", ("p5 / p50 / p95 in ms", *times, "missed", "extra", "segments per prompt"))
    for mode in (VadMode.BOTH, VadMode.WEBRTC):
        measure_onset(report, VadSettings(mode=mode), prompts)
    if chosen.hours > 0:
        measure_noise(report, VadSettings(), chosen.hours)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
