"""How soon a caller hears XTTS, and how many can listen: growing chunks against the library's fixed ones.

    python -m benchmarks.tts_growing            # in the environment of `make setup-gpu`

Three parts, all in one run on one machine. (1) The work up to the first sample on a model of XTTS' real shape
with random weights: the library's stream with its 20 tokens, and ours, taking turns. (2) What reading, a step
and voicing take here, measured in several sizes, moves a simulated device, so many times as fast as this
machine; listeners play out what it makes, chunk by chunk, under our scheduler and under fixed chunks. (3) The
embedded voice, on the processor: a long sentence's first clause against the whole sentence.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import arguments
from benchmarks.playout import Device, FixedChunks, Line, Play, Played, Talk, taught
from benchmarks.report import Report, quantiles
from engines.coqui.scheduler import Bounds, SpeechScheduler

FIRST = 4
"""Tokens before our first sample, when the device is not busy."""
TEXT = "hello thank you for calling how can i help you today"
LONG = (
    "Thank you for calling Acme support, we are glad to help you with your order today, and if you would "
    "like to hear this again, press star, or stay on the line."
)
BATCHES = (1, 4, 16)
CHUNKS = (4, 10, 40)


class Bench:
    """A model of the real shape, and both ways to its first sample."""

    def __init__(self, folder: Path, layers: int, width: int, heads: int) -> None:
        from benchmarks import coqui_models
        from engines.coqui.checkpoint import find
        from engines.coqui.xtts_model import XttsModel
        from engines.coqui.xtts_voices import speakers

        coqui_models.xtts(folder, layers=layers, width=width, heads=heads, most_tokens=605)
        checkpoint = find(folder, "xtts")
        self.model = XttsModel(checkpoint, "cpu")
        self._speaker = speakers(self.model.library, checkpoint, {}, "")["Random One"]
        gpt = self.model.library.gpt
        gpt.init_gpt_for_inference(kv_cache=True)
        gpt.eval()

    def theirs(self) -> float:
        """Seconds to the first chunk of the library's stream, as its documentation calls it."""
        began = time.perf_counter()
        stream = self.model.library.inference_stream(TEXT, "en", self._speaker.style, self._speaker.timbre)
        next(stream)
        took = time.perf_counter() - began
        stream.close()
        return took

    def ours(self, tokens: int = FIRST) -> float:
        """Seconds to our first chunk."""
        began = time.perf_counter()
        self._begin(1)
        for _ in range(tokens - 1):
            self.model.step([0])
        assert len(self.model.voice([0])[0])
        took = time.perf_counter() - began
        self.model.forget(0)
        return took

    def device(self, repeat: int) -> Device:
        """Lines through what each kind of work takes, the quickest of several tries."""
        reads, steps, voices = [], [], []
        for batch in BATCHES:
            reads.append((batch * self._prompt().length, self._best(partial(self._begin, batch), repeat)))
            step = partial(self.model.step, list(range(batch)))
            steps.append((batch, self._best(step, repeat)))
            self._forget()
        for chunk in CHUNKS:
            voices.append((chunk, min(self._voiced(chunk) for _ in range(repeat))))
        return Device(_line(reads), _line(steps), _line(voices), token=self.model.token, held=self.model.held)

    def _voiced(self, tokens: int) -> float:
        """One chunk in the middle of a passage, with the context around it."""
        self._begin(1)
        for _ in range(20):
            self.model.step([0])
        self.model.voice([0])
        for _ in range(tokens):
            self.model.step([0])
        began = time.perf_counter()
        self.model.voice([0])
        took = time.perf_counter() - began
        self._forget()
        return took

    def _prompt(self) -> Any:
        return self.model.prompt(TEXT, "en", self._speaker, 1.0)

    def _begin(self, count: int) -> None:
        self._forget()
        self.model.read(dict.fromkeys(range(count), self._prompt()))

    def _forget(self) -> None:
        for row in range(max(BATCHES)):
            self.model.forget(row)

    @staticmethod
    def _best(work: Callable[[], Any], repeat: int) -> float:
        took = []
        for _ in range(repeat):
            began = time.perf_counter()
            work()
            took.append(time.perf_counter() - began)
        return min(took)


def _line(points: list[tuple[int, float]]) -> Line:
    sizes = np.array([size for size, _ in points], np.float64)
    slope, fixed = np.polyfit(sizes, np.array([took for _, took in points], np.float64), 1)
    if fixed < 0:
        return Line(0.0, max(took / size for size, took in points))
    return Line(float(fixed), max(0.0, float(slope)))


def calls(count: int, seconds: float, token: float, seed: int) -> list[Talk]:
    """People on the telephone, each spoken to for about half of the time, one to three sentences a turn."""
    chance = random.Random(seed)
    talks = []
    for _ in range(count):
        at = chance.uniform(0, 6)
        while at < seconds:
            stretches = [chance.randint(25, 120) for _ in range(chance.choice([1, 1, 2, 3]))]
            talks.append(Talk(at, stretches))
            at += sum(stretches) * token + chance.uniform(2, 6)
    return talks


def played(device: Device, talks: list[Talk], *, growing: bool) -> Played:
    scheduler = (
        taught(SpeechScheduler(device.token, device.held, Bounds(rows=1024, waiting=1024)), device)
        if growing
        else FixedChunks(rows=1024)
    )
    return Play(scheduler, device, talks).run()


def simulated(report: Report, device: Device, times: float, counts: list[int], seconds: float) -> None:
    """Part 2 for one speed of the device."""
    quick = device.faster(times)
    for count in counts:
        for growing in (True, False):
            out = played(quick, calls(count, seconds, quick.token, count), growing=growing)
            waits = [1000 * talk.waited for talk in out.heard]
            refused = sum(talk.refused for talk in out.talks)
            late = 100 * out.late / max(1, out.chunks)
            how = "growing" if growing else "fixed 20"
            p50, p99 = quantiles(waits, 0.5, 0.99)
            report.row(f"{times:g} x", count, how, p50, p99, out.chunks, late, refused)
            if growing:
                report.bar(f"late chunks, {count} calls, {times:g} x", late, 0.1, "%")
    one = [Talk(0.0, [90]), Talk(0.0, [90])]
    ours = played(quick, one[:1], growing=True)
    theirs = played(quick, one[1:], growing=False)
    report.bar(f"one caller, {times:g} x: late chunks", ours.late, 0)
    report.details[f"first sound of one caller, {times:g} x, ms"] = {
        "growing": 1000 * ours.heard[0].waited,
        "fixed 20": 1000 * theirs.heard[0].waited,
    }


def first_clause(repeat: int) -> tuple[float, float]:
    """Seconds of the embedded voice for the first clause of a long sentence, and for all of it."""
    from engines.embedded.hibari_model import HibariModel
    from engines.text.stretches import plan

    model = HibariModel()
    first = plan(LONG)[0].text
    whole = " ".join(stretch.text for stretch in plan(LONG))
    model.speak(first, 1.0)
    clause: list[float] = []
    sentence: list[float] = []
    for _ in range(repeat):
        for text, took in ((first, clause), (whole, sentence)):
            began = time.perf_counter()
            model.speak(text, 1.0)
            took.append(time.perf_counter() - began)
    return statistics.median(clause), statistics.median(sentence)


def main() -> int:
    parser = arguments.parser("tts_growing", __doc__ or "")
    parser.add_argument("--shape", choices=["full", "small"], default="full", help="of the transformer")
    parser.add_argument("--repeat", type=int, default=3, help="more tries, steadier figures")
    parser.add_argument("--times", type=arguments.numbers, default=[100, 1000], help="faster devices")
    parser.add_argument(
        "--calls", type=arguments.numbers, default=[1, 32, 128, 256, 512], help="calls at once"
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="simulated")
    options = parser.parse_args()
    report = Report(
        "tts_growing",
        ["device", "calls", "chunks", "first p50 ms", "first p99 ms", "chunks made", "late %", "refused"],
    )
    shape = (30, 1024, 16) if options.shape == "full" else (2, 64, 4)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), *shape)
        bench.ours(), bench.theirs()
        pairs = [(bench.theirs(), bench.ours()) for _ in range(options.repeat)]
        device = bench.device(options.repeat)
    ratios = [theirs / ours for theirs, ours in pairs]
    report.bar("first sample, library / ours, median", statistics.median(ratios), 4.0, "x", at_least=True)
    report.details |= {"library s": [a for a, _ in pairs], "ours s": [b for _, b in pairs], "ratios": ratios}
    report.details["device s"] = {k: vars_of(getattr(device, k)) for k in ("read", "step", "voice")}
    report.note(f"shape {shape}; ratios {', '.join(f'{ratio:.2f}' for ratio in ratios)}; no GPU was used")
    report.note(
        f"measured here, seconds: step {device.step.fixed:.3f} + {device.step.each:.4f} per row; voicing "
        f"{device.voice.fixed:.3f} + {device.voice.each:.4f} per token; reading {device.read.fixed:.3f} + "
        f"{device.read.each:.5f} per token"
    )
    for times in options.times:
        simulated(report, device, times, options.calls, options.seconds)
    clause, sentence = first_clause(5 * options.repeat)
    report.bar("embedded voice: whole sentence / first clause", sentence / clause, 1.5, "x", at_least=True)
    return report.finish()


def vars_of(line: Line) -> dict[str, float]:
    return {"fixed": line.fixed, "each": line.each}


if __name__ == "__main__":
    raise SystemExit(main())
