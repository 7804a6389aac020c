"""What a step of a streaming recogniser costs: ours in both ways to keep the past, and NeMo's own pipeline.

A FastConformer of the real shape with random weights (equal arithmetic and memory; no words worth reading)
hears noise in as many streams as asked, every stream a chunk per step. The arms take turns in one run, on one
core; figures are the process's CPU time, so that other work does not count. NeMo's pipeline does a bit more
per stream, such as its own end-of-utterance rule.

Needs the extra `gpu`; runs on a GPU where there is one, and then times the clock instead.

    .venv-gpu/bin/python -m benchmarks.asr_step
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.arguments import numbers
from benchmarks.nemo_models import SHAPES, make
from benchmarks.report import OUTPUT, Report, quantiles
from engines.models.local import LocalModels
from engines.nemo.settings import NemoSettings

WARM_STEPS = 2
ARMS = ("projected", "inputs", "nemo")

FLOORS = {(80, 32): 3.5, (560, 32): 2.0}
"""By chunk and streams, how many times NeMo's time ours must be worth; elsewhere 1."""

Step = Callable[[], None]


def ours(path: Path, attention: Any, chunk_ms: int, streams: int) -> Step:
    """One step of our model for all streams, words included."""
    from engines.nemo.load import load
    from engines.nemo.stepper import Outcome
    from engines.nemo.utterance import Row, Utterance, Work
    from engines.nemo.words import Script

    settings = NemoSettings(
        model=str(path),
        attention=attention,
        chunk_ms=chunk_ms,
        max_streams=streams,
        max_batch=streams,
        threads=1,
    )
    model = load(settings, LocalModels())
    cut = model.geometry
    utterances = [Utterance(slot, cut, _Nobody()) for slot in range(streams)]
    scripts = [Script(model.vocabulary, cut.output_seconds) for _ in range(streams)]
    noise = np.random.default_rng(1).normal(0, 1000, (streams, cut.need(False))).astype(np.int16)
    frames = 0

    def step() -> None:
        nonlocal frames
        first, need = frames == 0, cut.need(frames == 0)
        rows = [
            Row(slot, utterances[slot], Work.CHUNK, noise[slot, :need], need, cut.frames(first), frames, 0.0)
            for slot in range(streams)
        ]
        outcomes: Sequence[Outcome] = model.step(rows)
        for script, outcome in zip(scripts, outcomes, strict=True):
            script.add(outcome.tokens)
        frames += cut.frames(first)

    return step


class _Nobody:
    """Serves `Listener`."""

    def heard(self, *told: object) -> None: ...

    def failed(self, *told: object) -> None: ...


def nemos(path: Path, chunk_ms: int, streams: int, device: str) -> Step:
    """One `transcribe_step` of NeMo's `CacheAwareCTCPipeline` for all streams."""
    import torch
    from nemo.collections.asr.inference.factory.pipeline_builder import PipelineBuilder
    from nemo.collections.asr.inference.streaming.framing.request import Frame
    from nemo.collections.asr.inference.streaming.framing.request_options import ASRRequestOptions
    from omegaconf import OmegaConf

    pipeline = PipelineBuilder.build_pipeline(OmegaConf.create(_pipeline(path, chunk_ms, streams, device)))
    pipeline.open_session()
    samples = round(pipeline.chunk_size_in_secs * 16000)
    noise = torch.from_numpy(np.random.default_rng(1).normal(0, 0.03, (streams, samples)).astype(np.float32))
    begun = False

    def step() -> None:
        nonlocal begun
        pipeline.transcribe_step([
            Frame(
                samples=noise[number], stream_id=number, is_first=not begun, is_last=False, length=samples,
                options=None if begun else ASRRequestOptions(),
            )
            for number in range(streams)
        ])  # fmt: skip
        begun = True

    return step


def _pipeline(path: Path, chunk_ms: int, streams: int, device: str) -> dict[str, Any]:
    """NeMo's package ships no configuration of its pipelines; this one leaves everything optional off."""
    greedy = {
        "preserve_frame_confidence": False, "max_symbols": 10, "use_cuda_graph_decoder": False,
        "enable_per_stream_biasing": False,
    }  # fmt: skip
    return {
        "pipeline_type": "cache_aware", "asr_decoding_type": "ctc", "log_level": 40, "lang": None,
        "matmul_precision": "high", "enable_itn": False, "enable_nmt": False, "cache_dir": None,
        "return_tail_result": False, "asr_output_granularity": "segment",
        "asr": {
            "model_name": str(path), "device": device, "device_id": 0,
            "compute_dtype": "bfloat16" if device == "cuda" else "float32", "use_amp": False,
            "decoding": {"strategy": "greedy_batch", "greedy": greedy},
        },
        "itn": {
            "batch_size": 8, "n_jobs": 1, "left_padding_size": 4, "max_number_of_permutations_per_split": 30,
            "whitelist": None, "overwrite_cache": False,
        },
        "confidence": {
            "exclude_blank": True, "aggregation": "mean",
            "method_cfg": {"name": "entropy", "entropy_type": "tsallis", "alpha": 0.5, "entropy_norm": "exp"},
        },
        "endpointing": {"stop_history_eou": 800, "residue_tokens_at_end": 2},
        "streaming": {
            "sample_rate": 16000, "batch_size": streams, "word_boundary_tolerance": 4,
            "att_context_size": [_past(path), chunk_ms // 80 - 1], "use_cache": True, "use_feat_cache": True,
            "chunk_size_in_secs": None, "request_type": "frame", "num_slots": streams + 1,
        },
    }  # fmt: skip


def _past(path: Path) -> int:
    return SHAPES[path.stem.partition("-")[0]].past


def timed(arms: dict[str, Step], steps: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Seconds of each arm's steps, the arms in turn."""
    took: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(WARM_STEPS + steps):
        for name, step in arms.items():
            began = clock()
            step()
            if number >= WARM_STEPS:
                took[name].append(clock() - began)
    return took


def model_file(shape: str) -> Path:
    """The CTC model of that shape, made once: NeMo's pipeline takes no hybrid with its CTC head alone."""
    path = OUTPUT.parent / "models" / f"{shape}-ctc.nemo"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path, shape, "ctc")
    return path


def run(shape: str, chunks: Sequence[int], streams: Sequence[int], steps: int, names: Sequence[str]) -> int:
    import torch

    gpu = torch.cuda.is_available()
    report = Report(
        "asr_step",
        ("chunk ms", "streams", "arm", "ms per step", "p10", "p90", "ms per stream", "streams in real time",
         "times NeMo"),
    )  # fmt: skip
    clock = _gpu_clock(torch) if gpu else time.process_time
    report.note(
        f"device {torch.cuda.get_device_name() if gpu else 'processor, one thread, CPU time'}; "
        f"{shape} shape, {SHAPES[shape].layers} layers of {SHAPES[shape].width}, random weights"
    )
    if not gpu:
        report.note("no GPU was at hand: streams per GPU, CUDA graphs and bfloat16 were not measured")
    path = model_file(shape)
    for chunk_ms in chunks:
        for count in streams:
            torch.set_num_threads(1)
            _measure(report, path, chunk_ms, count, steps, names, clock, "cuda" if gpu else "cpu")
    return report.finish()


def _measure(
    report: Report, path: Path, chunk_ms: int, count: int, steps: int, names: Sequence[str],
    clock: Callable[[], float], device: str,
) -> None:  # fmt: skip
    arms = {
        name: nemos(path, chunk_ms, count, device) if name == "nemo" else ours(path, name, chunk_ms, count)
        for name in names
    }
    took = timed(arms, steps, clock)
    usual = {name: median(times) * 1000 for name, times in took.items()}
    report.details[f"{chunk_ms} ms, {count} streams"] = took
    for name, ms in usual.items():
        low, high = (value * 1000 for value in quantiles(took[name], 0.1, 0.9))
        ratio = usual["nemo"] / ms if "nemo" in usual else float("nan")
        report.row(chunk_ms, count, name, ms, low, high, ms / count, count * chunk_ms / ms, ratio)
    if "nemo" in usual and "projected" in usual:
        what = f"NeMo's pipeline against ours, {chunk_ms} ms, {count} streams"
        floor = FLOORS.get((chunk_ms, count), 1.0)
        report.bar(what, usual["nemo"] / usual["projected"], floor, "times", at_least=True)


def _gpu_clock(torch: Any) -> Callable[[], float]:
    def clock() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return clock


def main() -> int:
    arguments = argparse.ArgumentParser(
        prog="python -m benchmarks.asr_step", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    arguments.add_argument("--shape", choices=sorted(SHAPES), default="large")
    arguments.add_argument("--chunks", type=numbers, default=[80, 160, 560], help="milliseconds each")
    arguments.add_argument("--streams", type=numbers, default=[1, 8, 32], help="streams of each step")
    arguments.add_argument("--steps", type=int, default=5, help="timed steps of each arm")
    arguments.add_argument("--arms", default=",".join(ARMS), help="of " + ", ".join(ARMS))
    chosen = arguments.parse_args()
    return run(chosen.shape, chosen.chunks, chosen.streams, chosen.steps, chosen.arms.split(","))


if __name__ == "__main__":
    raise SystemExit(main())
