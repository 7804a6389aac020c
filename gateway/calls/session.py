"""One call, from its first frame to its record.

    caller ─RTP→ leg ─frames→ hear ─┬ segmenter ── SpeechStarted/Ended ─┐
                                    └ recogniser ── Transcript ─────────┤ feed
                                                                        ▼
                                            TurnTaker.handle(event, now) → actions
                                                                        │ _apply
    caller ←RTP─ leg ← playout ← tts.speak(sentence) ← agent.reply(turn) ┘   (speaking.py)

Read `run`, `hear`, `feed` and `_apply` here, then `Speaker._read` and `_speak`: that is the data path.
Nothing between the caller's voice and our silence is queued or awaited: a frame is heard, judged and acted
upon in one step of the loop. Whatever crosses a task carries the number of its reply or segment, and what is
stale is dropped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass

import structlog

from engines.base import AsrOptions, EngineError, TtsOptions
from gateway.agents.base import Agent
from gateway.calls.ledger import CallLedger
from gateway.calls.lifecycle import CallState, Lifecycle
from gateway.calls.observer import Observers, SessionObserver
from gateway.calls.recognition import Recognition
from gateway.calls.record import CallRecord
from gateway.calls.replies import Reply
from gateway.calls.settings import CallFacts, Engines, SessionSettings
from gateway.calls.speaking import Speaker, SpeakingVoice
from gateway.calls.turn_events import (
    AsrLost,
    CallStarted,
    CloseReply,
    CommitTurn,
    DecodeEarly,
    DropReply,
    DropSegment,
    Duck,
    EndCall,
    EndRequested,
    GoOnHearing,
    HearingAction,
    OpenSegment,
    PrepareReply,
    ReleaseReply,
    ResumeReply,
    SayFiller,
    SayPhrase,
    SpeakingAction,
    StartReply,
    StopReply,
    TurnAction,
    TurnEvent,
    Unduck,
)
from gateway.calls.turns import TurnTaker
from media.clock import now
from media.frame import AudioFrame, Voice
from media.legs.base import (
    AudioOneWay,
    Direction,
    EndReason,
    Leg,
    LegAnswered,
    LegClosed,
    LegError,
    LegEvent,
    LegRinging,
    PlayoutDrained,
    PlayoutMark,
    PlayoutStarted,
    TransferAsked,
)
from media.segmenter import SpeechSegmenter

log = structlog.get_logger(__name__)


class CallSession:
    """Serves one call: hears the leg, lets the turn-taker decide, has said what the agent says."""

    def __init__(
        self,
        leg: Leg,
        engines: Engines,
        agent: Agent,
        settings: SessionSettings,
        facts: CallFacts,
        observers: Sequence[SessionObserver] = (),
    ) -> None:
        self._leg = leg
        self._engines = engines
        self._agent = agent
        self._settings = settings
        self._facts = facts
        self._observers = Observers(observers)
        self._turns = TurnTaker(settings.turns, facts.replies)
        self._lifecycle = Lifecycle()
        self._ledger = CallLedger(
            CallRecord(facts.call_id, leg.direction, leg.parties, facts.route, facts.started)
        )
        self._talk: _Talk | None = None
        self._waiting: deque[TurnEvent] = deque()
        self._deciding = False
        self._phase = self._turns.phase
        self._timer: asyncio.TimerHandle | None = None
        self._over = asyncio.Event()
        self._closed = asyncio.Event()
        self._log = log.bind(call_id=facts.call_id)

    @property
    def call_id(self) -> str:
        """The call's name in logs, records and the API."""
        return self._facts.call_id

    @property
    def state(self) -> CallState:
        """Where the call stands."""
        return self._lifecycle.state

    # ------------------------------------------------------------------------------------- the whole call

    async def run(self) -> CallRecord:
        """Answer the leg, serve the call to its end, and return what remains of it."""
        self._ledger.started(now())
        try:
            async with asyncio.TaskGroup() as self._tasks:
                answering = self._tasks.create_task(self._answer(), name="answer")
                await self._over.wait()
                answering.cancel()
                self._fall_silent()
        except* Exception as errors:
            self._break(errors)
        finally:
            self._fall_silent()
            await self._close()
        return self._finish_record()

    def hang_up(self, reason: EndReason) -> None:
        """End the call for a reason from outside the conversation; returns at once."""
        self.feed(EndRequested(reason))

    async def _answer(self) -> None:
        """Take the call; an outbound one is taken by the far end, whose `LegAnswered` says so."""
        self._leg.attach(self)
        try:
            if self._leg.direction is Direction.INBOUND:
                if not self._facts.answered:
                    await self._leg.answer()
                if self._leg.sample_rate:  # answered before we came: no `LegAnswered` will tell us
                    self._begin(self._leg.sample_rate, str(self._leg.stats().get("codec", "")))
        except LegError as error:
            self._log.info("could not answer", detail=error.detail, sip_code=error.sip_code)
            self.hang_up(EndReason.REJECTED)

    def _begin(self, sample_rate: int, codec: str) -> None:
        """Audio flows both ways: let the conversation begin. Happens once."""
        if not self._lifecycle.answered():
            return
        settings = self._settings
        limit, switched = self._engines.data, self._facts.switches.append
        options = AsrOptions(
            settings.language, sample_rate, hot_words=settings.hot_words, data=limit, on_switch=switched
        )
        spoken = TtsOptions(
            sample_rate, settings.voice, settings.language, settings.speed, data=limit, on_switch=switched
        )
        voice = SpeakingVoice(self._engines.tts, spoken, settings.deadlines)
        self._talk = _Talk(
            SpeechSegmenter(settings.segmenter, sample_rate),
            Recognition(self._engines.asr, options, settings.recognition, self._log),
            Speaker(self._agent, voice, self._leg.playout, self._tasks, self, self._log),
            self._tasks.create_task(self._transcribe(), name="transcribe"),
        )
        self._ledger.answered(now(), codec, sample_rate)
        self._observers.tell(lambda o: o.answered(self.call_id, codec, sample_rate))
        self.feed(CallStarted())

    # --------------------------------------------------------------------- what is heard, and what follows

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        """One frame of the caller: his voice may take the floor, his words go to the recogniser."""
        if (talk := self._talk) is None or self._over.is_set():
            return
        with self._guarded():
            turns = self._turns
            nothing_came = frame.lost or frame.dtx
            self._do(
                turns.handle_timeout(frame.arrived) if nothing_came else turns.handle_frame(frame.arrived)
            )
            for event in talk.segmenter.push(frame, voice):
                self._ledger.voice(event, now())
                self.feed(event)
            talk.recognition.push(frame)
            self._ledger.pushed(now())

    def notice(self, event: LegEvent) -> None:
        """Something happened on the leg."""
        with self._guarded():
            match event:
                case LegAnswered():
                    self._begin(event.sample_rate, event.codec)
                    self._ledger.record.codec = event.codec
                case PlayoutStarted() if self._talk is not None:
                    self._sounds(self._talk.speaker.started(event), event.at)
                case PlayoutDrained() if self._talk is not None:
                    self._talk.speaker.drained(event)
                case LegClosed() if not self._closed.is_set():
                    self._ledger.record.sip_code = event.sip_code
                    self._closed.set()
            if not isinstance(event, LegAnswered | LegRinging | PlayoutMark | TransferAsked | AudioOneWay):
                self.feed(event)

    async def _transcribe(self) -> None:
        """Words, as long as there is a recogniser to give them."""
        assert self._talk is not None
        try:
            async with aclosing(self._talk.recognition.results()) as transcripts:
                async for transcript in transcripts:
                    self._ledger.transcript(transcript, now())
                    self.feed(transcript)
                    self._tell_words(transcript.text, is_final=False)
        except EngineError:
            self.feed(AsrLost())

    def feed(self, event: TurnEvent) -> None:
        """Let the turn-taker decide about an event, and do what it says.

        What an action brings about (a reply that is cut says so) waits until all actions before it are done.
        """
        if self._over.is_set():
            return
        self._waiting.append(event)
        if not self._deciding:
            self._do([])

    def _do(self, actions: list[TurnAction]) -> None:
        self._deciding = True
        self._apply(actions)
        while self._waiting and not self._over.is_set():
            self._apply(self._turns.handle(self._waiting.popleft(), now()))
        self._deciding = False
        if (phase := self._turns.phase) is not self._phase:
            self._phase = phase
            self._observers.tell(lambda o: o.phase(self.call_id, phase, now()))
        self._arm_timer()

    def _apply(self, actions: list[TurnAction]) -> None:
        """The only place where the call is acted upon."""
        for action in actions:
            match action:
                case EndCall(reason):
                    self._lifecycle.claim(reason)
                    self._over.set()
                case OpenSegment() | DecodeEarly() | GoOnHearing() | CommitTurn() | DropSegment():
                    self._recognise(action)
                case _:
                    self._speak(action)

    def _recognise(self, action: HearingAction) -> None:
        assert self._talk is not None
        recognition = self._talk.recognition
        match action:
            case OpenSegment(segment):
                recognition.start(segment, self._talk.segmenter.preroll())
            case DecodeEarly():
                recognition.pause()
            case GoOnHearing():
                recognition.resume()
            case CommitTurn():
                recognition.end()
                self._ledger.committed(now())
            case DropSegment(segment):
                recognition.drop(segment)

    def _speak(self, action: SpeakingAction) -> None:
        assert self._talk is not None
        speaker = self._talk.speaker
        match action:
            case PrepareReply(reply, turn):
                speaker.prepare(reply, turn)
            case StartReply(reply, turn):
                speaker.prepare(reply, turn)
                self._answered(speaker.release(reply))
            case ReleaseReply(reply):
                self._answered(speaker.release(reply))
            case StopReply(reply):
                self._silenced(speaker.stop(reply))
            case ResumeReply(reply, stopped):
                speaker.resume(reply, stopped)
            case CloseReply(reply):
                closed, sounding = speaker.close(reply)
                self._ledger.closed(closed)
                self._silenced(sounding)
            case DropReply(reply):
                speaker.drop(reply)
            case SayPhrase(reply, phrase):
                speaker.say(reply, self._settings.phrases.text(phrase))
            case SayFiller(reply, phrase):
                speaker.fill(reply, self._settings.phrases.text(phrase))
            case Duck(gain=gain):
                speaker.level(gain)
                self._ledger.ducked(now())
            case Unduck():
                speaker.level(1.0)

    # -------------------------------------------------------------------------------- clocks and the ledger

    def _arm_timer(self) -> None:
        """Frames drive the clocks; this timer covers for frames that do not come."""
        due = self._turns.next_timeout()
        armed = self._timer.when() if self._timer is not None else None
        if due is None or self._over.is_set() or (armed is not None and armed <= due):
            return  # a timer that rings too early looks again
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        with self._guarded():
            self._do(self._turns.handle_timeout(now()))

    def _answered(self, reply: Reply) -> None:
        """A turn is answered for good."""
        if reply.turn is not None:
            turn = reply.turn
            self._ledger.asked(turn)
            self._tell_words(turn.text, is_final=True)

    def _sounds(self, reply: Reply | None, at: float) -> None:
        if reply is not None and (timings := self._ledger.sounds(reply, at)):
            self._observers.tell(lambda o: o.timed(self.call_id, timings))

    def _silenced(self, sounding: bool) -> None:
        """A reply was cut; when the caller's voice did it, that is a barge-in."""
        if sounding and self._talk is not None and self._talk.segmenter.speaking:
            timings = self._ledger.barged_in(now())
            self._observers.tell(lambda o: o.barged_in(self.call_id, timings))

    def saying(self, reply: Reply, sentence: str) -> None:
        """The speaker queues a sentence."""
        self._observers.tell(lambda o: o.saying(self.call_id, reply.number, sentence))

    def _tell_words(self, text: str, *, is_final: bool) -> None:
        if text:
            self._observers.tell(lambda o: o.words(self.call_id, text, is_final=is_final))

    # ------------------------------------------------------------------------------------------- the end

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """A fault of ours ends this call and no other: nothing is raised into the leg or the loop."""
        try:
            yield
        except Exception as error:
            self._break(error)

    def _break(self, error: BaseException) -> None:
        self._log.error("call broken", exc_info=error)
        self._lifecycle.claim(EndReason.INTERNAL_ERROR)
        self._over.set()

    def _fall_silent(self) -> None:
        """Stop every task and clock of the conversation."""
        if self._timer is not None:
            self._timer.cancel()
        if self._talk is not None:
            self._talk.speaker.abandon_all()
            self._talk.transcribing.cancel()

    async def _close(self) -> None:
        """Let the leg and the agent say goodbye, but not for long."""
        self._over.set()
        self._lifecycle.claim(EndReason.INTERNAL_ERROR)  # nobody else did
        for work in (self._hang_up_leg, self._agent.aclose):
            try:
                async with asyncio.timeout(self._settings.deadlines.close):
                    await work()
            except Exception as error:
                self._log.warning("closing was not clean", error=type(error).__name__)

    async def _hang_up_leg(self) -> None:
        await self._leg.hangup(self._lifecycle.reason or EndReason.INTERNAL_ERROR)
        await self._closed.wait()

    def _finish_record(self) -> CallRecord:
        record = self._ledger.finished(now(), self._lifecycle.ended())
        record.counts.update(self._turns.counts)
        record.leg = self._leg.stats()
        record.note_switches(self._facts.switches)
        self._observers.tell(lambda o: o.ended(record))
        return record


@dataclass(frozen=True, slots=True)
class _Talk:
    """What a session has from the answer on."""

    segmenter: SpeechSegmenter
    recognition: Recognition
    speaker: Speaker
    transcribing: asyncio.Task[None]
