"""How many callers the embedded recogniser serves as a worker: `offhook asr`, over gRPC, in real time.

Recorded prompts are spoken by so many callers at once, each on a clock of its own that nothing holds up: a
prompt, then the pause in which a reply would be heard, again and again. 100 ms after the last word the
caller's gateway says "pause" and the worker decodes ahead; 500 ms after it the segment ends. *words*: from
the pause to the words of the whole turn, which is what the decode costs; *final*: from the end to the final,
which is what a call waits for. Worker, callers and everything else share the machine's cores.

The number of callers that is held is the largest of the list at which, as at all smaller ones, 95 of 100
turns have their words within 300 ms and none fails.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.arguments import numbers, parser
from benchmarks.processes import core_share, usage
from benchmarks.report import Report, quantiles
from benchmarks.wer import word_errors
from callers.g711 import ulaw_decode, ulaw_encode
from callers.sipp import free_port
from callers.speech import Prompt, load_prompts
from engines.base import AsrOptions, EngineError
from engines.riva.client_asr import RivaAsr, RivaAsrSettings
from media.frame import AudioFrame, Pcm

RATE = 8000
HOP = RATE // 50
LEAD = 0.4
"""Seconds of line before the first word, as a gateway's pre-roll brings them."""
NOTICED = 5
"""Frames after the last word at which the gateway says that somebody pauses."""
ENDED = 25
"""Frames after it at which the segment ends."""
PAUSES = (2.5, 7.0)
"""Seconds, shortest and longest, between two prompts of one caller: the reply is heard."""
GOAL_MS = 300.0
_LINE_NOISE = 4.0
_START_SECONDS = 60.0


@dataclass
class Tally:
    """One run. Times in seconds."""

    words: list[float] = field(default_factory=list)
    final: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    """How much later than planned frames left: what the callers' side of the machine added."""
    shown: int = 0
    errors: int = 0
    spoken: int = 0
    failed: int = 0
    speaking: float = 0.0
    """Seconds of sound sent, of all callers."""

    @property
    def wer(self) -> float:
        return 100.0 * self.errors / max(1, self.spoken)


class Caller:
    """One caller's line: a frame every tick, a segment for each prompt."""

    def __init__(self, asr: RivaAsr, turns: Sequence[Prompt], seed: int, tally: Tally, interim: bool) -> None:
        rng = random.Random(seed)
        self._stream = asr.stream(AsrOptions(interim=interim))
        self._tally = tally
        self._turns = turns
        self._texts: dict[int, str] = {}
        self._paused_at: dict[int, float] = {}
        self._ended_at: dict[int, float] = {}
        self._rng = rng
        self._number = 0
        self._frames: Pcm = np.zeros(0, np.int16)
        self._place = 0
        self._stop = 0
        """Frame of the open segment after which nobody speaks any more."""
        self._wait = rng.randrange(round(50 * PAUSES[1]))
        """Ticks until the next prompt."""
        self._reading = asyncio.get_running_loop().create_task(self._read())

    def tick(self, due: float, talks: bool) -> None:
        """One frame of time. `talks`: new prompts may begin."""
        if self._wait:
            self._wait -= 1
            if not self._wait and talks:
                self._begin()
            elif not self._wait:
                self._wait = 1
            return
        now = time.monotonic()
        self._tally.late.append(now - due)
        self._tally.speaking += 0.02
        frame = self._frames[self._place * HOP : (self._place + 1) * HOP]
        self._stream.push(AudioFrame(frame, RATE, self._place * HOP, now))
        self._place += 1
        if self._place == self._stop + NOTICED:
            self._paused_at[self._number] = now
            self._stream.pause()
        elif self._place == self._stop + ENDED:
            self._ended_at[self._number] = now
            self._stream.end()
            self._wait = round(50 * self._rng.uniform(*PAUSES))

    async def close(self) -> None:
        await self._stream.aclose()
        await asyncio.gather(self._reading, return_exceptions=True)

    def _begin(self) -> None:
        prompt = self._rng.choice(self._turns)
        self._number += 1
        self._texts[self._number] = prompt.text
        self._frames = telephone(prompt.pcm, self._number)
        self._place, self._stop = 0, len(self._frames) // HOP - ENDED
        self._stream.start(self._number)

    async def _read(self) -> None:
        told: set[int] = set()
        while True:
            try:
                async for transcript in self._stream.results():
                    number, now = transcript.segment, time.monotonic()
                    if not (transcript.early or transcript.is_final):
                        self._tally.shown += 1
                    elif number not in told:
                        told.add(number)
                        self._tally.words.append(now - self._paused_at[number])
                    if transcript.is_final:
                        self._tally.final.append(now - self._ended_at[number])
                        errors, spoken = word_errors(self._texts[number], transcript.text)
                        self._tally.errors += errors
                        self._tally.spoken += spoken
                return
            except EngineError:
                self._tally.failed += 1


def telephone(pcm: Pcm, seed: int) -> Pcm:
    """The prompt as a call brings it: mu-law, a quiet line, whole frames, silence at its end."""
    rng = np.random.default_rng(seed)
    lead = round(LEAD * RATE)
    length = -(-(lead + len(pcm)) // HOP) * HOP + ENDED * HOP
    line = rng.standard_normal(length) * _LINE_NOISE
    line[lead : lead + len(pcm)] += pcm
    return ulaw_decode(ulaw_encode(np.clip(line, -32768, 32767).astype(np.int16)))


async def talk(address: str, calls: int, seconds: float, turns: Sequence[Prompt], interim: bool) -> Tally:
    """That many callers for so long; then everybody finishes his prompt."""
    tally = Tally()
    asr = RivaAsr(RivaAsrSettings(address=address, final_seconds=10.0, first_seconds=0.0))
    await asr.warm_up()
    callers = [Caller(asr, turns, seed, tally, interim) for seed in range(calls)]
    longest = max(len(prompt.pcm) for prompt in turns) / RATE + 2.0
    began = time.monotonic() + 0.1
    for number in range(round(50 * (seconds + longest))):
        due = began + number * 0.02
        if (left := due - time.monotonic()) > 0.0:
            await asyncio.sleep(left)
        for caller in callers:
            caller.tick(due, number < 50 * seconds)
        await asyncio.sleep(0)
    for caller in callers:
        await caller.close()
    await asr.aclose()
    return tally


@contextlib.contextmanager
def worker(threads: int) -> Iterator[tuple[str, int]]:
    """`offhook asr`, ready; its address and its process."""
    port, http = free_port(), free_port()
    environ = {
        **os.environ,
        "OFFHOOK_ASR_WORKER__GRPC__PORT": str(port),
        "OFFHOOK_ASR_WORKER__HTTP__PORT": str(http),
        "OFFHOOK_ASR_WORKER__LIMITS__CLIENT_SHARE": "1",
        "OFFHOOK_ASR__ENGINE": "moonshine",
        "OFFHOOK_ASR__SETTINGS__MAX_STREAMS": "1024",
        "OFFHOOK_ASR__SETTINGS__MAX_FINAL_WAIT": "60",
        "OFFHOOK_ASR__SETTINGS__POOL__THREADS": str(threads),
        "OFFHOOK_LOGS__LEVEL": "warning",
    }
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "asr"]
    with subprocess.Popen(command, env=environ) as process:
        try:
            until = time.monotonic() + _START_SECONDS
            while not _ready(http):
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit("offhook asr did not become ready")
                time.sleep(0.1)
            yield f"127.0.0.1:{port}", process.pid
        finally:
            process.terminate()
            process.wait(30)


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2.0) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def measure(arguments: argparse.Namespace, turns: Sequence[Prompt]) -> int:
    """Every number of calls, with interims and without; the exit code says whether the goals were met."""
    report = Report(
        "asr_workers",
        ("calls", "interims", "speaking", "turns", "words p50 ms", "p95", "p99", "final p95", "shown/turn",
         "WER %", "failed", "late p99 ms", "worker core %", "callers core %", "worker MiB"),
    )  # fmt: skip
    for interim in (False, True):
        held = 0
        with worker(arguments.threads) as (address, pid):
            for calls in arguments.calls:
                before = usage(pid), usage(os.getpid())
                tally = asyncio.run(talk(address, calls, arguments.seconds, turns, interim))
                after = usage(pid), usage(os.getpid())
                shares = [core_share(*pair) for pair in zip(before, after, strict=True)]
                p50, p95, p99 = (1000.0 * value for value in quantiles(tally.words, 0.5, 0.95, 0.99))
                final = 1000.0 * quantiles(tally.final, 0.95)[0]
                late = 1000.0 * quantiles(tally.late, 0.99)[0]
                speaking = tally.speaking / (after[0].at - before[0].at)
                report.row(
                    calls, "yes" if interim else "no", speaking, len(tally.words), p50, p95, p99, final,
                    tally.shown / max(1, len(tally.words)), tally.wer, tally.failed, late, *shares,
                    after[0].rss_mib,
                )  # fmt: skip
                if p95 > GOAL_MS or tally.failed:
                    break
                held = calls
        report.bar(
            f"calls held, {'with' if interim else 'without'} interims", held, arguments.goal, at_least=True
        )
    report.note("speaking: callers who speak at the same time, on average; a call is in its pause otherwise")
    report.note(
        "callers and worker share the cores: this is a whole machine's figure, not the worker's alone"
    )
    return report.finish()


def main() -> None:
    arguments = parser("asr_workers", __doc__ or "")
    arguments.formatter_class = argparse.RawDescriptionHelpFormatter
    arguments.add_argument("--calls", type=numbers, default=[8, 16, 24, 32, 48], help="calls (8,16,24,32,48)")
    arguments.add_argument("--seconds", type=float, default=30.0, help="in which turns begin, per row (30)")
    arguments.add_argument("--threads", type=int, default=0, help="decode threads; 0: as by default")
    arguments.add_argument("--goal", type=int, default=32, help="calls that must be held (32)")
    chosen = arguments.parse_args()
    raise SystemExit(measure(chosen, load_prompts(chosen.speech)))


if __name__ == "__main__":
    main()
