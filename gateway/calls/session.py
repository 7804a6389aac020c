"""A conversation: one stage of a call, from the answer to the agent's last word.

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
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias

import structlog

from engines.base import AsrOptions, EngineError, TtsOptions
from gateway.agents.base import Agent, Do, FaultKind
from gateway.calls.accompany import Accompaniment, SessionLine
from gateway.calls.call import Call
from gateway.calls.call_events import AgentFault
from gateway.calls.orders import (
    BridgeDial,
    ClearNow,
    CollectKeys,
    Mute,
    Order,
    OrderRefused,
    PlayNow,
    SayNow,
    SwitchLanguage,
    TransferAttended,
    TransferBlind,
)
from gateway.calls.recognition import Recognition
from gateway.calls.replies import Reply
from gateway.calls.settings import Engines, SessionSettings
from gateway.calls.speaking import Speaker, SpeakingVoice
from gateway.calls.stage import CallOver, Done, Leave, StageEnd
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
    Phase,
    PrepareReply,
    ReleaseReply,
    ResumeReply,
    SayFiller,
    SayPhrase,
    SpeakingAction,
    StartReply,
    StopReply,
    TalkOffered,
    TellFault,
    TellOverheard,
    TurnAction,
    TurnEvent,
    Unduck,
)
from gateway.calls.turns import TurnTaker
from gateway.calls.unasked import Unasked
from media.clock import now
from media.frame import AudioFrame, Voice
from media.legs.base import (
    AudioOneWay,
    DtmfReceived,
    EndReason,
    LegAnswered,
    LegError,
    LegEvent,
    LegHeld,
    LegResumed,
    LegRinging,
    PlayoutDrained,
    PlayoutMark,
    PlayoutStarted,
    TransferAsked,
)
from media.segmenter import SpeechSegmenter

log = structlog.get_logger(__name__)


Obey: TypeAlias = Callable[[Order], Awaitable[None]]
"""Has an order done by the call; raises `OrderRefused`."""


async def _nobody(order: Order) -> None:
    raise OrderRefused(f"nobody here can do {type(order).__name__}")


class CallSession:
    """A `Stage`: hears the leg, lets the turn-taker decide, has said what the agent says."""

    def __init__(
        self, call: Call, engines: Engines, agent: Agent, settings: SessionSettings, obey: Obey = _nobody
    ) -> None:
        """`obey`: who does the orders that the agent gives (`agents.base.Do`)."""
        self._call = call
        self._leg = call.leg
        self._engines = engines
        self._agent = agent
        self._beside = Accompaniment(agent)
        self._settings = settings = self._beside.tuned(settings)
        self._unasked = Unasked(self._beside.companion, lambda: self.feed(TalkOffered()))
        self._have_done = obey
        self._observers = call.observers
        self._turns = TurnTaker(settings.turns, call.replies, call.turns)
        self._ledger = call.ledger
        self._end: StageEnd | None = None
        self._muted = False
        self._language = settings.language
        """Of the caller's next words."""
        self._acts: set[asyncio.Task[None]] = set()
        self._talk: _Talk | None = None
        self._waiting: deque[TurnEvent] = deque()
        self._deciding = False
        self._phase = self._turns.phase
        self._timer: asyncio.TimerHandle | None = None
        self._over = asyncio.Event()
        self._log = log.bind(call_id=call.call_id)

    # ----------------------------------------------------------------------------- the whole conversation

    async def run(self) -> StageEnd:
        """Answer the leg, let the agent talk with the caller, and say how that ended."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                answering = self._tasks.create_task(self._answer(), name="answer")
                await self._over.wait()
                answering.cancel()
                self._fall_silent()
        except* Exception as errors:
            self._break(errors)
        finally:
            self._over.set()
            self._fall_silent()
            await self._part()
        return self._end or CallOver(EndReason.INTERNAL_ERROR)

    def hang_up(self, reason: EndReason) -> None:
        """End the call for a reason from outside the conversation; returns at once."""
        self.feed(EndRequested(reason))

    def leave(self, order: Order) -> None:
        """Break the conversation off for something that it cannot do itself; the leg stays up."""
        self._end = self._end or Leave(order)
        self.feed(EndRequested(EndReason.TRANSFERRED))  # closes replies; our own end stands already

    async def obey(self, order: Order) -> None:
        """Do what is asked while the conversation goes on. Raises `OrderRefused`."""
        match order:
            case Mute(on):
                self._muted = on
            case SwitchLanguage(language, voice):
                self._listen_in(language or self._language)
                if self._talk is not None:
                    self._talk.speaker.speak_as(language, voice)
            case CollectKeys(most):
                self._turns.collect_keys(most)
            case SayNow() | PlayNow():
                await self._say_now(order)
            case ClearNow():
                self._unasked.clear()
                if self._turns.phase in (Phase.SPEAKING, Phase.CONTESTED):
                    self.feed(TalkOffered(preempts=True))  # which says nothing then
            case _:
                raise OrderRefused(f"a conversation cannot do {type(order).__name__}")

    async def _say_now(self, order: SayNow | PlayNow) -> None:
        """Returns when it was heard, or cut. The caller is heard out and answered before it."""
        if self._talk is None or self._over.is_set():
            raise OrderRefused("the conversation has not begun" if self._talk is None else "the call is over")
        over = self._unasked.order(order)
        sounds = self._turns.phase in (Phase.SPEAKING, Phase.CONTESTED)
        self.feed(TalkOffered(preempts=order.interrupt and sounds))
        await over

    async def _answer(self) -> None:
        """Take the call; an outbound one is taken by the far end, whose `LegAnswered` says so."""
        self._call.lend(self)
        try:
            if (answered := self._call.answered) is not None:  # no `LegAnswered` will tell us any more
                self._begin(answered)
            await self._call.answer()
        except LegError as error:
            self._log.info("could not answer", detail=error.detail, sip_code=error.sip_code)
            self.hang_up(EndReason.REJECTED)

    def _begin(self, answered: LegAnswered) -> None:
        """Audio flows both ways: let the conversation begin. Happens once."""
        if self._talk is not None or self._over.is_set():
            return
        settings, sample_rate = self._settings, answered.sample_rate
        limit, switched = self._engines.data, self._call.facts.switches.append
        spoken = TtsOptions(
            sample_rate, settings.voice, settings.language, settings.speed, data=limit, on_switch=switched
        )
        voice = SpeakingVoice(self._engines.tts, spoken, settings.deadlines)
        self._talk = _Talk(
            sample_rate,
            SpeechSegmenter(settings.segmenter, sample_rate),
            *self._recogniser(sample_rate),
            Speaker(self._agent, voice, self._leg.playout, self._tasks, self, self._log, self._unasked.parts),
        )
        self.feed(CallStarted())
        self._beside.join(SessionLine(self._call, self._agent.name, self.feed, self._listen_in))
        while self._call.keys_ahead:  # somebody who knows the menu types ahead of it
            self._key(self._call.keys_ahead.popleft())

    def _recogniser(self, sample_rate: int) -> tuple[Recognition, str, asyncio.Task[None]]:
        """A recogniser of the caller's language, and the task that takes its words."""
        settings, language = self._settings, self._language
        options = AsrOptions(
            language, sample_rate, hot_words=settings.hot_words,
            data=self._engines.data, on_switch=self._call.facts.switches.append,
        )  # fmt: skip
        recognition = Recognition(self._engines.asr, options, settings.recognition, self._log)
        task = self._tasks.create_task(self._transcribe(recognition), name="transcribe")
        return recognition, language, task

    def _listen_in(self, language: str) -> None:
        """Hear another language, from the caller's next words on."""
        self._language = language

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
            if self._muted:
                return
            for event in talk.segmenter.push(frame, voice):
                self._ledger.voice(event, now())
                self._beside.voice(event)
                self.feed(event)
            (self._talk or talk).recognition.push(frame)  # another one, where the language changed
            self._ledger.pushed(now())
            self._tell_played()

    def notice(self, event: LegEvent) -> None:
        """Something happened on the leg."""
        with self._guarded():
            match event:
                case LegAnswered():
                    self._begin(event)
                case PlayoutStarted() if self._talk is not None:
                    self._sounds(self._talk.speaker.started(event), event.at)
                case PlayoutDrained() if self._talk is not None:
                    self._talk.speaker.drained(event)
                    self._tell_played()
                    self._beside.audible(False)
            if isinstance(event, DtmfReceived):
                self._key(event)
            elif not isinstance(event, LegAnswered | LegRinging | PlayoutMark | TransferAsked | AudioOneWay):
                self.feed(event)

    def _key(self, event: DtmfReceived) -> None:
        self.feed(event)
        speaking = self._turns.phase in (Phase.SPEAKING, Phase.CONTESTED)
        self._beside.key(event.digit, while_speaking=speaking)

    async def _transcribe(self, recognition: Recognition) -> None:
        """Words, as long as there is a recogniser to give them."""
        try:
            async with aclosing(recognition.results()) as transcripts:
                async for transcript in transcripts:
                    self._ledger.transcript(transcript, now())
                    self.feed(transcript)
                    self._tell_words(transcript.text, is_final=False)
                    if not transcript.is_final and self._turns.phase in (Phase.HEARING, Phase.ENDPOINTING):
                        self._beside.words(transcript.text)
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
            self._observers.tell(lambda o: o.phase(self._call.call_id, phase, now()))
        self._arm_timer()

    def _apply(self, actions: list[TurnAction]) -> None:
        """The only place where the call is acted upon."""
        for action in actions:
            match action:
                case EndCall(reason, keep_call):
                    self._end = self._end or (Done() if keep_call else CallOver(reason))
                    self._over.set()
                case TellOverheard(text):
                    self._beside.overheard(text)
                case TellFault(kind, done):
                    self.went_wrong(kind, done)
                case OpenSegment() | DecodeEarly() | GoOnHearing() | CommitTurn() | DropSegment():
                    self._recognise(action)
                case _:
                    self._speak(action)

    def _recognise(self, action: HearingAction) -> None:
        assert self._talk is not None
        recognition = self._talk.recognition
        match action:
            case OpenSegment(segment):
                if self._language != self._talk.language:
                    self._talk.transcribing.cancel()
                    new, language, task = self._recogniser(self._talk.sample_rate)
                    self._talk = replace(self._talk, recognition=new, language=language, transcribing=task)
                    recognition = new
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
                if self._unasked.waiting and not turn.unasked:
                    self.feed(TalkOffered())  # it comes after this one
                speaker.prepare(reply, turn)
                self._answered(speaker.release(reply))
            case ReleaseReply(reply):
                self._answered(speaker.release(reply))
            case StopReply(reply):
                self._silenced(speaker.stop(reply))
            case ResumeReply(reply, stopped):
                speaker.resume(reply, stopped)
            case CloseReply(reply, interrupted):
                self._tell_played()
                closed, sounding = speaker.close(reply)
                self._ledger.closed(closed)
                self._silenced(sounding)
                ordered = _is_unasked(closed) and self._unasked.closed(failed=closed.script.fault is not None)
                if interrupted and closed.turn is not None and not ordered:
                    self._beside.interrupted(closed.heard, speaker.seconds(closed))
            case DropReply(reply, asked):
                dropped, sounding = speaker.drop(reply)
                self._silenced(sounding)
                if _is_unasked(dropped):
                    self._unasked.dropped()
                if asked:
                    self._beside.interrupted(dropped.heard, speaker.seconds(dropped))
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
        if reply is not None:
            self._beside.audible(True)
        if reply is not None and (timings := self._ledger.sounds(reply, at)):
            self._observers.tell(lambda o: o.timed(self._call.call_id, timings))

    def _silenced(self, sounding: bool) -> None:
        """A reply was cut; when the caller's voice did it, that is a barge-in."""
        if sounding:
            self._beside.audible(False)
        if sounding and self._talk is not None and self._talk.segmenter.speaking:
            timings = self._ledger.barged_in(now())
            self._observers.tell(lambda o: o.barged_in(self._call.call_id, timings))

    def act(self, do: Do) -> asyncio.Task[None]:
        """The agent gives an order, and everything it said before was heard."""
        task = self._tasks.create_task(self._act(do), name=f"order {type(do.order).__name__}")
        self._acts.add(task)
        task.add_done_callback(self._acts.discard)
        return task

    async def _act(self, do: Do) -> None:
        """Have it done while the floor rests, if it takes the far end away; the agent learns how it went."""
        waits = isinstance(do.order, TransferBlind | TransferAttended | BridgeDial)
        if waits:
            self.feed(LegHeld(now()))
        refused = ""
        try:
            await self._have_done(do.order)
        except OrderRefused as error:
            refused = error.detail
            self._log.info("order refused", order=type(do.order).__name__, why=refused)
        if do.told is not None:
            do.told(refused)
        if waits:
            self.feed(LegResumed(now()))

    def fell_silent(self, reply: Reply) -> None:
        """The agent stopped in the middle of a reply: a filler, under its number."""
        assert self._talk is not None
        self._talk.speaker.fill(reply.number, self._settings.phrases.filler, midway=True)

    def went_wrong(self, kind: FaultKind, action: str) -> None:
        """The agent's backend failed, and what was done about it."""
        self._call.happened(AgentFault(now(), self._agent.name, kind, action))

    def _tell_played(self) -> None:
        if self._talk is not None and self._beside.counts_words:
            self._beside.played(self._talk.speaker.fresh_words())

    def saying(self, reply: Reply, sentence: str) -> None:
        """The speaker queues a sentence."""
        self._observers.tell(lambda o: o.saying(self._call.call_id, reply.number, sentence))

    def _tell_words(self, text: str, *, is_final: bool) -> None:
        if text:
            self._observers.tell(lambda o: o.words(self._call.call_id, text, is_final=is_final))

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
        self._end = self._end or CallOver(EndReason.INTERNAL_ERROR)
        self._over.set()

    def _fall_silent(self) -> None:
        """Stop every task and clock of the conversation."""
        if self._timer is not None:
            self._timer.cancel()
        for act in self._acts:
            act.cancel()
        self._unasked.close()
        if self._talk is not None:
            self._talk.speaker.abandon_all()
            self._talk.transcribing.cancel()

    async def _part(self) -> None:
        """Give the leg back, keep the counts, let the agent say goodbye, but not for long."""
        call, counts = self._call, self._ledger.record.counts
        call.lend(None)
        call.replies, call.turns = self._turns.replies, self._turns.turns
        for name, count in self._turns.counts.items():
            counts[name] = counts.get(name, 0) + count
        try:
            async with asyncio.timeout(self._settings.deadlines.close):
                await self._agent.aclose()
        except Exception as error:
            self._log.warning("the agent did not close", error=type(error).__name__)


def _is_unasked(reply: Reply) -> bool:
    return reply.turn is not None and reply.turn.unasked


@dataclass(frozen=True, slots=True)
class _Talk:
    """What a session has from the answer on."""

    sample_rate: int
    segmenter: SpeechSegmenter
    recognition: Recognition
    language: str
    """That it hears."""
    transcribing: asyncio.Task[None]
    speaker: Speaker
