"""What an agent that hears and speaks by itself has of the call from the answer on: serves `SoundCall`."""

from __future__ import annotations

import structlog

from gateway.agents.sound import SoundAgent
from gateway.calls.call import Call
from gateway.calls.call_events import AgentFault
from gateway.calls.orders import Order
from gateway.calls.session import Obey
from gateway.calls.settings import SessionSettings
from gateway.calls.sound_guards import SoundGuards, SoundGuardSettings
from gateway.calls.sound_out import Heard, SoundOut
from gateway.calls.sound_turns import SoundTurns
from gateway.calls.turn_events import Phase
from media.clock import now
from media.frame import AudioFrame, Pcm, Voice
from media.legs.base import LegAnswered
from media.segmenter import SpeechEnded, SpeechSegmenter, SpeechStarted

log = structlog.get_logger(__name__)


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
        speaking, sounding = self._segmenter.speaking, self._out.waiting > 0
        self.guards.frame(frame.arrived, nothing_came=nothing_came, caller=speaking, backend=sounding)
        self._show(Phase.HEARING if speaking else Phase.SPEAKING if sounding else Phase.LISTENING)

    def key(self, digit: str) -> None:
        """The far end pressed a key."""
        self._turns.key(digit)
        self._agent.key(digit)

    def reached(self, mark: int) -> None:
        """A `PlayoutMark` came."""
        for name in self._out.reached(mark):
            self._agent.played(name)

    def sounds(self, reply: int, at: float) -> None:
        """A `PlayoutStarted` came."""
        if reply > self._before and (timings := self._turns.sounds(at)) is not None:
            self._call.observers.tell(lambda o: o.timed(self._call.call_id, timings))

    def close(self) -> None:
        """The conversation is over: fall silent, and write down what is left to be told."""
        self._over = True
        cut = self._out.waiting > 0
        self._out.clear()
        if cut:
            self._turns.cut(self._out.heard)
        self._turns.close(self._out.heard)
        self._call.replies, self._call.turns = self._out.replies, self._turns.turns
        self.count("sound_refused", self._out.refused)
        self.count("marks_early", self._out.marks_early)

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
        taken = self._out.play(pcm, tag)
        self._turns.sound(tag, pcm[:taken])
        if self._out.replies != before:
            self._turns.queued(now())
        if taken < len(pcm) and not self._full:
            self._full = True
            log.warning("the agent sends more sound than may wait", seconds=self._agent.limits.queue)

    def mark(self, name: str) -> None:
        """See `SoundCall`."""
        if not self._over and not self._out.mark(name):
            self._agent.played(name)

    def clear(self) -> None:
        """See `SoundCall`."""
        if self._over:
            return
        cut = self._out.waiting > 0
        names = self._out.clear()
        self._full = False
        if cut:
            self._turns.cut(self._out.heard)
            if self._segmenter.speaking:
                timings = self._call.ledger.barged_in(now())
                self._call.observers.tell(lambda o: o.barged_in(self._call.call_id, timings))
        for name in names:
            self._agent.played(name)

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
