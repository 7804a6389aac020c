"""A running call in the hands of TwiML: the verbs, over what the dialplan's actions are made of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import structlog

from engines.base import EngineFailed, EngineRefused
from gateway.actions import taping
from gateway.actions.gather import gather as ask
from gateway.actions.line import Line
from gateway.actions.taping import Tape
from gateway.announcer import CallerGone
from gateway.calls.call_events import Recorded, StageBegan
from gateway.calls.orders import OrderRefused
from gateway.control.dialer import Dialer
from gateway.dialplan import actions_ask
from gateway.dialplan.actions import Reject
from gateway.errors import AppFailed
from gateway.twiml.bridging import Bridging
from gateway.twiml.client import shown
from gateway.twiml.connecting import Connecting
from gateway.twiml.dialing import Attempt, press
from gateway.twiml.form import CallStatus, Fields
from gateway.twiml.host import Dialled, DialProgress, Gathered, PartialSpeech, Recording
from gateway.twiml.recordings import CallRecordings, RecordingShelf
from gateway.twiml.sounds import Sounds
from gateway.twiml.verbs import (
    ConversationRelay,
    Dial,
    Gather,
    Pause,
    Play,
    Record,
    Say,
    StartStream,
    Stream,
)
from media.clock import now
from media.legs.base import Direction, EndReason, Leg, LegError
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
    whisper: Callable[[Line, Leg, Attempt, str], Awaitable[int]] | None = None
    """Runs the documents for those who are dialled; None: they hear none."""


class CallHost:
    """Serves `VerbHost`."""

    def __init__(self, line: Line, hands: Hands, parts: HostParts) -> None:
        self._line = line
        self._hands = hands
        self._parts = parts
        self._recordings = CallRecordings(parts.shelf, line.call.call_id, line.wall)
        whisper = partial(parts.whisper, line) if parts.whisper is not None else None
        self._bridging = Bridging(line, parts.dialer, self._recordings, parts.tapes, whisper)
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
        self._line.announcer.hush()

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

    async def say(self, say: Say) -> bool:
        if not say.text:
            return True
        announcer, voice = self._line.announcer, say.voice
        language = self._language(say.language)
        try:
            return await announcer.say(say.text, language=language, voice=voice)
        except EngineRefused as refused:
            if not language and not voice:
                raise
            log.warning("said in the usual voice", language=language, voice=voice, why=str(refused))
            return await announcer.say(say.text)

    async def play(self, url: str) -> bool:
        announcer = self._line.announcer
        sound = await announcer.until(self._parts.sounds.pcm(url, self._line.call.leg.sample_rate))
        return await announcer.sound(sound)

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
                            if not await self.say(one):
                                return
                    case Play():
                        if not await self._play_prompt(one):
                            return
                    case Pause(length):
                        await self.pause(length)

        return prompt

    async def _play_prompt(self, play: Play) -> bool:
        if play.digits:
            await self.press(play.digits)
            return True
        try:
            for _ in range(play.loop or _MOST_LOOPS):
                if not await self.play(play.url):
                    return False
        except AppFailed as error:
            log.warning("a sound cannot be had", why=str(error), code=error.code)
        return True

    async def record(self, record: Record) -> Recording | None:
        self._began("record")
        begun = self._recordings.new()
        tape = Tape(
            self._recordings.path(begun), min(record.max_length, 3600.0), record.timeout,
            record.finish_on_key, record.play_beep, record.transcribe,
        )  # fmt: skip
        kept = await taping.record(self._line, tape)
        if not kept.spoke:
            await asyncio.to_thread(kept.path.unlink, missing_ok=True)
            return None
        self._line.call.happened(Recorded(now(), kept.path.name, kept.seconds))
        if record.transcribe:
            self._words[begun.sid] = kept
        ended_by = "hangup" if kept.ending == "hangup" else kept.key
        return replace(begun, seconds=kept.seconds, ended_by=ended_by)

    async def transcribe(self, recording: Recording) -> str:
        kept = self._words.pop(recording.sid, None)
        if kept is None or not kept.written_down:
            raise EngineFailed("the recogniser did not write all of it down")
        return kept.text

    # -------------------------------------------------------------------------- who else is in the call

    async def dial(self, dial: Dial, told: Callable[[DialProgress], None]) -> Dialled:
        self._began("dial")
        return await self._bridging.dial(dial, self._hands.answer, told)

    async def connect(self, noun: Stream | ConversationRelay) -> Fields:
        self._began("stream" if isinstance(noun, Stream) else "conversation_relay", shown(noun.url))
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
