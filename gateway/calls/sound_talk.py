"""What an agent that hears and speaks by itself has of the call from the answer on: serves `SoundCall`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import count

import structlog

from gateway.agents.sound import SoundAgent
from gateway.calls.call import Call
from gateway.calls.call_events import AgentFault
from gateway.calls.orders import Order
from gateway.calls.session import Obey
from gateway.calls.settings import SessionSettings
from gateway.calls.sound_guards import SoundGuards, SoundGuardSettings
from gateway.calls.sound_out import MOST_NAMES, Heard, SoundOut
from gateway.calls.sound_turns import SoundTurns
from gateway.calls.sound_words import HeldBack
from gateway.calls.speaking import ROOM_WAIT
from gateway.calls.turn_events import Phase
from media.clock import now
from media.frame import AudioFrame, Pcm, Voice, samples
from media.legs.base import LegAnswered
from media.segmenter import SpeechEnded, SpeechSegmenter, SpeechStarted

log = structlog.get_logger(__name__)

_OURS = "\0ours/"
"""Names of our own words, as tags and marks, begin so; no agent's do."""


class SoundTalk:
    """One conversation: the agent's sound on its way to the far end, turns, guards, and who speaks."""

    def __init__(
        self, call: Call, agent: SoundAgent, settings: SessionSettings, answered: LegAnswered, obey: Obey
    ) -> None:
        limits, guards = agent.limits, settings.turns.guards
        self._call = call
        self._agent = agent
        self._settings = settings
        self._obey = obey
        self._rate = answered.sample_rate
        self._before = call.replies
        self._segmenter = SpeechSegmenter(settings.segmenter, self._rate)
        self._out = SoundOut(call.leg.playout, self._rate, replies=call.replies, limit=limits.queue)
        self._turns = SoundTurns(call.ledger, self._rate, call.turns)
        self.guards = SoundGuards(
            SoundGuardSettings(guards.max_duration, guards.media_lost, limits.dead_air, limits.silence), now()
        )
        self._held: HeldBack | None = None
        """Takes what the agent sends while words of ours are written."""
        self._ours: dict[str, asyncio.Event] = {}
        """Our own words that are being said: set once they were heard, or cleared."""
        self._our_replies: set[int] = set()
        """Stretches of sound that our own words began."""
        self._names = count(1)
        self._held_refused = 0
        self._full = False
        self._over = False
        self._phase = Phase.LISTENING

    # ------------------------------------------------------------------------------ what comes from the leg

    def listen(self, frame: AudioFrame, voice: Voice) -> None:
        """20 ms of the far end, for those who watch over the call."""
        if frame.sample_rate != self._rate:
            self._retune(frame.sample_rate)
        for event in self._segmenter.push(frame, voice):
            self._call.ledger.voice(event, now())
            match event:
                case SpeechStarted():
                    self._turns.caller_began()
                case SpeechEnded():
                    self._turns.caller_ended(event, now())
                    if not self._out.waiting:
                        self.guards.spoke(event.speech_end_at)
            self._agent.voice(event)
        nothing_came = frame.lost or frame.dtx
        speaking, sounding, ours = self._segmenter.speaking, self._out.waiting > 0, bool(self._ours)
        self.guards.frame(
            frame.arrived,
            nothing_came=nothing_came,
            caller=speaking,
            backend=sounding and not ours,
            ours=ours,
        )
        self._show(Phase.HEARING if speaking else Phase.SPEAKING if sounding else Phase.LISTENING)

    def key(self, digit: str) -> None:
        """The far end pressed a key."""
        self._turns.key(digit)
        self._agent.key(digit)

    def reached(self, mark: int) -> None:
        """A `PlayoutMark` came."""
        self._played(self._out.reached(mark))

    def sounds(self, reply: int, at: float) -> None:
        """A `PlayoutStarted` came."""
        if reply in self._our_replies:
            return
        if reply > self._before and (timings := self._turns.sounds(at)) is not None:
            self._call.observers.tell(lambda o: o.timed(self._call.call_id, timings))

    def close(self) -> None:
        """The conversation is over: fall silent, and write down what is left to be told."""
        self._over = True
        cut = self._out.waiting > 0
        self._out.clear()
        for heard in self._ours.values():
            heard.set()
        if cut:
            self._turns.cut(self._out.heard)
        self._turns.close(self._out.heard)
        self._call.replies, self._call.turns = self._out.replies, self._turns.turns
        self.count("sound_refused", self._out.refused + self._held_refused)
        self.count("marks_early", self._out.marks_early)

    # -------------------------------------------------------------------------------------- words of ours

    async def say(self, sound: AsyncGenerator[Pcm, None], text: str) -> None:
        """Let this be heard after all that waits, and before what the agent sends from now on.

        One at a time. `text`: its words, for the record. Returns when it was heard, or cleared. Raises as
        `sound` does.
        """
        name = f"{_OURS}{next(self._names)}"
        over = self._ours[name] = asyncio.Event()
        self._held = held = HeldBack(samples(self._agent.limits.queue, self._rate), MOST_NAMES)
        if text:
            self._turns.spoke(name, text)
        try:
            async with aclosing(sound) as blocks:
                async for block in blocks:
                    await self._write(block, name, over)
                    if over.is_set():
                        return
            if not self._out.mark(name):
                return
            self._release(held)
            await over.wait()
        finally:
            self._ours.pop(name, None)
            self._release(held)

    async def _write(self, rest: Pcm, tag: str, over: asyncio.Event) -> None:
        while len(rest) and not over.is_set():
            before = self._out.replies
            taken = self._out.play(rest, tag)
            self._turns.sound(tag, rest[:taken])
            if self._out.replies != before:
                self._our_replies.add(self._out.replies)
            rest = rest[taken:]
            if len(rest):
                await asyncio.sleep(ROOM_WAIT)

    def _release(self, held: HeldBack) -> None:
        """Let the agent's sound follow."""
        if self._held is held:
            self._held = None
            for item in held.take():
                if isinstance(item, str):
                    self.mark(item)
                else:
                    self.play(*item)

    def _played(self, names: list[str]) -> None:
        """These marks were reached, or cleared."""
        for name in names:
            if (ours := self._ours.get(name)) is not None:
                ours.set()
            else:
                self._agent.played(name)

    # ----------------------------------------------------------------------------------------- SoundCall

    @property
    def sample_rate(self) -> int:
        """See `SoundCall`."""
        return self._rate

    @property
    def codec(self) -> str:
        """See `SoundCall`."""
        return self._call.record.codec

    @property
    def turn(self) -> int:
        """See `SoundCall`."""
        return self._turns.newest

    def play(self, pcm: Pcm, tag: str = "") -> None:
        """See `SoundCall`."""
        if self._over or not len(pcm):
            return
        before = self._out.replies
        if self._held is not None:
            taken = self._held.play(pcm, tag)
            self._held_refused += len(pcm) - taken
        else:
            taken = self._out.play(pcm, tag)
            self._turns.sound(tag, pcm[:taken])
        if self._out.replies != before:
            self._turns.queued(now())
        if taken < len(pcm) and not self._full:
            self._full = True
            log.warning("the agent sends more sound than may wait", seconds=self._agent.limits.queue)

    def mark(self, name: str) -> None:
        """See `SoundCall`."""
        if self._over:
            return
        kept = self._out.mark(name) if self._held is None else self._held.mark(name)
        if not kept:
            self._agent.played(name)

    def clear(self) -> None:
        """See `SoundCall`."""
        if self._over:
            return
        cut = self._out.waiting > 0
        names = self._out.clear()
        if self._held is not None:
            names += [item for item in self._held.take() if isinstance(item, str)]
            self._held = None
        for ours in self._ours.values():
            ours.set()
        self._full = False
        if cut:
            self._turns.cut(self._out.heard)
            if self._segmenter.speaking:
                timings = self._call.ledger.barged_in(now())
                self._call.observers.tell(lambda o: o.barged_in(self._call.call_id, timings))
        self._played(names)

    def heard(self, tag: str) -> Heard:
        """See `SoundCall`."""
        return self._out.heard(tag)

    def said(self, turn: int, text: str) -> None:
        """See `SoundCall`."""
        if text.strip():
            whole = self._turns.said(turn, text)
            self._call.observers.tell(lambda o: o.words(self._call.call_id, whole, is_final=True))

    def spoke(self, tag: str, text: str) -> None:
        """See `SoundCall`."""
        if text:
            self._turns.spoke(tag, text)

    def fault(self, kind: str, action: str) -> None:
        """See `SoundCall`."""
        self._call.happened(AgentFault(now(), self._agent.name, kind, action))

    def busy(self, on: bool) -> None:
        """See `SoundCall`."""
        self.guards.busy(on, now())

    def count(self, what: str, number: int = 1) -> None:
        """See `SoundCall`."""
        if number:
            counts = self._call.record.counts
            counts[what] = counts.get(what, 0) + number

    async def order(self, order: Order) -> None:
        """See `SoundCall`."""
        await self._obey(order)

    # ---------------------------------------------------------------------------------------------- helpers

    def _retune(self, sample_rate: int) -> None:
        """The far end took a codec of another rate: the playout lost what waited at the old one."""
        self._rate = sample_rate
        self._segmenter = SpeechSegmenter(self._settings.segmenter, sample_rate)
        self.clear()

    def _show(self, phase: Phase) -> None:
        """Who has the floor, for those who watch."""
        if phase is not self._phase:
            self._phase = phase
            self._call.observers.tell(lambda o: o.phase(self._call.call_id, phase, now()))
