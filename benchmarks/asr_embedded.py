"""How well, how soon and at what cost the embedded recogniser hears telephone speech.

    python -m benchmarks.asr_embedded [--speech FOLDER] [--calls 0,8] [--wrong]

The prompts pass through mu-law. *Offline* gives a stream the whole prompt at once; *as a call* gives it 20 ms
frames with interims, a pre-roll of 300-500 ms, a tail of 200-500 ms, faint line noise, and in every third
prompt the first 40 ms lost. Then the time from the end of speech to the final, decoded ahead in the pause or
not; a monologue of a minute; sounds that are no speech; and, with `--calls`, that many callers speaking in
real time. "Wrong" are interim words that the final does not have, "shown" are those seen before the end.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.arguments import numbers, parser
from benchmarks.report import Report, quantiles
from benchmarks.wer import distance, normalise, word_errors
from callers.g711 import ulaw_decode, ulaw_encode
from callers.speech import Prompt, load_prompts
from engines.base import AsrOptions, Transcript
from engines.embedded.decode_pool import PoolSettings
from engines.embedded.moonshine import MoonshineAsr, MoonshineSettings
from engines.embedded.moonshine_stream import MoonshineStream
from media import tones
from media.frame import AudioFrame, Pcm, frame_samples, samples

RATE = 8000
HOP = frame_samples(RATE)
LINE_NOISE = 4.0
"""RMS of a quiet line, in 16-bit steps: -78 dBFS."""
LATENCY_SECONDS = (2.0, 4.0)
"""Length of the prompts that time a final: three seconds on average."""


@dataclass
class Tally:
    """What came out of many prompts."""

    errors: int = 0
    words: int = 0
    audio: float = 0.0
    cpu: float = 0.0
    interim_words: int = 0
    interim_wrong: int = 0
    shown: int = 0
    first: list[float] = field(default_factory=list)
    wrong: list[tuple[str, str]] = field(default_factory=list)

    @property
    def wer(self) -> float:
        return 100.0 * self.errors / max(self.words, 1)

    def add(self, prompt: Prompt, final: Transcript, seconds: float) -> None:
        errors, words = word_errors(prompt.text, final.text)
        self.errors += errors
        self.words += words
        self.audio += seconds
        if errors:
            self.wrong.append((prompt.text, final.text))

    def add_interims(self, interims: Sequence[tuple[float, Transcript]], final: Transcript) -> None:
        """Compare the words shown with those of the final; `interims` carry seconds since speech began."""
        said = normalise(final.text)
        for _, interim in interims:
            shown = normalise(interim.text)
            self.interim_words += len(shown)
            self.interim_wrong += min(distance(said[:n], shown) for n in range(len(said) + 1))
        if interims:
            self.first.append(interims[0][0])
            self.shown += len(normalise(interims[-1][1].text))


@dataclass
class Line:
    """What a call adds to a prompt."""

    lead: float
    tail: float
    noise: float = 0.0
    lost: float = 0.0
    """Seconds missing at the start."""


def telephone(pcm: Pcm, line: Line, seed: int) -> Pcm:
    """The prompt as it comes out of a call, in whole frames."""
    rng = np.random.default_rng(seed)
    spoken = pcm[samples(line.lost, RATE) :]
    lead, tail = samples(line.lead, RATE), samples(line.tail, RATE)
    whole = np.zeros(-(-(lead + len(spoken) + tail) // HOP) * HOP)
    whole[lead : lead + len(spoken)] = spoken
    whole += rng.standard_normal(len(whole)) * line.noise
    return ulaw_decode(ulaw_encode(np.clip(whole, -32768, 32767).astype(np.int16)))


class Caller:
    """Speaks into one stream and collects what comes back."""

    def __init__(self, asr: MoonshineAsr, *, interim: bool) -> None:
        self.stream: MoonshineStream = asr.stream(AsrOptions(interim=interim))
        self._results = self.stream.results()
        self._segment = 0
        self.interims: list[tuple[float, Transcript]] = []
        self.final_after = 0.0
        self.early_after = 0.0
        self._asr = asr

    async def say(self, pcm: Pcm, *, lockstep: bool = False) -> Transcript:
        """The whole of it at once; in lockstep, waiting for each interim pass as a caller's pace would."""
        self._begin()
        for place in range(0, len(pcm), HOP):
            self._push(pcm, place)
            if lockstep:
                await self._take_interims(place / RATE)
        return await self._end()

    async def say_with_pause(self, pcm: Pcm, tail: float) -> Transcript:
        """Let the recogniser decode ahead where the tail begins, and end when it has."""
        self._begin()
        stop = len(pcm) - samples(tail, RATE) // HOP * HOP
        for place in range(0, stop, HOP):
            self._push(pcm, place)
        paused = time.perf_counter()
        self.stream.pause()
        early = await anext(self._results)
        self.early_after = time.perf_counter() - paused
        assert early.early
        for place in range(stop, len(pcm), HOP):
            self._push(pcm, place)
        return await self._end()

    async def say_live(self, pcm: Pcm, tail: float) -> Transcript:
        """Frame by frame in real time, with a pause 100 ms into the tail."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._begin()
        pause_at = len(pcm) - samples(tail - 0.1, RATE)
        for place in range(0, len(pcm), HOP):
            await asyncio.sleep(max(0.0, began + place / RATE - loop.time()))
            self._push(pcm, place)
            if place <= pause_at < place + HOP:
                self.stream.pause()
        return await self._end()

    async def close(self) -> None:
        await self.stream.aclose()

    def _begin(self) -> None:
        self._segment += 1
        self.interims = []
        self.stream.start(self._segment)

    def _push(self, pcm: Pcm, place: int) -> None:
        arrived = asyncio.get_running_loop().time()
        self.stream.push(AudioFrame(pcm[place : place + HOP], RATE, place, arrived))

    async def _take_interims(self, at: float) -> None:
        while not self._asr.idle:  # noqa: ASYNC110 - the threads announce nothing when they fall idle
            await asyncio.sleep(0.0005)
        await asyncio.sleep(0)
        while self.stream.unread:
            self.interims.append((at, await anext(self._results)))

    async def _end(self) -> Transcript:
        ended = time.perf_counter()
        self.stream.end()
        async for transcript in self._results:
            if transcript.is_final:
                self.final_after = time.perf_counter() - ended
                return transcript
        raise RuntimeError("the stream ended without a final")


async def offline(asr: MoonshineAsr, prompts: Sequence[Prompt]) -> Tally:
    tally, caller = Tally(), Caller(asr, interim=False)
    for number, prompt in enumerate(prompts):
        pcm = telephone(prompt.pcm, Line(0.25, 0.25), number)
        began = time.process_time()
        final = await caller.say(pcm)
        tally.cpu += time.process_time() - began
        tally.add(prompt, final, len(pcm) / RATE)
    await caller.close()
    return tally


async def as_a_call(asr: MoonshineAsr, prompts: Sequence[Prompt], seed: int) -> Tally:
    tally, caller = Tally(), Caller(asr, interim=True)
    rng = np.random.default_rng(seed)
    for number, prompt in enumerate(prompts):
        lost = 0.04 if number % 3 == seed % 3 else 0.0
        line = Line(rng.uniform(0.3, 0.5), rng.uniform(0.2, 0.5), LINE_NOISE, lost)
        pcm = telephone(prompt.pcm, line, number)
        began = time.process_time()
        final = await caller.say(pcm, lockstep=True)
        tally.cpu += time.process_time() - began
        tally.add(prompt, final, len(pcm) / RATE)
        tally.add_interims([(at - line.lead, interim) for at, interim in caller.interims], final)
    await caller.close()
    return tally


async def latencies(asr: MoonshineAsr, prompts: Sequence[Prompt]) -> dict[str, list[float]]:
    """Milliseconds to the final of a prompt of about three seconds, in three ways."""
    shortest, longest = LATENCY_SECONDS
    chosen = [prompt for prompt in prompts if shortest <= len(prompt.pcm) / RATE <= longest]
    caller = Caller(asr, interim=False)
    taken: dict[str, list[float]] = {"final": [], "early": [], "claimed": []}
    for number, prompt in enumerate(chosen):
        pcm = telephone(prompt.pcm, Line(0.3, 0.3, LINE_NOISE), number)
        await caller.say(pcm)
        taken["final"].append(caller.final_after * 1000)
        await caller.say_with_pause(pcm, 0.2)
        taken["early"].append(caller.early_after * 1000)
        taken["claimed"].append(caller.final_after * 1000)
    await caller.close()
    return taken


async def monologue(asr: MoonshineAsr, prompts: Sequence[Prompt], seconds: float) -> tuple[Tally, float]:
    """One turn of a minute without an end; its final must not take longer than any other."""
    spoken: list[Prompt] = []
    while sum(len(prompt.pcm) for prompt in spoken) < seconds * RATE:
        spoken.append(prompts[len(spoken) % len(prompts)])
    whole = Prompt("monologue", " ".join(p.text for p in spoken), np.concatenate([p.pcm for p in spoken]))
    pcm = telephone(whole.pcm, Line(0.3, 0.3, LINE_NOISE), 0)
    tally, caller = Tally(), Caller(asr, interim=True)
    began = time.process_time()
    final = await caller.say(pcm, lockstep=True)
    tally.cpu = time.process_time() - began
    tally.add(whole, final, len(pcm) / RATE)
    tally.add_interims(caller.interims, final)
    await caller.close()
    return tally, caller.final_after * 1000


def no_speech() -> dict[str, Pcm]:
    """Sounds of a line on which nobody speaks."""
    rng = np.random.default_rng(3)
    burst = np.zeros(RATE)
    for start in (1600, 4400):
        size = 1800
        burst[start : start + size] = rng.standard_normal(size) * np.hanning(2 * size)[size:] * 6000
    clicks = np.zeros(2 * RATE)
    clicks[[3000, 7000, 7400, 12000]] = 20000
    gap = tones.silence(0.3, RATE)
    time_axis = np.arange(3 * RATE) / RATE
    hum = np.sum([2000 / k * np.sin(2 * np.pi * 60 * k * time_axis) for k in (1, 2, 3, 5)], axis=0)
    found: dict[str, Pcm] = {
        "silence": tones.silence(3.0, RATE),
        "line noise": tones.comfort_noise(3.0, RATE, -50.0),
        "ringback": tones.ringback(RATE),
        "busy": np.concatenate([tones.tone((480.0, 620.0), 0.5, RATE), tones.silence(0.5, RATE)] * 3),
        "fax": tones.tone((1100.0,), 0.5, RATE),
        "hum": hum.astype(np.int16),
        "clicks": clicks.astype(np.int16),
        "cough": burst.astype(np.int16),
    }
    for digit in "159#0":
        found[f"key {digit}"] = np.concatenate([gap, tones.dtmf(digit, RATE, 0.12), gap])
    for level in (-50.0, -35.0, -20.0):
        found[f"pink {level:.0f}"] = pink(3.0, level, rng)
    return found


def pink(seconds: float, level: float, rng: np.random.Generator) -> Pcm:
    """Noise whose power falls with frequency, at `level` dBFS RMS."""
    size = samples(seconds, RATE)
    spectrum = np.fft.rfft(rng.standard_normal(size))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0.0
    wave = np.fft.irfft(spectrum, size)
    loud = wave / wave.std() * 32768 * 10 ** (level / 20)
    noise: Pcm = np.clip(loud, -32768, 32767).astype(np.int16)
    return noise


async def false_words(asr: MoonshineAsr) -> list[str]:
    """Names of the sounds in which words were heard."""
    caller, invented = Caller(asr, interim=True), []
    for name, sound in no_speech().items():
        final = await caller.say(telephone(sound, Line(0.3, 0.3), 0), lockstep=True)
        if final.text or caller.interims:
            invented.append(name)
    await caller.close()
    return invented


async def live(asr: MoonshineAsr, prompts: Sequence[Prompt], calls: int) -> tuple[Tally, list[float]]:
    """That many callers, each speaking half of the time, for three prompts each."""
    tally, waits = Tally(), list[float]()

    async def call(number: int) -> None:
        caller = Caller(asr, interim=True)
        for turn in range(3):
            prompt = prompts[(number * 3 + turn) % len(prompts)]
            await asyncio.sleep((0.37 * number) % 3.0)
            line = Line(0.3, 0.4, LINE_NOISE)
            final = await caller.say_live(telephone(prompt.pcm, line, number), line.tail)
            waits.append(caller.final_after * 1000)
            tally.add(prompt, final, len(prompt.pcm) / RATE)
        await caller.close()

    began = time.process_time()
    await asyncio.gather(*(call(number) for number in range(calls)))
    tally.cpu = time.process_time() - began
    return tally, waits


def row(report: Report, name: str, tally: Tally, waits: Sequence[float] = ()) -> None:
    p50, p95 = quantiles(waits, 0.5, 0.95)
    first = quantiles(tally.first, 0.5)[0]
    wrong = 100.0 * tally.interim_wrong / tally.interim_words if tally.interim_words else float("nan")
    shown = 100.0 * tally.shown / tally.words if tally.first else float("nan")
    report.row(name, tally.words, tally.wer, tally.cpu / tally.audio, p50, p95, wrong, shown, first)


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def measure(prompts: Sequence[Prompt], calls: Sequence[int], show_wrong: bool) -> int:
    report = Report(
        "asr_embedded",
        ("input", "words", "WER %", "CPU/audio", "final p50 ms", "p95", "wrong %", "shown %", "first s"),
    )
    before = megabytes()
    # The lockstep runs faster than any call could: nothing may be shed for that.
    asr = MoonshineAsr(MoonshineSettings(pool=PoolSettings(interim_duty=1.0)))
    began = time.perf_counter()
    await asr.warm_up()
    ready = time.perf_counter() - began
    report.note(f"ready {ready:.2f} s after the start, {megabytes() - before:.0f} MB more")
    plain = await offline(asr, prompts)
    row(report, "offline", plain)
    worst = plain.wer
    for seed in range(3):
        tally = await as_a_call(asr, prompts, seed)
        row(report, f"as a call, line {seed + 1}", tally)
        worst = max(worst, tally.wer)
        _list_wrong(tally, show_wrong)
    taken = await latencies(asr, prompts)
    for name, values in taken.items():
        p50, p95 = quantiles(values, 0.5, 0.95)
        report.row(f"3 s prompt, {name}", "", "", "", p50, p95, "", "", "")
    tally, after = await monologue(asr, prompts, 60.0)
    row(report, "one turn of 60 s", tally, [after])
    invented = await false_words(asr)
    for count in calls:
        tally, waits = await live(asr, prompts, count)
        row(report, f"{count} callers live", tally, waits)
    report.bar("worst word error rate of a call", worst, 6.0, "%")
    report.bar("sounds without speech that gave words", len(invented), 0)
    report.note(f"words heard in: {', '.join(invented) or 'none of the sounds without speech'}")
    report.note(f"{megabytes() - before:.0f} MB more than before at the peak")
    report.details["stats"] = asr.stats()
    await asr.aclose()
    return report.finish()


def _list_wrong(tally: Tally, show: bool) -> None:
    for said, heard in tally.wrong if show else ():
        print(f"   said  {said}\n   heard {heard}")


if __name__ == "__main__":
    arguments = parser("asr_embedded", __doc__)
    arguments.add_argument("--calls", type=numbers, default=[], help="callers speaking live, e.g. 8,20")
    arguments.add_argument("--wrong", action="store_true", help="list the prompts that were misheard")
    options = arguments.parse_args()
    sys.exit(asyncio.run(measure(load_prompts(options.speech), options.calls, options.wrong)))
