"""A running call in the hands of TwiML: the verbs, over what the dialplan's actions are made of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from email.utils import format_datetime
from typing import Protocol

import structlog

from engines.base import EngineFailed, EngineRefused
from gateway import twilio_ids
from gateway.actions import taping
from gateway.actions.gather import gather as ask
from gateway.actions.line import Line
from gateway.actions.reach import connect, dial
from gateway.actions.taping import Tape
from gateway.announcer import CallerGone
from gateway.calls.call_events import Recorded, StageBegan
from gateway.calls.orders import OrderRefused
from gateway.control.dialer import Dialer
from gateway.dialplan import actions_ask
from gateway.dialplan.actions import Reject
from gateway.errors import AppFailed, DialDenied, DialFailed
from gateway.twiml.connecting import Connecting
from gateway.twiml.dialing import Race, outcome, press
from gateway.twiml.form import CallStatus, Fields
from gateway.twiml.host import Dialled, DialProgress, Gathered, PartialSpeech, Recording
from gateway.twiml.recordings import RecordingShelf
from gateway.twiml.sounds import Sounds
from gateway.twiml.verbs import (
    ConversationRelay,
    Dial,
    Gather,
    Number,
    Pause,
    Play,
    Record,
    Say,
    StartStream,
    Stream,
)
from media.clock import now
from media.legs.base import Direction, EndReason, Leg, LegError
from media.legs.recorded import RecordedLeg
from media.recorder import TapeDisk

log = structlog.get_logger(__name__)

END_SILENCE = 0.8
"""Seconds of quiet that end what a caller says where a document leaves it to us."""
_AUTO_TIMEOUT = 5.0
_REFER_SECONDS = 30.0
_MOST_LOOPS = 100


class Hands(Protocol):
    """What the runner of the call does for a document."""

    async def answer(self) -> None:
        """Take the call. Idempotent. Raises `LegError`."""

    async def reject(self, action: Reject) -> None:
        """Refuse it."""

    async def transfer(self, target: str, seconds: float) -> None:
        """Send the caller elsewhere by REFER. Raises `OrderRefused`, and `CallerGone` once he went."""


@dataclass(frozen=True, slots=True)
class HostParts:
    """What a call of TwiML uses beside the line."""

    sounds: Sounds
    shelf: RecordingShelf
    tapes: TapeDisk
    dialer: Dialer | None
    connecting: Connecting


class CallHost:
    """Serves `VerbHost`."""

    def __init__(self, line: Line, hands: Hands, parts: HostParts) -> None:
        self._line = line
        self._hands = hands
        self._parts = parts
        self._dialled = 0
        self._recorded = 0
        self._words: dict[str, taping.Recording] = {}

    # ------------------------------------------------------------------------------------- the call

    @property
    def answered(self) -> bool:
        return self._line.call.answered is not None

    @property
    def gone(self) -> bool:
        try:
            self._line.announcer.check()
        except CallerGone:
            return True
        return False

    @property
    def status(self) -> CallStatus:
        if self.gone:
            return CallStatus.COMPLETED
        return CallStatus.IN_PROGRESS if self.answered else CallStatus.RINGING

    async def answer(self) -> None:
        await self._hands.answer()

    async def ring(self, seconds: float) -> None:
        if self._line.call.leg.direction is Direction.INBOUND:
            await self._line.call.leg.ring()
        await self._line.announcer.wait(seconds)

    def hush(self) -> None:
        self._line.call.leg.playout.clear()

    async def pause(self, seconds: float) -> None:
        await self._line.announcer.wait(seconds)

    async def reject(self, sip_code: int) -> None:
        await self._hands.reject(Reject(sip_code))

    async def refer(self, uri: str) -> int:
        try:
            await self._hands.transfer(uri, _REFER_SECONDS)
        except OrderRefused as refused:
            return refused.sip_code or 503
        except CallerGone as gone:
            if gone.reason is not EndReason.TRANSFERRED:
                raise
        return 200

    # --------------------------------------------------------------------------- what the caller hears

    async def say(self, say: Say) -> None:
        if not say.text:
            return
        announcer, voice = self._line.announcer, say.voice
        language = self._language(say.language)
        try:
            await announcer.say(say.text, language=language, voice=voice)
        except EngineRefused as refused:
            if not language and not voice:
                raise
            log.warning("said in the usual voice", language=language, voice=voice, why=str(refused))
            await announcer.say(say.text)

    async def play(self, url: str) -> None:
        announcer = self._line.announcer
        sound = await announcer.until(self._parts.sounds.pcm(url, self._line.call.leg.sample_rate))
        await announcer.sound(sound)

    async def press(self, digits: str) -> None:
        try:
            await self._line.announcer.until(press(self._line.call.leg, digits))
        except LegError as error:
            log.warning("keys were not sent", why=error.detail)

    async def filler(self) -> None:
        if text := self._line.ears.settings.phrases.filler:
            await self._line.announcer.say(text)

    def _language(self, wanted: str) -> str:
        """The language to ask an engine for; "" for the usual one, and for its dialects."""
        usual = self._line.ears.settings.language
        return "" if wanted.partition("-")[0].lower() in ("", usual.partition("-")[0].lower()) else wanted

    # ---------------------------------------------------------------------------- what the caller gives

    async def gather(self, gather: Gather, partial: PartialSpeech) -> Gathered:
        self._began("gather")
        heard = await ask(
            self._listening(gather), _question(gather), self._prompt(gather), gather.hints, so_far=partial
        )
        if heard is None:
            return Gathered()
        if not heard.keyed:
            return Gathered(speech=heard.text, confidence=heard.confidence)
        digits = "" if heard.text == heard.ended_by else heard.text
        return Gathered(digits, heard.ended_by)

    def _listening(self, gather: Gather) -> Line:
        """The line with ears for the document's language."""
        language = self._language(gather.language)
        if not language:
            return self._line
        ears = self._line.ears
        return replace(self._line, ears=replace(ears, settings=replace(ears.settings, language=language)))

    def _prompt(self, gather: Gather) -> Callable[[], Awaitable[None]]:
        async def prompt() -> None:
            for one in gather.prompts:
                match one:
                    case Say(loop=loop):
                        for _ in range(loop or _MOST_LOOPS):
                            await self.say(one)
                    case Play():
                        await self._play_prompt(one)
                    case Pause(length):
                        await self.pause(length)

        return prompt

    async def _play_prompt(self, play: Play) -> None:
        if play.digits:
            await self.press(play.digits)
            return
        try:
            for _ in range(play.loop or _MOST_LOOPS):
                await self.play(play.url)
        except AppFailed as error:
            log.warning("a sound cannot be had", why=str(error), code=error.code)

    async def record(self, record: Record) -> Recording | None:
        self._began("record")
        sid, started = self._new_recording()
        tape = Tape(
            self._parts.shelf.path(sid), min(record.max_length, 3600.0), record.timeout,
            record.finish_on_key, record.play_beep, record.transcribe,
        )  # fmt: skip
        kept = await taping.record(self._line, tape)
        if not kept.spoke:
            await asyncio.to_thread(kept.path.unlink, missing_ok=True)
            return None
        self._line.call.happened(Recorded(now(), kept.path.name, kept.seconds))
        if record.transcribe:
            self._words[sid] = kept
        ended_by = "hangup" if kept.ending == "hangup" else kept.key
        return Recording(sid, self._parts.shelf.url(sid), kept.seconds, started, 1, ended_by)

    async def transcribe(self, recording: Recording) -> str:
        kept = self._words.pop(recording.sid, None)
        if kept is None or not kept.written_down:
            raise EngineFailed("the recogniser did not write all of it down")
        return kept.text

    def _new_recording(self) -> tuple[str, str]:
        """RecordingSid, and when it begins."""
        self._recorded += 1
        sid = twilio_ids.recording_sid(self._line.call.call_id, self._recorded)
        return sid, format_datetime(self._line.wall())

    # -------------------------------------------------------------------------- who else is in the call

    async def dial(self, dial: Dial, told: Callable[[DialProgress], None]) -> Dialled:
        if self._parts.dialer is None:
            log.warning("nobody can be called from here")
            return Dialled(CallStatus.FAILED)
        self._began("dial")
        race = Race(self._parts.dialer, dial, self._line.call.call_id, self._dialled, told)
        self._dialled += len(dial.targets)
        try:
            other = await self._ring(dial, race)
        except (DialDenied, DialFailed) as error:
            status = outcome(error.sip_code) if isinstance(error, DialFailed) else CallStatus.FAILED
            return Dialled(status, race.attempts[-1].call_sid)
        except CallerGone:
            return Dialled(CallStatus.CANCELED, race.attempts[-1].call_sid)
        return await self._bridged(dial, race, other)

    async def _ring(self, dial_: Dial, race: Race) -> Leg:
        """Until somebody answers; meanwhile it rings. Raises `CallerGone`, `DialDenied`, `DialFailed`."""
        line, parties = self._line, self._line.call.leg.parties
        caller = dial_.caller_id or parties.caller
        if self.answered:
            shown = ", ".join(one.address for one in race.attempts)
            return await dial(line, race, shown, trunk="", caller=caller, seconds=dial_.timeout, music=None)
        await line.call.leg.ring()
        leg = await line.announcer.until(race.dial("", caller=caller, ring_seconds=dial_.timeout))
        try:
            await self._hands.answer()
        except LegError:
            await leg.hangup(EndReason.CANCELLED)
            raise
        return leg

    async def _bridged(self, dial_: Dial, race: Race, other: Leg) -> Dialled:
        """The two talk, until one of them hangs up or the time is over."""
        assert race.winner is not None
        recording: tuple[str, str] | None = None
        if dial_.record:
            recording = self._new_recording()
            other = RecordedLeg(other, self._parts.shelf.path(recording[0]), self._parts.tapes)
        began = now()
        try:
            if isinstance(target := race.winner.target, Number) and target.send_digits:
                await self._line.announcer.until(press(other, target.send_digits))
            async with asyncio.timeout(dial_.time_limit):
                await connect(self._line, other, ends_on="*" if dial_.hangup_on_star else "")
        except (CallerGone, TimeoutError, LegError) as error:
            log.info("the two have done", why=type(error).__name__)
        finally:
            await other.hangup(EndReason.AGENT_HUNG_UP)
            race.ended(now() - began)
        seconds = now() - began
        kept = None
        if recording is not None:
            sid, started = recording
            kept = Recording(sid, self._parts.shelf.url(sid), seconds, started, 2)
            self._line.call.happened(Recorded(now(), f"{sid}.wav", seconds))
        return Dialled(CallStatus.COMPLETED, race.winner.call_sid, seconds, kept)

    async def connect(self, noun: Stream | ConversationRelay) -> Fields:
        self._began("stream" if isinstance(noun, Stream) else "conversation_relay", noun.url)
        return await self._parts.connecting.connect(noun)

    async def start_stream(self, start: StartStream) -> None:
        await self._parts.connecting.start(start.stream)

    async def stop_stream(self, name: str) -> None:
        await self._parts.connecting.stop(name)

    def _began(self, stage: str, detail: str = "") -> None:
        self._line.call.happened(StageBegan(now(), stage, detail))


def _question(gather: Gather) -> actions_ask.Gather:
    """A `<Gather>` in the words of the dialplan's own; what is beyond its limits is brought to them."""
    timeout = min(max(_AUTO_TIMEOUT if gather.timeout is None else gather.timeout, 0.5), 60.0)
    silence = END_SILENCE if gather.speech_timeout is None else gather.speech_timeout
    return actions_ask.Gather(
        input="both" if gather.speech and gather.dtmf else "speech" if gather.speech else "digits",
        digits=actions_ask.DigitRule(1, min(gather.num_digits or 64, 64), gather.finish_on_key),
        timeout=timeout,
        digit_timeout=min(timeout, 30.0),
        end_silence=min(max(silence, 0.2), 5.0),
        longest=min(max(gather.max_speech, 1.0), 120.0),
        barge_in=gather.barge_in,
    )
