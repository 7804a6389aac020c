"""What the speech API adds between a client and its recogniser, over Deepgram's live socket, on loopback.

    python -m benchmarks.api_streams [--streams 1,25,100] [--seconds 12] [--message-ms 20] [--embedded 8,16]

A process serves the API as a node does, voice detection and all, over an engine that costs nothing: it notes
when each frame came, and answers every tenth with the time. This process is the clients: that many sockets
send recorded speech in real time, each beginning when it likes. Stamps are the machine's monotonic clock.

*sound*: from the moment a message was due at the client to `push` at the engine. *result*: from the engine's
answer to the client's hands. *late* is what this process was late by when it sent; it is part of *sound*.
Frames before a voice is believed wait for that, as they must, and are not counted.

With `--embedded` the same sockets talk to the embedded recogniser: from the end of speech to the final, the
300 ms of silence that end an utterance included, for the machine to show where it ends.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import multiprocessing
import os
import time
from array import array
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from benchmarks.api_site import work
from benchmarks.arguments import numbers, parser
from benchmarks.processes import Usage, core_share, usage
from benchmarks.report import Report, quantiles
from benchmarks.wer import word_errors
from callers.speech import Prompt, Track, build_track, load_prompts
from engines.base import AsrOptions, Transcript
from engines.traits import AsrTraits
from media.frame import AudioFrame

RATE = 8000
HOP = RATE // 50
ANSWER_EVERY = 10
"""Frames per answer: five in a second, as a recogniser gives them."""
GOAL_MS = 20.0
GOAL_STREAMS = 100
ENDPOINT_MS = 300
_PAUSE = 1.2
"""Seconds of silence after each prompt."""


class NotingAsr:
    """Notes when each frame of each stream came; answers with the time."""

    name = "noting"
    traits = AsrTraits(hot_words=True)

    def __init__(self) -> None:
        # Plain numbers, not objects: what is noted must not give the collector of garbage work to do.
        self.came: dict[str, array[float]] = {}

    def stream(self, options: AsrOptions) -> NotingStream:
        return NotingStream(self, options.hot_words[0])

    def stats(self) -> dict[str, array[float]]:
        """Of each stream by turns, since the last time: a frame's first sample, and when it came."""
        came, self.came = self.came, {}
        return came

    async def warm_up(self) -> None: ...

    async def aclose(self) -> None: ...


class NotingStream:
    def __init__(self, asr: NotingAsr, who: str) -> None:
        self._asr = asr
        self._came = asr.came.setdefault(who, array("d"))
        self._segment, self._frames, self._live = 0, 0, False
        self._due: asyncio.Queue[Transcript | None] = asyncio.Queue()

    def start(self, segment: int) -> None:
        self._segment, self._live = segment, False
        # What comes with the start lay waiting until a voice was believed; only what comes later is live.
        asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        self._live = True

    def push(self, frame: AudioFrame) -> None:
        if not self._live:
            return
        now = time.monotonic()
        self._came.extend((frame.pts, now))
        self._frames += 1
        if self._frames % ANSWER_EVERY == 0:
            self._due.put_nowait(Transcript(self._segment, f"{now * 1e6:.0f}", is_final=False))

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def end(self) -> None:
        self._due.put_nowait(Transcript(self._segment, "0", is_final=True))

    def cancel(self) -> None: ...

    async def results(self) -> AsyncIterator[Transcript]:
        while transcript := await self._due.get():
            yield transcript

    async def aclose(self) -> None:
        self._due.put_nowait(None)


def talk_of(prompts: list[Prompt], seconds: float, first: int) -> Track:
    """What one client sends: prompts from `first` on, for so long at least; they begin when each likes."""
    chosen: list[Prompt] = []
    length = 0.0
    while length < seconds:
        chosen.append(prompts[(first + len(chosen)) % len(prompts)])
        length += len(chosen[-1].pcm) / RATE + _PAUSE
    return build_track(chosen, lead=0.3 + 0.03 * (37 * first % 100), gap=_PAUSE, tail=_PAUSE)


@dataclass
class Tally:
    """Of one run; seconds."""

    began: dict[str, float] = field(default_factory=dict)
    """When each stream began."""
    result: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    final: list[float] = field(default_factory=list)
    """From the end of speech to its final."""
    wrong: int = 0
    words: int = 0
    missing: int = 0
    """Prompts without a final."""


class Client:
    """One socket."""

    def __init__(self, who: str, talk: Track, tally: Tally, message_ms: int) -> None:
        self._who, self._talk, self._tally = who, talk, tally
        self._size = RATE * message_ms // 1000
        self._began = 0.0
        self._finals: list[tuple[float, float, str]] = []
        """When it came, the end of its sound, its text."""

    async def run(self, url: str, gate: asyncio.Barrier, offset: float) -> None:
        """From the handshake to the last word. All begin when all are connected; `offset`: so much later."""
        async with connect(f"{url}&keyterm={self._who}", compression=None, max_queue=None) as socket:
            reading = asyncio.get_running_loop().create_task(self._read(socket))
            await gate.wait()
            self._began = time.monotonic() + 0.2 + offset
            await self._send(socket)
            await socket.send('{"type":"CloseStream"}')
            await asyncio.wait_for(reading, 20.0)
        self._judge()

    async def _send(self, socket: ClientConnection) -> None:
        octets, tally = self._talk.pcm.tobytes(), self._tally
        tally.began[self._who] = self._began
        for place in range(0, len(self._talk.pcm) - self._size + 1, self._size):
            due = self._began + (place + self._size) / RATE
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            tally.late.append(time.monotonic() - due)
            await socket.send(octets[2 * place : 2 * (place + self._size)])

    async def _read(self, socket: ClientConnection) -> None:
        async for text in socket:
            now, told = time.monotonic(), json.loads(text)
            if told["type"] != "Results":
                continue
            said = told["channel"]["alternatives"][0]["transcript"]
            if told["is_final"]:
                self._finals.append((now, told["start"] + told["duration"], said))
            elif said.isdigit():
                self._tally.result.append(now - int(said) / 1e6)

    def _judge(self) -> None:
        """Which finals belong to which prompt: those whose sound lies in it."""
        spoken = self._talk.spoken
        for one, until in zip(spoken, [*(later.start for later in spoken[1:]), math.inf], strict=True):
            mine = [final for final in self._finals if one.start <= final[1] * RATE < until]
            if not any(final[1] * RATE >= one.end - RATE / 2 for final in mine):
                self._tally.missing += 1
                continue
            end, prompt = one.end / RATE, one.prompt
            self._tally.final.append(mine[-1][0] - (self._began + end))
            wrong, words = word_errors(prompt.text, " ".join(final[2] for final in mine))
            self._tally.wrong, self._tally.words = self._tally.wrong + wrong, self._tally.words + words


async def talking(url: str, talks: list[Track], message_ms: int) -> Tally:
    """All clients, their messages spread over the message's length."""
    tally, count, gate = Tally(), len(talks), asyncio.Barrier(len(talks))
    clients = [Client(f"s{number}", talk, tally, message_ms) for number, talk in enumerate(talks)]
    offsets = (number * message_ms / 1000 / count for number in range(count))
    await asyncio.gather(
        *(client.run(url, gate, offset) for client, offset in zip(clients, offsets, strict=True))
    )
    return tally


@dataclass
class Site:
    """The process that serves the API."""

    pipe: Connection
    process: Any
    url: str

    def look(self) -> tuple[Usage, Usage]:
        """Clients, server."""
        return usage(os.getpid()), usage(self.process.pid)

    def stats(self) -> Any:
        """What the engine noted since the last time."""
        self.pipe.send(True)
        return self.pipe.recv()


@contextlib.contextmanager
def serving(engine: str) -> Iterator[Site]:
    """`engine`: a name of the registry, or `module:Class`."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, engine), daemon=True)
    process.start()
    try:
        port = ours.recv()
        asked = f"encoding=linear16&sample_rate={RATE}&interim_results=true&punctuate=true"
        url = f"ws://127.0.0.1:{port}/v1/listen?{asked}&endpointing={ENDPOINT_MS}"
        yield Site(ours, process, url)
        ours.send(False)
        process.join(10.0)
    finally:
        process.kill()


def scripted(arguments: argparse.Namespace, prompts: list[Prompt], report: Report) -> None:
    """The added latency."""
    with serving("benchmarks.api_streams:NotingAsr") as site:
        asyncio.run(talking(site.url, [talk_of(prompts, 3.0, 0)], arguments.message_ms))  # warm
        site.stats()
        for streams in arguments.streams:
            talks = [talk_of(prompts, arguments.seconds, number) for number in range(streams)]
            before = site.look()
            tally = asyncio.run(talking(site.url, talks, arguments.message_ms))
            after = site.look()
            size = RATE * arguments.message_ms // 1000
            sound = [
                came - (tally.began[who] + (pts // size + 1) * size / RATE)
                for who, noted in site.stats().items()
                for pts, came in zip(noted[::2], noted[1::2], strict=True)
            ]
            figures = [
                1000.0 * figure
                for samples in (sound, tally.result)
                for figure in quantiles(samples, 0.5, 0.99)
            ]
            late = 1000.0 * quantiles(tally.late, 0.99)[0]
            shares = [core_share(*pair) for pair in zip(before, after, strict=True)]
            grown = 1024.0 * max(0.0, after[1].rss_mib - before[1].rss_mib) / streams
            report.row("scripted", streams, *figures, late, *shares, grown, len(sound), "")
            if streams == GOAL_STREAMS:
                report.bar(f"sound p99, {streams} streams", figures[1], GOAL_MS, "ms")
                report.bar(f"result p99, {streams} streams", figures[3], GOAL_MS, "ms")


def embedded(arguments: argparse.Namespace, prompts: list[Prompt], report: Report) -> None:
    """Where the embedded recogniser ends."""
    with serving("moonshine") as site:
        for streams in arguments.embedded:
            talks = [talk_of(prompts, arguments.seconds, number) for number in range(streams)]
            before = site.look()
            tally = asyncio.run(talking(site.url, talks, arguments.message_ms))
            shares = [core_share(*pair) for pair in zip(before, site.look(), strict=True)]
            p50, p95, p99 = (1000.0 * figure for figure in quantiles(tally.final, 0.5, 0.95, 0.99))
            late = 1000.0 * quantiles(tally.late, 0.99)[0]
            wrong = 100.0 * tally.wrong / max(1, tally.words)
            told = f"finals p50 {p50:.0f}, p95 {p95:.0f}, p99 {p99:.0f} ms; {wrong:.1f} % wrong"
            told += f"; {tally.missing} missing" if tally.missing else ""
            nan = float("nan")
            report.row("moonshine", streams, nan, nan, nan, nan, late, *shares, nan, len(tally.final), told)


def main() -> None:
    arguments = parser("api_streams", __doc__)
    arguments.formatter_class = argparse.RawDescriptionHelpFormatter
    arguments.add_argument("--streams", type=numbers, default=[1, 25, 100], help="at once (1,25,100)")
    arguments.add_argument("--seconds", type=float, default=12.0, help="of sound per stream (12)")
    arguments.add_argument("--message-ms", type=int, default=20, help="sound of one message (20)")
    arguments.add_argument("--embedded", type=numbers, default=[8, 16, 24], help="streams; 0: none (8,16,24)")
    chosen = arguments.parse_args()
    prompts = load_prompts(chosen.speech)
    report = Report(
        "api_streams",
        ("engine", "streams", "sound p50 ms", "p99", "result p50", "p99", "late p99", "clients core %",
         "server core %", "KiB per stream", "samples", "words"),
    )  # fmt: skip
    scripted(chosen, prompts, report)
    chosen.embedded = [streams for streams in chosen.embedded if streams]
    if chosen.embedded:
        embedded(chosen, prompts, report)
    report.note("clients and server are one Python process each, on the cores named below")
    report.note("memory is what the server grew by during the row, divided by the streams: later rows reuse")
    raise SystemExit(report.finish())


if __name__ == "__main__":
    main()
