"""What Riva's gRPC adds between a call and its engine, on loopback.

    python -m benchmarks.riva_wire [--streams 1,25,100] [--seconds 10] [--pace spread,tick] [--message-ms 20]

A worker process serves an engine that costs nothing: it answers each frame's time stamp at once. This process
is the gateway's side: that many streams push a frame every 20 ms through one `RivaAsr`, each in segments of
3 s that begin when they like. Stamps are the machine's monotonic clock, carried in the samples themselves.

*sound*: from `push` here to `push` at the engine. *answer*: from `push` of a frame here to its interim in our
hands. *final*: from `end` to the final. With `spread` the streams' frames are spread over the 20 ms; with
`tick` all come in one burst, as one clock gives them to a gateway. Voice: from the text to the first chunk.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

import numpy as np

from benchmarks.arguments import numbers
from benchmarks.processes import core_share, usage
from benchmarks.report import Report, quantiles
from engines.base import AsrOptions, EngineError, SpeechChunk, Transcript, TtsOptions
from engines.riva.asr_service import AsrService
from engines.riva.client_asr import RivaAsr, RivaAsrSettings, RivaStream
from engines.riva.client_tts import RivaTts, RivaTtsSettings
from engines.riva.door import Door
from engines.riva.limits import WireLimits
from engines.riva.server import GrpcSettings, RivaServer
from engines.riva.tts_service import TtsService
from engines.riva.watch import NoWatch
from media.frame import AudioFrame, Pcm

RATE = 8000
HOP = RATE // 50
SEGMENT_FRAMES = 150
ANSWER_EVERY = 10
"""Frames per interim: five in a second, as a recogniser gives them."""
GOAL_MS = 5.0
GOAL_STREAMS = 100


def stamped(at: float) -> Pcm:
    """A frame that carries a time in its first samples; the rest is noise that no gate takes for silence."""
    pcm = np.full(HOP, 1000, np.int16)
    pcm[:4] = np.frombuffer(np.float64(at).tobytes(), np.int16)
    return pcm


def stamp(pcm: Pcm) -> float:
    return float(np.frombuffer(pcm[:4].tobytes(), np.float64)[0])


class FreeAsr:
    """Answers with the stamp of the newest frame; notes how long each frame was under way."""

    name = "free"

    def __init__(self) -> None:
        self.travelled: list[float] = []

    def stream(self, options: AsrOptions) -> FreeStream:
        return FreeStream(self)

    async def warm_up(self) -> None: ...

    async def aclose(self) -> None: ...


class FreeStream:
    def __init__(self, asr: FreeAsr) -> None:
        self._asr = asr
        self._segment, self._frames, self._newest = 0, 0, 0.0
        self._due: asyncio.Queue[Transcript | None] = asyncio.Queue()

    def start(self, segment: int) -> None:
        self._segment, self._frames = segment, 0

    def push(self, frame: AudioFrame) -> None:
        self._newest = stamp(frame.pcm)
        self._asr.travelled.append(time.monotonic() - self._newest)
        self._frames += 1
        if self._frames % ANSWER_EVERY == 0:
            self._due.put_nowait(Transcript(self._segment, f"{self._newest:.6f}", is_final=False))

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def end(self) -> None:
        self._due.put_nowait(Transcript(self._segment, "over", is_final=True))

    def cancel(self) -> None: ...

    async def results(self) -> AsyncIterator[Transcript]:
        while transcript := await self._due.get():
            yield transcript

    async def aclose(self) -> None:
        self._due.put_nowait(None)


class FreeTts:
    name = "free"
    voices = ("free",)

    async def speak(self, text: str, options: TtsOptions) -> AsyncIterator[SpeechChunk]:
        yield SpeechChunk(np.zeros(options.sample_rate // 10, np.int16))

    async def warm_up(self) -> None: ...

    async def aclose(self) -> None: ...


def work(pipe: Connection) -> None:
    """The worker process: sends its port, then, whenever asked, how long frames were under way since."""
    asyncio.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    limits, watch = WireLimits(client_share=1.0), NoWatch()
    engine = FreeAsr()
    asr = AsrService(Door(limits, watch), limits)
    tts = TtsService(Door(limits, watch), limits)
    server = RivaServer(GrpcSettings(), limits, asr, tts)
    await server.start()
    asr.begin(engine)
    tts.begin(FreeTts())
    server.ready(True)
    pipe.send(server.port)
    while await asyncio.to_thread(pipe.recv):
        travelled, engine.travelled = engine.travelled, []
        pipe.send(travelled)
    await server.aclose()


@dataclass
class Tally:
    """Seconds, of one run."""

    sound: list[float] = field(default_factory=list)
    answer: list[float] = field(default_factory=list)
    final: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    """How much later than planned this process pushed its frames: what the machine, not the wire, added."""
    failed: int = 0


class Caller:
    """One stream's side."""

    def __init__(self, stream: RivaStream, tally: Tally, phase: int) -> None:
        """`phase`: frames by which its segments begin earlier than those of the first."""
        self.stream = stream
        self._tally = tally
        self._frames = phase
        stream.start(0)
        self._ended = 0.0
        self._reading = asyncio.get_running_loop().create_task(self._read())

    def tick(self, due: float) -> None:
        """The next frame, and the end of a segment where it is time."""
        now = time.monotonic()
        self._tally.late.append(now - due)
        self.stream.push(AudioFrame(stamped(time.monotonic()), RATE, self._frames * HOP, now))
        self._frames += 1
        if self._frames % SEGMENT_FRAMES == 0:
            self._ended = time.monotonic()
            self.stream.end()
            self.stream.start(self._frames // SEGMENT_FRAMES)

    async def close(self) -> None:
        await self.stream.aclose()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        while True:
            try:
                async for transcript in self.stream.results():
                    now = time.monotonic()
                    if transcript.is_final:
                        self._tally.final.append(now - self._ended)
                    else:
                        self._tally.answer.append(now - float(transcript.text))
                return
            except EngineError:
                self._tally.failed += 1


async def talk(address: str, streams: int, seconds: float, *, spread: bool, message_ms: int) -> Tally:
    """That many streams for so long."""
    tally = Tally()
    asr = RivaAsr(RivaAsrSettings(address=address, message_ms=message_ms))
    await asr.warm_up()
    callers = [Caller(asr.stream(AsrOptions()), tally, n * 37 % SEGMENT_FRAMES) for n in range(streams)]
    await asyncio.sleep(0.5)
    began = time.monotonic() + 0.1
    groups = [[caller] for caller in callers] if spread else [callers]
    frames = round(seconds * 50)

    async def drive(group: list[Caller], offset: float) -> None:
        for number in range(frames):
            due = began + offset + number * 0.02
            await asyncio.sleep(due - time.monotonic())
            for caller in group:
                caller.tick(due)

    await asyncio.gather(*(drive(group, n * 0.02 / len(groups)) for n, group in enumerate(groups)))
    await asyncio.sleep(0.2)
    for caller in callers:
        await caller.close()
    await asr.aclose()
    return tally


async def speech(address: str, streams: int, each: int) -> list[float]:
    """Seconds to the first chunk, that many passages at once."""
    tts = RivaTts(RivaTtsSettings(address=address))
    await tts.warm_up()
    waits: list[float] = []

    async def speak(number: int) -> None:
        await asyncio.sleep(number / streams)
        for _ in range(each):
            asked = time.monotonic()
            async for _ in tts.speak("Good morning.", TtsOptions()):
                waits.append(time.monotonic() - asked)
            await asyncio.sleep(1.0)

    await asyncio.gather(*(speak(number) for number in range(streams)))
    await tts.aclose()
    return waits


def measure(arguments: argparse.Namespace, pipe: Connection, worker: int) -> int:
    """Run all of it; the exit code says whether the goal was met."""
    address = f"127.0.0.1:{pipe.recv()}"
    report = Report(
        "riva_wire",
        ("streams", "pace", "sound p50 ms", "p99", "answer p50", "p99", "final p50", "p99", "late p99",
         "failed", "client core %", "worker core %"),
    )  # fmt: skip
    for pace in arguments.pace.split(","):
        for streams in arguments.streams:
            before = usage(os.getpid()), usage(worker)
            tally = asyncio.run(
                talk(
                    address,
                    streams,
                    arguments.seconds,
                    spread=pace == "spread",
                    message_ms=arguments.message_ms,
                )
            )
            after = usage(os.getpid()), usage(worker)
            pipe.send(True)
            tally.sound = pipe.recv()
            shares = [core_share(*pair) for pair in zip(before, after, strict=True)]
            figures = [
                1000.0 * figure
                for samples in (tally.sound, tally.answer, tally.final)
                for figure in quantiles(samples, 0.5, 0.99)
            ]
            late = 1000.0 * quantiles(tally.late, 0.99)[0]
            report.row(streams, pace, *figures, late, tally.failed, *shares)
            if streams == GOAL_STREAMS:
                for what, figure in zip(("sound", "answer", "final"), figures[1::2], strict=True):
                    report.bar(f"{what} p99, {streams} streams, {pace}", figure, GOAL_MS, "ms")
    waits = asyncio.run(speech(address, GOAL_STREAMS, 3))
    p50, p99 = (1000.0 * figure for figure in quantiles(waits, 0.5, 0.99))
    report.note(
        f"voice, text to first chunk, {GOAL_STREAMS} passages in a second: p50 {p50:.2f}, p99 {p99:.2f} ms"
    )
    report.note(
        "client and worker are one Python process each, on the cores named below, with everything else"
    )
    report.note("'late' is what this process's own loop was late by when it pushed; it is in no other figure")
    return report.finish()


def main() -> None:
    arguments = argparse.ArgumentParser(
        prog="python -m benchmarks.riva_wire",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_argument("--streams", type=numbers, default=[1, 25, 100], help="streams at once (1,25,100)")
    arguments.add_argument("--seconds", type=float, default=10.0, help="of sound per stream (10)")
    arguments.add_argument("--pace", default="spread,tick", help="spread, tick or both (spread,tick)")
    arguments.add_argument("--message-ms", type=int, default=20, help="sound of one message (20)")
    chosen = arguments.parse_args()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs,), daemon=True)
    process.start()
    try:
        code = measure(chosen, ours, process.pid or 0)
        ours.send(False)
        process.join(5.0)
    finally:
        process.kill()
    raise SystemExit(code)


if __name__ == "__main__":
    main()
