"""Engines that answer at once and remember what was asked of them; and a worker's server around them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import numpy as np

from engines.base import AsrOptions, EngineBusy, EngineFailed, SpeechChunk, Transcript, TtsOptions, Word
from engines.riva.asr_service import AsrService
from engines.riva.door import Door
from engines.riva.limits import WireLimits
from engines.riva.server import GrpcSettings, RivaServer
from engines.riva.tts_service import TtsService
from engines.riva.watch import NoWatch
from engines.traits import AsrTraits
from media.frame import AudioFrame

INTERIM_EVERY = 25
"""Frames."""


class TellingAsr:
    """Says how much it heard: "Heard 12." for twelve frames, one word timed. Nothing, where all was zero."""

    name = "telling"

    def __init__(self, places: int = 1000, deaf: bool = False, dies: bool = False) -> None:
        """`deaf`: never answers. `dies`: breaks at the end of each segment."""
        self.traits = AsrTraits(("en-US", "de-DE"), word_times=True, hot_words=True)
        self.places, self.deaf, self.dies = places, deaf, dies
        self.asked: list[AsrOptions] = []
        self.open: set[TellingStream] = set()
        self.told: list[str] = []
        """Every call on a stream but `push`, in order."""

    def stream(self, options: AsrOptions) -> TellingStream:
        if len(self.open) >= self.places:
            raise EngineBusy("scripted: full")
        self.asked.append(options)
        stream = TellingStream(self, options)
        self.open.add(stream)
        return stream

    async def warm_up(self) -> None: ...

    async def aclose(self) -> None: ...


class TellingStream:
    def __init__(self, asr: TellingAsr, options: AsrOptions) -> None:
        self.asr, self.options = asr, options
        self.segment, self.frames = 0, list[AudioFrame]()
        self.due: asyncio.Queue[Transcript | None] = asyncio.Queue()

    def start(self, segment: int) -> None:
        self.asr.told.append("start")
        self.segment, self.frames = segment, []

    def push(self, frame: AudioFrame) -> None:
        assert len(frame.pcm) * 50 == frame.sample_rate == self.options.sample_rate
        self.frames.append(frame)
        if len(self.frames) % INTERIM_EVERY == 0 and self.options.interim:
            self.say(Transcript(self.segment, self.text(), is_final=False, stable_chars=6))

    def pause(self) -> None:
        self.asr.told.append("pause")
        self.say(Transcript(self.segment, self.text(), is_final=False, early=True))

    def resume(self) -> None:
        self.asr.told.append("resume")

    def end(self) -> None:
        self.asr.told.append("end")
        if self.asr.dies:
            self.due.put_nowait(None)
            return
        word = Word("Heard", 0.02, 0.1, 0.5)
        self.say(Transcript(self.segment, self.text(), is_final=True, confidence=0.75, words=(word,)))

    def cancel(self) -> None:
        self.asr.told.append("cancel")

    def text(self) -> str:
        return f"Heard {len(self.frames)}." if any(frame.pcm.any() for frame in self.frames) else ""

    def say(self, transcript: Transcript) -> None:
        if not self.asr.deaf:
            self.due.put_nowait(transcript)

    async def results(self) -> AsyncIterator[Transcript]:
        while transcript := await self.due.get():
            yield transcript
        raise EngineFailed("scripted")

    async def aclose(self) -> None:
        self.asr.open.discard(self)


class HummingTts:
    """A tenth of a second per word, one chunk each. `endless`: never stops. `mute`: never begins."""

    name = "humming"
    voices = ("hum", "buzz")

    def __init__(self, endless: bool = False, mute: bool = False, dies_after: int = -1) -> None:
        self.endless, self.mute, self.dies_after = endless, mute, dies_after
        self.asked: list[TtsOptions] = []
        self.speaking = 0
        self.chunks = 0

    async def speak(self, text: str, options: TtsOptions) -> AsyncIterator[SpeechChunk]:
        self.asked.append(options)
        self.speaking += 1
        try:
            if self.mute:
                await asyncio.Event().wait()
            number = 0
            while self.endless or number < len(text.split()):
                if number == self.dies_after:
                    raise EngineFailed("scripted")
                word = text.split()[number % len(text.split())]
                pcm = np.full(options.sample_rate // 10, 1000 + number, np.int16)
                yield SpeechChunk(pcm, (Word(word, number * 0.1, number * 0.1 + 0.1, 1.0),))
                number += 1
                self.chunks += 1
        finally:
            self.speaking -= 1

    async def warm_up(self) -> None: ...

    async def aclose(self) -> None: ...


class Node:
    """A running server and what is in it."""

    def __init__(self, asr: Any, tts: Any, limits: WireLimits, grpc: GrpcSettings) -> None:
        self.asr, self.tts, self.limits = asr, tts, limits
        watch = NoWatch()
        self.asr_door, self.tts_door = Door(limits, watch), Door(limits, watch)
        self.asr_service = AsrService(self.asr_door, limits)
        self.tts_service = TtsService(self.tts_door, limits)
        self.server = RivaServer(grpc, limits, self.asr_service, self.tts_service)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    async def start(self) -> None:
        await self.server.start()
        self.asr_service.begin(self.asr)
        self.tts_service.begin(self.tts)
        self.server.ready(True)


@asynccontextmanager
async def node(
    asr: Any = None, tts: Any = None, limits: WireLimits | None = None, port: int = 0
) -> AsyncIterator[Node]:
    """A server in this loop."""
    made = Node(asr or TellingAsr(), tts or HummingTts(), limits or WireLimits(), GrpcSettings(port=port))
    await made.start()
    try:
        yield made
    finally:
        await made.server.aclose(grace=0.0)


@contextmanager
def node_apart(
    make: Callable[[], Coroutine[Any, Any, tuple[Any, Any]]] | None = None, limits: WireLimits | None = None
) -> Iterator[Node]:
    """A server in a thread with a loop of its own, for clients that block. `make`: recogniser and voice."""
    started: list[Node] = []
    up, stop = threading.Event(), threading.Event()

    async def main() -> None:
        asr, tts = await make() if make else (TellingAsr(), HummingTts())
        async with node(asr, tts, limits) as made:
            started.append(made)
            up.set()
            await asyncio.to_thread(stop.wait)
        await asyncio.gather(asr.aclose(), tts.aclose())

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        assert up.wait(30.0)
        yield started[0]
    finally:
        stop.set()
        thread.join(10.0)


async def until(true: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for it. Raises TimeoutError."""
    for _ in range(round(seconds * 100)):
        if true():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


def run(main: Coroutine[Any, Any, None], seconds: float = 20.0) -> None:
    """To the end, within a limit."""

    async def whole() -> None:
        async with asyncio.timeout(seconds):
            await main

    asyncio.run(whole())
