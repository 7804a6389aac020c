"""A conversation with an agent that hears and speaks by itself: one stage of a call.

    caller ─RTP→ leg ─frames→ hear ─┬ SoundAgent.hear ──────────→ backend
                                    └ SoundTalk.listen: who speaks, turns, guards
    caller ←RTP─ leg ←playout← SoundOut ← play, mark, clear ←──── backend

No recogniser, voice or turn-taker of ours stands in the path; the voice detector only watches, so that the
record tells how long the caller waited and no call is stuck. Sound and orders of the agent are methods called
on the loop: nothing between the backend's `clear` and our silence is queued.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import replace

import numpy as np
import structlog

from engines.base import EngineError
from gateway.agents.base import AgentError, CallInfo, FaultKind
from gateway.agents.sound import SoundAgent
from gateway.calls.call import Call
from gateway.calls.call_events import AgentFault
from gateway.calls.orders import MOST_WAITING, ClearNow, Mute, Order, OrderRefused, PlayNow, SayNow
from gateway.calls.session import Obey
from gateway.calls.settings import SessionSettings
from gateway.calls.sound_talk import SoundTalk
from gateway.calls.sound_words import ordered_sound
from gateway.calls.speaking import SpeakingVoice
from gateway.calls.stage import CallOver, Done, Leave, StageEnd
from media.clock import now
from media.frame import FRAME_MS, AudioFrame, Voice
from media.legs.base import (
    Direction,
    DtmfReceived,
    EndReason,
    LegAnswered,
    LegClosed,
    LegError,
    LegEvent,
    LegHeld,
    LegResumed,
    PlayoutMark,
    PlayoutStarted,
)

log = structlog.get_logger(__name__)


class SoundStage:
    """A `Stage` around a `SoundAgent`."""

    def __init__(
        self,
        call: Call,
        agent: SoundAgent,
        settings: SessionSettings,
        obey: Obey,
        voice: SpeakingVoice | None = None,
    ) -> None:
        """`obey`: who does the agent's orders; `voice`: speaks what is ordered, None for nobody."""
        self._call = call
        self._leg = call.leg
        self._agent = agent
        self._settings = settings
        self._obey = obey
        self._voice = voice
        self._saying = asyncio.Lock()
        self._waiting = self._cleared = 0
        self._opened = False
        self._talk: SoundTalk | None = None
        self._up = asyncio.Event()
        self._muted = False
        self._end: StageEnd | None = None
        self._over = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._log = log.bind(call_id=call.call_id, agent=agent.name)

    # ------------------------------------------------------------------------------------------- Stage

    async def run(self) -> StageEnd:
        """See `Stage.run`. The backend is reached before the call is answered, so nobody waits in silence."""
        self._call.lend(self)
        serving = asyncio.create_task(self._serve(), name="sound agent")
        over = asyncio.create_task(self._over.wait(), name="sound stage over")
        try:
            await asyncio.wait({serving, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            serving.cancel()
            over.cancel()
            await asyncio.gather(serving, over, return_exceptions=True)
            await self._part()
        return self._end or CallOver(EndReason.INTERNAL_ERROR)

    def hang_up(self, reason: EndReason) -> None:
        """See `Stage.hang_up`."""
        self._finish(CallOver(reason))

    def leave(self, order: Order) -> None:
        """See `Stage.leave`."""
        self._finish(Leave(order))

    async def obey(self, order: Order) -> None:
        """See `Stage.obey`."""
        match order:
            case Mute(on):
                self._muted = on
            case SayNow() | PlayNow():
                await self._say_now(order)
            case ClearNow() if self._talk is not None:
                self._cleared += 1
                self._talk.clear()
            case _:
                raise OrderRefused(f"an agent that speaks for itself cannot do {type(order).__name__}")

    async def _say_now(self, order: SayNow | PlayNow) -> None:
        """One after another; returns when it was heard, or cleared."""
        if self._talk is None or self._voice is None or self._over.is_set():
            raise OrderRefused("nobody can speak in this conversation now")
        if self._waiting >= MOST_WAITING:
            raise OrderRefused(f"{MOST_WAITING} texts wait already; clear them first")
        if order.interrupt:
            self._talk.clear()
        work = asyncio.create_task(self._say(order, self._talk, self._voice), name="say-order")
        over = asyncio.create_task(self._over.wait(), name="say-order over")
        self._waiting += 1
        try:
            await asyncio.wait({work, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiting -= 1
            for task in (work, over):
                task.cancel()
            await asyncio.gather(work, over, return_exceptions=True)
        if self._over.is_set() or work.cancelled():
            raise OrderRefused("the conversation ended before it was heard")
        if isinstance(error := work.exception(), EngineError | TimeoutError | OSError | ValueError):
            raise OrderRefused(f"it could not be spoken: {error}") from error
        work.result()

    async def _say(self, order: SayNow | PlayNow, talk: SoundTalk, voice: SpeakingVoice) -> None:
        before = self._cleared
        async with self._saying:
            if before == self._cleared:
                text = order.text if isinstance(order, SayNow) else ""
                await talk.say(ordered_sound(order, voice, talk.sample_rate), text)

    async def _serve(self) -> None:
        parties = self._leg.parties
        info = CallInfo(self._call.call_id, parties.caller, parties.called, parties.trunk)
        try:
            await self._ring()
            await self._reach(info)
            self._opened = True
            if (answered := self._call.answered) is not None:  # no `LegAnswered` will tell us any more
                self._begin(answered)
            await self._call.answer()
            await self._up.wait()
            assert self._talk is not None
            await self._agent.converse(self._talk)
            self._finish(Done())
        except AgentError as error:
            await self._fail(error)
        except LegError as error:
            self._log.info("could not answer", detail=error.detail, sip_code=error.sip_code)
            self._finish(CallOver(EndReason.REJECTED))
        except Exception as error:
            self._break(error)

    async def _reach(self, info: CallInfo) -> None:
        """Open the agent; a caller who is up already is asked for patience. Raises `AgentError`."""
        limit = self._settings.deadlines.agent_open
        filler = asyncio.create_task(self._fill(), name="sound filler")
        try:
            async with asyncio.timeout(limit):
                await self._agent.open(info)
        except TimeoutError:
            detail = f"{self._agent.name} was not reached within {limit:g} s"
            raise AgentError(detail, kind=FaultKind.SLOW) from None
        finally:
            filler.cancel()
            await asyncio.gather(filler, return_exceptions=True)

    async def _fill(self) -> None:
        await asyncio.sleep(self._settings.turns.guards.filler_after)
        if self._call.answered is not None and (text := self._settings.phrases.filler):
            self._fault(FaultKind.SLOW, "filler")
            await self._phrase(text)

    async def _phrase(self, text: str) -> None:
        """Words of ours while nobody talks; returns when they were heard, or could not be spoken."""
        if self._voice is None:
            return
        playout, rate = self._leg.playout, self._leg.sample_rate
        self._call.replies += 1
        written = 0
        try:
            async with aclosing(ordered_sound(SayNow(text), self._voice, rate)) as blocks:
                async for block in blocks:
                    written += playout.write(block, self._call.replies)
        except (EngineError, TimeoutError) as error:
            self._log.warning("a phrase was not spoken", why=type(error).__name__)
        playout.finish()
        await asyncio.sleep(written / rate)

    async def _ring(self) -> None:
        """Let the caller hear that somebody is on it, unless he hears more already."""
        leg = self._leg
        if leg.direction is Direction.INBOUND and self._call.answered is None and not leg.sample_rate:
            await leg.ring()

    def _begin(self, answered: LegAnswered) -> None:
        """Audio flows both ways, and there is somebody to hear it. Happens once."""
        if self._opened and self._talk is None:
            self._talk = SoundTalk(self._call, self._agent, self._settings, answered, self._obey)
            self._watch()
            self._up.set()

    # --------------------------------------------------------------------------------------- LegListener

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        """20 ms of the far end: to the agent, and to those who watch over the call."""
        if self._talk is None or self._over.is_set():
            return
        with self._guarded():
            if self._muted:
                frame, voice = replace(frame, pcm=np.zeros_like(frame.pcm)), Voice(False, 0.0)
            while self._call.keys_ahead:
                self._talk.key(self._call.keys_ahead.popleft().digit)
            self._agent.hear(frame)
            self._talk.listen(frame, voice)
            self._judge()

    def notice(self, event: LegEvent) -> None:
        """Something happened on the leg."""
        with self._guarded():
            match event:
                case LegAnswered():
                    self._begin(event)
                case LegClosed(reason=reason):
                    self._finish(CallOver(reason))
                case DtmfReceived() if self._talk is None:
                    self._call.keys_ahead.append(event)
                case _ if self._talk is not None and not self._over.is_set():
                    self._tell(self._talk, event)

    def _tell(self, talk: SoundTalk, event: LegEvent) -> None:
        match event:
            case DtmfReceived(digit=digit) if not self._muted:
                talk.key(digit)
            case LegHeld(at=at) | LegResumed(at=at):
                talk.guards.held(isinstance(event, LegHeld), at)
            case PlayoutMark(mark=mark):
                talk.reached(mark)
            case PlayoutStarted(reply=reply, at=at):
                talk.sounds(reply, at)

    # ------------------------------------------------------------------------------- guards, and the end

    def _judge(self) -> None:
        if self._talk is None or (reason := self._talk.guards.judge(now())) is None:
            return
        if reason is EndReason.DEAD_AIR:
            self._fault(FaultKind.SLOW, "ended")
        self._finish(CallOver(reason))

    def _watch(self) -> None:
        """Frames drive the guards; this timer covers for frames that do not come."""
        if self._talk is None or self._over.is_set():
            return
        self._judge()
        due = min(self._talk.guards.due().values())
        self._timer = asyncio.get_running_loop().call_at(max(due, now() + FRAME_MS / 1000), self._watch)

    async def _fail(self, error: AgentError) -> None:
        """What the bot had said is heard out no further: goodbye, unless the route has something better."""
        self._log.warning("agent lost", why=error.detail)
        told = error.kind in (FaultKind.SLOW, FaultKind.GARBAGE)
        lost = FaultKind.REFUSED if self._talk is None else FaultKind.CUT
        self._fault(error.kind if told else lost, "ended")
        if self._call.answered is not None and (text := self._settings.phrases.failure_goodbye):
            if self._talk is not None:
                self._talk.close()
                self._talk = None
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.turns.guards.goodbye):
                    await self._phrase(text)
        self._finish(CallOver(EndReason.DEAD_AIR))

    def _fault(self, kind: FaultKind, action: str) -> None:
        self._call.happened(AgentFault(now(), self._agent.name, kind, action))

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """A fault of ours ends this call and no other: nothing is raised into the leg or the loop."""
        try:
            yield
        except Exception as error:
            self._break(error)

    def _break(self, error: BaseException) -> None:
        self._log.error("stage broken", exc_info=error)
        self._finish(CallOver(EndReason.INTERNAL_ERROR))

    def _finish(self, end: StageEnd) -> None:
        """The first end counts."""
        self._end = self._end or end
        self._over.set()

    async def _part(self) -> None:
        """Fall silent, give the leg back, and let the agent say goodbye, but not for long."""
        self._over.set()
        if self._timer is not None:
            self._timer.cancel()
        self._call.lend(None)
        if self._talk is not None:
            self._talk.close()
        try:
            async with asyncio.timeout(self._settings.deadlines.close):
                await self._agent.aclose()
        except Exception as error:
            self._log.warning("the agent did not close", error=type(error).__name__)
