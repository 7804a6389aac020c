"""A call for TwiML documents, by a script: each thing takes its time, and is written down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.announcer import CallerGone
from gateway.errors import AppFailed
from gateway.twiml.form import CallStatus, Fields
from gateway.twiml.host import Dialled, DialProgress, Gathered, PartialSpeech, Recording
from gateway.twiml.verbs import ConversationRelay, Dial, Gather, Record, Say, StartStream, Stream
from media.legs.base import EndReason


@dataclass
class ScriptedHost:
    """Gives what the script has, one after the other, and then nothing."""

    gathers: list[Gathered] = field(default_factory=list)
    recordings: list[Recording | None] = field(default_factory=list)
    dials: list[Dialled] = field(default_factory=list)
    progress: list[tuple[str, CallStatus]] = field(default_factory=list)
    """What is told of the first target of a dial."""
    partials: list[tuple[str, str]] = field(default_factory=list)
    connected: Fields = ()
    words: str | Exception = ""
    """Of every recording."""
    missing: tuple[str, ...] = ()
    """Sounds that cannot be had."""
    seconds: float = 1.0
    """That each thing takes."""
    leaves_at: float = 1e9
    answered: bool = False
    gone: bool = False
    done: list[str] = field(default_factory=list)

    @property
    def status(self) -> CallStatus:
        if self.gone:
            return CallStatus.COMPLETED
        return CallStatus.IN_PROGRESS if self.answered else CallStatus.RINGING

    async def _do(self, what: str, seconds: float | None = None) -> None:
        self.done.append(what)
        loop = asyncio.get_running_loop()
        left = self.leaves_at - loop.time()
        seconds = self.seconds if seconds is None else seconds
        await asyncio.sleep(min(seconds, max(0.0, left)))
        if left <= seconds:
            self.gone = True
            raise CallerGone(EndReason.CALLER_HUNG_UP)

    async def answer(self) -> None:
        if not self.answered:
            self.answered = True
            await self._do("answer", 0.0)

    async def ring(self, seconds: float) -> None:
        await self._do(f"ring {seconds:g}", seconds)

    def hush(self) -> None:
        self.done.append("hush")

    async def pause(self, seconds: float) -> None:
        await self._do(f"pause {seconds:g}", seconds)

    async def say(self, say: Say) -> bool:
        await self._do(f"say {say.text}")
        return True

    async def play(self, url: str) -> bool:
        if url in self.missing:
            raise AppFailed(f"{url} answered 404", code=11200)
        await self._do(f"play {url}")
        return True

    async def press(self, digits: str) -> None:
        await self._do(f"press {digits}")

    async def filler(self) -> None:
        await self._do("filler")

    async def gather(self, gather: Gather, partial: PartialSpeech) -> Gathered:
        for stable, unstable in self.partials:
            partial(stable, unstable)
        for prompt in gather.prompts:
            self.done.append(f"  {prompt}")
        await self._do("gather", 5.0)
        return self.gathers.pop(0) if self.gathers else Gathered()

    async def record(self, record: Record) -> Recording | None:
        try:
            await self._do("record", 3.0)
        except CallerGone:
            pass
        return self.recordings.pop(0) if self.recordings else None

    async def transcribe(self, recording: Recording) -> str:
        await asyncio.sleep(4.0)
        if isinstance(self.words, Exception):
            raise self.words
        return self.words

    async def dial(self, dial: Dial, told: Callable[[DialProgress], None]) -> Dialled:
        for event, status in self.progress:
            told(DialProgress(dial.targets[0], "CAchild", event, status, 12.0, 200))
        try:
            await self._do(f"dial {', '.join(map(_named, dial.targets))}", 12.0)
        except CallerGone:
            pass
        return self.dials.pop(0) if self.dials else Dialled(CallStatus.FAILED)

    async def refer(self, uri: str) -> int:
        await self._do(f"refer {uri}")
        return 202

    async def connect(self, noun: Stream | ConversationRelay) -> Fields:
        try:
            await self._do(f"connect {noun.url}", 30.0)
        except CallerGone:
            pass
        return self.connected

    async def start_stream(self, start: StartStream) -> None:
        self.done.append(f"start {start.stream}")

    async def stop_stream(self, name: str) -> None:
        self.done.append(f"stop {name}")

    async def reject(self, sip_code: int) -> None:
        self.done.append(f"reject {sip_code}")


def _named(target: object) -> str:
    return str(getattr(target, "number", "") or getattr(target, "uri", ""))
