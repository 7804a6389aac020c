"""What is said in one call: agent → sentences → voice → playout, one numbered reply after another.

    agent.reply(turn) ── _read ──> Script ── _speak ──> tts.speak(sentence) ──> playout.write(pcm, number)

Reading the agent and speaking are two tasks, so that the agent's next sentence is on its way while the voice
works on this one, and so that a reply that was cut can go on: its script is kept, and is spoken again from
the sentence where it was cut, under a new number. A prepared reply runs the same code up to a gate that
stands before its first sample.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

from engines.base import EngineError, Tts, TtsOptions
from engines.text import SentenceSplitter
from gateway.agents.base import (
    Agent,
    AgentError,
    Do,
    FaultKind,
    Finish,
    HangUp,
    Interruptible,
    Mishap,
    PlaySound,
    ReplyPart,
    Say,
    Settle,
    UserTurn,
    Working,
)
from gateway.calls.deadlines import paced
from gateway.calls.heard import HeardTracker
from gateway.calls.lulls import Lull
from gateway.calls.replies import Passage, Reply, Script
from gateway.calls.settings import DeadlineSettings
from gateway.calls.sounds import looped
from gateway.calls.timings import ReplyStamps
from gateway.calls.turn_events import (
    Fault,
    HangUpAsked,
    ReplyCut,
    ReplyEmpty,
    ReplyFailed,
    ReplyGuarded,
    ReplyVoiced,
    TurnEvent,
)
from gateway.errors import GatewayError
from media.clock import now
from media.frame import Pcm
from media.legs.base import Playout, PlayoutDrained, PlayoutStarted

ROOM_WAIT = 0.1
"""Seconds before samples that found the playout full are offered again."""
_WRITING_PAUSE = 0.3
"""Seconds without text after which a whole sentence is spoken, although the agent has not finished."""


Work: TypeAlias = Callable[[], Coroutine[None, None, None]]
_Fail: TypeAlias = Callable[[Reply, Exception], None]


class SpeakerEvents(Protocol):
    """Whom the speaker tells. Both are called on the loop, and may call the speaker back."""

    def feed(self, event: TurnEvent) -> None:
        """Something the turn-taker has to know."""

    def saying(self, reply: Reply, sentence: str) -> None:
        """A sentence begins to be queued for the caller."""

    def fell_silent(self, reply: Reply) -> None:
        """The agent stopped in the middle of a reply, and the caller has heard all there is of it."""

    def act(self, do: Do) -> asyncio.Task[None]:
        """An order of the agent's is due; the task is over when it was done or refused."""

    def went_wrong(self, kind: FaultKind, action: str) -> None:
        """The agent's backend failed, and what was done about it; words as in `call_events.AgentFault`."""


@dataclass(frozen=True, slots=True)
class SpeakingVoice:
    """A voice as this call uses it."""

    tts: Tts
    options: TtsOptions
    deadlines: DeadlineSettings


class Speaker:
    """Makes replies, lets them sound, silences them, as told. Orders return at once; tasks do the work."""

    def __init__(
        self,
        agent: Agent,
        voice: SpeakingVoice,
        playout: Playout,
        tasks: asyncio.TaskGroup,
        events: SpeakerEvents,
        log: Any,
        unasked: Callable[[], AsyncIterator[ReplyPart]],
    ) -> None:
        """`unasked`: what is to be said in a reply that answers nothing."""
        self._agent = agent
        self._voice = voice
        self._unasked = unasked
        self._playout = playout
        self._tasks = tasks
        self._events = events
        self._log = log
        self._replies: dict[int, Reply] = {}
        self._gain = 1.0

    # ------------------------------------------------------------------------------------------ orders

    def prepare(self, number: int, turn: UserTurn) -> Reply:
        """Ask the agent and make the first sounds ready, in silence."""
        reply = self._new(number, turn, Script())
        reply.stamps.asked = now()
        reply.reader = self._spawn(lambda: self._read(reply, turn), reply, "read")
        self._begin(reply)
        return reply

    def release(self, number: int) -> Reply:
        """Let a prepared reply sound."""
        reply = self._replies[number]
        reply.released.set()
        return reply

    def say(self, number: int, text: str) -> None:
        """Say a phrase of our own."""
        reply = self._new(number, None, Script())
        reply.script.add([text] if text else [])
        reply.script.finish()
        reply.released.set()
        self._begin(reply)

    def fill(self, number: int, text: str, *, midway: bool = False) -> None:
        """Say a phrase ahead of what the agent will say, unless its words only wait for the voice.

        `midway`: ahead of the rest of it.
        """
        reply = self._replies[number]
        if not midway and (reply.script.passages or reply.filled):
            return
        self._events.went_wrong(FaultKind.SLOW, "filler")
        if text:
            reply.filled = True
            self._speak_in(reply, lambda: self._speak_sentence(reply, Passage(text), None), "fill")

    def stop(self, number: int) -> bool:
        """Silence a reply, now; it may be resumed. Returns whether it was sounding."""
        reply = self._replies[number]
        sounding = self._silence(reply)
        self._events.feed(ReplyCut(number, reply.resumable))
        return sounding

    def resume(self, number: int, stopped: int) -> None:
        """Go on with a stopped reply, from the sentence where it was cut."""
        old = self._replies.pop(stopped)
        reply = self._new(number, old.turn, old.script, first=old.next_index)
        reply.before = old.before + (old.sent or 0)
        reply.words_told = old.words_told
        reply.reader = old.reader
        reply.released.set()
        self._begin(reply)

    def close(self, number: int) -> tuple[Reply, bool]:
        """A reply is over: tell the agent what was heard. Returns it, and whether it was sounding."""
        reply = self._replies.pop(number)
        sounding = self._silence(reply)
        reply.abandon()
        if reply.turn is not None:
            self._agent.heard(reply.turn, reply.heard, complete=reply.complete)
        return reply, sounding

    def drop(self, number: int) -> tuple[Reply, bool]:
        """A reply never was. Returns it, and whether it was sounding."""
        reply = self._replies.pop(number)
        sounding = self._silence(reply)
        reply.abandon()
        return reply, sounding

    def speak_as(self, language: str, voice: str) -> None:
        """The language and the voice of what is said from the next sentence on; "" keeps each."""
        options = self._voice.options
        changed = replace(options, language=language or options.language, voice=voice or options.voice)
        self._voice = replace(self._voice, options=changed)

    def level(self, gain: float) -> None:
        """Play what sounds at this level; the next reply is at full level again."""
        self._gain = gain
        self._playout.duck(gain)

    def abandon_all(self) -> None:
        """The call is over."""
        for number in list(self._replies):
            self.drop(number)

    # ---------------------------------------------------------------------------- what the playout says

    def started(self, event: PlayoutStarted) -> Reply | None:
        """The first packet of a reply was sent; None when that reply is over."""
        if reply := self._replies.get(event.reply):
            reply.sounding = True
        return reply

    def drained(self, event: PlayoutDrained) -> None:
        """The last packet of a reply was sent."""
        if (reply := self._replies.get(event.reply)) and reply.sent is None:
            reply.sounding = False
            reply.sent = event.samples
            reply.complete = reply.script.finished and reply.script.fault is None

    def seconds(self, reply: Reply) -> float:
        """How long the caller heard it, earlier attempts included."""
        return (reply.before + (reply.sent or 0)) / self._voice.options.sample_rate

    def fresh_words(self) -> str:
        """The agent's words that were heard to their end since this was asked last."""
        for reply in self._replies.values():
            if reply.turn is not None and (reply.sounding or reply.sent):
                here = self._playout.position() if reply.sent is None else reply.sent
                words = f"{reply.script.text_before(reply.first)} {reply.tracker.at(here).text}".split()
                fresh, reply.words_told = words[reply.words_told :], max(reply.words_told, len(words))
                if fresh:
                    return " ".join(fresh)
        return ""

    # ------------------------------------------------------------------------------------------- the path

    async def _read(self, reply: Reply, turn: UserTurn) -> None:
        """Agent → script."""
        limits, writing = self._voice.deadlines, _Writing(reply.script)
        try:
            parts = paced(
                self._parts(turn), limits.agent_first, limits.agent_next, (Do, Working), self._lull(reply)
            )
            async with aclosing(parts) as pieces:
                async for part in pieces:
                    writing.goes_on()
                    match part:
                        case Say(filler=True) if reply.filled and not reply.script.passages:
                            self._voiced(reply)  # what was said for it will do
                        case Say():
                            reply.filled = reply.filled or part.filler
                            reply.stamps.first_text = reply.stamps.first_text or now()
                            self._guard(reply, part.interruptible)
                            writing.write(part)
                        case PlaySound():
                            self._guard(reply, part.interruptible)
                            writing.flush()
                            reply.script.play(part)
                        case Mishap(kind, action):
                            self._events.went_wrong(kind, action)
                        case Working():
                            writing.flush()
                        case Settle():
                            writing.flush()
                            await reply.released.wait()
                        case Do():
                            writing.flush()
                            reply.script.order(part)
                        case HangUp() | Finish():
                            reply.script.hang_up = True
                            reply.script.keep_call = isinstance(part, Finish)
                            break
        finally:
            writing.goes_on()
        writing.flush()
        reply.script.finish()

    def _lull(self, reply: Reply) -> Lull:
        """What keeps the reply from falling silent in its middle, whichever attempt at it is being heard."""
        limits, script = self._voice.deadlines, reply.script

        def latest() -> Reply | None:
            return next((one for one in self._replies.values() if one.script is script), None)

        def silent() -> bool:
            one = latest()
            return one is not None and one.sounding and one.voiced and script.starved and not self._ahead(one)

        def fill() -> None:
            if (one := latest()) is not None:
                self._events.fell_silent(one)

        return Lull(silent, fill, limits.agent_lull, limits.agent_silent)

    def _parts(self, turn: UserTurn) -> AsyncIterator[ReplyPart]:
        """What is said to the turn, or unasked."""
        if turn.number:
            return self._agent.reply(turn)
        return self._unasked() if turn.unasked else self._agent.greet()

    def _guard(self, reply: Reply, said: Interruptible | None) -> None:
        """The agent says what may cut the reply."""
        if said is not None and said is not reply.guard:
            reply.guard = said
            self._events.feed(ReplyGuarded(reply.number, said.by_voice, said.by_keys))

    async def _speak(self, reply: Reply) -> None:
        """Script → voice → playout, and what follows from its end."""
        async for item in reply.script.read(reply.first):
            match item:
                case Do():
                    await reply.released.wait()
                    await self._heard_so_far(reply)
                    reply.script.begin(item)
                    await asyncio.shield(self._events.act(item))
                case (index, Passage(sound=None) as passage):
                    await self._speak_sentence(reply, passage, index)
                case (index, Passage(sound=sound)) if sound is not None:
                    await self._play(reply, sound, index)
        await reply.released.wait()
        if reply.script.hang_up:
            self._events.feed(HangUpAsked(reply.number, reply.script.keep_call))
        if reply.script.fault is not None:
            self._events.feed(ReplyFailed(reply.number, reply.script.fault, reply.script.fault_kind))
        elif not reply.voiced:
            reply.complete = True
            self._events.feed(ReplyEmpty(reply.number))
        if reply.voiced:
            self._playout.finish()

    async def _speak_sentence(self, reply: Reply, passage: Passage, index: int | None) -> None:
        """One sentence; `index` is None for a filler."""
        async with reply.mouth:
            own = index is not None
            stamps = reply.stamps if own else ReplyStamps()
            stamps.sentence = stamps.sentence or now()
            limits, text = self._voice.deadlines, passage.text
            sound = self._voice.tts.speak(text, self._options(reply, passage))
            begun = False
            async with aclosing(paced(sound, limits.tts_first, limits.tts_next)) as chunks:
                async for chunk in chunks:
                    stamps.first_pcm = stamps.first_pcm or now()
                    await reply.released.wait()
                    if not begun:
                        begun = True
                        reply.tracker.begin(text, index)
                        self._events.saying(reply, text)
                    reply.tracker.words(chunk.words)
                    await self._write(reply, chunk.pcm, own=own)
            if begun:
                reply.tracker.end()

    def _options(self, reply: Reply, passage: Passage) -> TtsOptions:
        """How a passage is spoken: a language of its own has a voice of its own."""
        usual = self._voice.options
        language = passage.language or usual.language
        voice = passage.voice or (usual.voice if language == usual.language else "")
        return replace(usual, language=language, voice=voice, ahead=self._ahead(reply))

    async def _play(self, reply: Reply, sound: PlaySound, index: int) -> None:
        """A sound, as often as it is wanted. One that cannot be had is left out."""
        failed, limits, rate = "", self._voice.deadlines, self._voice.options.sample_rate
        async with reply.mouth:
            await reply.released.wait()
            reply.tracker.begin("", index)
            try:
                source = paced(looped(sound, rate), limits.agent_first, limits.agent_next)
                async with aclosing(source) as blocks:
                    async for block in blocks:
                        await self._write(reply, block, own=True)
            except (GatewayError, OSError, ValueError, TimeoutError) as error:
                failed = str(error) or "it did not come in time"
                self._log.warning("sound not played", reply=reply.number, why=type(error).__name__)
            reply.tracker.end()
        if sound.told is not None:
            sound.told(failed)

    async def _write(self, reply: Reply, rest: Pcm, *, own: bool) -> None:
        """Queue sound for the caller; waits while the playout is full."""
        while len(rest):
            taken = self._playout.write(rest, reply.number)
            reply.tracker.wrote(rest[:taken])
            if taken and own:
                reply.stamps.queued = reply.stamps.queued or now()
                self._voiced(reply)
            rest = rest[taken:]
            if len(rest):
                await asyncio.sleep(ROOM_WAIT)

    def _voiced(self, reply: Reply) -> None:
        if not reply.voiced:
            reply.voiced = True
            self._events.feed(ReplyVoiced(reply.number))

    async def _heard_so_far(self, reply: Reply) -> None:
        """Until the caller heard everything that was queued of it."""
        while reply.tracker.written and reply.sent is None:
            left = reply.tracker.written - self._playout.position()
            if reply.sounding and left <= 0:
                return
            await asyncio.sleep(max(ROOM_WAIT / 5, left / self._voice.options.sample_rate))

    def _ahead(self, reply: Reply) -> float:
        """Seconds of it that the caller still has to hear; 0 before it sounds."""
        if not reply.sounding:
            return 0.0
        left = reply.tracker.written - self._playout.position()
        return max(0.0, left / self._voice.options.sample_rate)

    # -------------------------------------------------------------------------------------------- helpers

    def _new(self, number: int, turn: UserTurn | None, script: Script, first: int = 0) -> Reply:
        tracker = HeardTracker(self._voice.options.sample_rate, first)
        reply = self._replies[number] = Reply(number, turn, script, tracker, first)
        return reply

    def _begin(self, reply: Reply) -> None:
        self._speak_in(reply, lambda: self._speak(reply), "speak")

    def _speak_in(self, reply: Reply, work: Work, name: str) -> None:
        task = self._spawn(work, reply, name)
        reply.speakers.add(task)
        task.add_done_callback(reply.speakers.discard)

    def _spawn(self, work: Work, reply: Reply, name: str) -> asyncio.Task[None]:
        fail = self._reading_failed if name == "read" else self._speaking_failed
        return self._tasks.create_task(self._guarded(work, reply, fail), name=f"{name} {reply.number}")

    async def _guarded(self, work: Work, reply: Reply, fail: _Fail) -> None:
        """A reply that fails is an event, never an exception that ends the call."""
        try:
            await work()
        except Exception as error:
            bug = not isinstance(error, (AgentError, EngineError, TimeoutError, OverflowError))
            # An agent's error is worded by us and holds no speech; others may quote what they choked on.
            why = error.detail if isinstance(error, AgentError) else type(error).__name__
            self._log.warning("reply failed", reply=reply.number, why=why, exc_info=bug)
            self._log.debug("reply failed", reply=reply.number, detail=str(error))
            fail(reply, error)

    def _reading_failed(self, reply: Reply, error: Exception) -> None:
        """What the agent said so far is spoken; with nothing to speak, say at once that it failed."""
        kind = _kind(error, begun=bool(reply.script.passages))
        reply.script.finish(Fault.AGENT, kind)
        if not reply.script.passages:
            self._events.feed(ReplyFailed(reply.number, Fault.AGENT, kind))

    def _speaking_failed(self, reply: Reply, error: Exception) -> None:
        reply.script.fault = Fault.TTS
        self._events.feed(ReplyFailed(reply.number, Fault.TTS))
        if reply.voiced:
            self._playout.finish()

    def _silence(self, reply: Reply) -> bool:
        """Stop its sound, and learn how much of it was sent."""
        sounding = reply.sounding
        reply.silence()
        if reply.sent is None:
            reply.sent = self._playout.clear() if reply.tracker.written else 0
        if self._gain != 1.0:
            self._gain = 1.0
            self._playout.duck(1.0, 0)
        return sounding


def _kind(error: Exception, *, begun: bool) -> FaultKind:
    """What an agent's reply failed of; `begun`: after its first words."""
    match error:
        case AgentError():
            return error.kind
        case TimeoutError():
            return FaultKind.CUT if begun else FaultKind.SLOW
        case OverflowError():
            return FaultKind.ENDLESS
        case _:
            return FaultKind.BROKEN


class _Writing:
    """What the agent writes, cut into sentences for its script."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._splitter = SentenceSplitter()
        self._manner = ("", "")
        """Language and voice of the sentence under way."""
        self._pause: asyncio.TimerHandle | None = None

    def write(self, say: Say) -> None:
        """More text; a whole sentence need not wait for the next one. Raises `OverflowError`."""
        if (say.language, say.voice) != self._manner:
            self.flush()
            self._manner = (say.language, say.voice)
        self._script.add(self._splitter.push(say.text), *self._manner)
        self._pause = asyncio.get_running_loop().call_later(_WRITING_PAUSE, self._paused)

    def goes_on(self) -> None:
        """The agent has not stopped to think after all, or will not write any more."""
        if self._pause is not None:
            self._pause.cancel()

    def flush(self) -> None:
        """What is left is a sentence. Raises `OverflowError`."""
        self._script.add(self._splitter.flush(), *self._manner)

    def _paused(self) -> None:
        with suppress(OverflowError):  # the next text says so
            self._script.add(self._splitter.pause(), *self._manner)
