"""The verbs of one document, in order, over a call."""

from __future__ import annotations

from dataclasses import dataclass, replace

import structlog

from gateway.errors import AppFailed
from gateway.twiml.asking import Asking, absolute
from gateway.twiml.client import Ask
from gateway.twiml.form import Fields
from gateway.twiml.host import Dialled, Gathered, VerbHost
from gateway.twiml.told import DialTeller, RecordingTeller, SpeechTeller, recording_fields
from gateway.twiml.verbs import (
    ENDLESS,
    Connect,
    ConversationRelay,
    Dial,
    Document,
    Gather,
    Hangup,
    Number,
    Pause,
    Play,
    Record,
    Redirect,
    Refer,
    Reject,
    Say,
    Sip,
    StartStream,
    StopStream,
    Stream,
    Verb,
)

log = structlog.get_logger(__name__)

MOST_LOOPS = 1000
"""Of a `loop` that has no end of its own."""
_REFUSALS = {"rejected": 603, "busy": 486}


@dataclass(frozen=True, slots=True)
class Ended:
    """The documents want nothing more of the call."""

    rejected: bool = False
    """Whether it was refused instead of taken."""
    hung_up: bool = False
    """Whether `<Hangup>` said so, and it did not come to its own end."""


class Performer:
    """Runs one document. Every method may raise `CallerGone`."""

    def __init__(self, host: VerbHost, asking: Asking, base: str) -> None:
        """`base`: the document's address, where relative ones begin; "" when it has none."""
        self._host = host
        self._asking = asking
        self._base = base

    async def perform(self, document: Document) -> Ask | Ended:
        """The question that the document leads to, or the end. Raises `CallerGone`, `TwimlError`."""
        for number, verb in enumerate(document.verbs):
            follows = await self._do(verb, first=not number)
            if follows is not None:
                return follows
            if self._host.gone:
                break
        return Ended()

    async def _do(self, verb: Verb, *, first: bool) -> Ask | Ended | None:
        host = self._host
        match verb:
            case Redirect(url, method):
                return Ask(absolute(self._base, url), method)
            case Hangup():
                return Ended(hung_up=True)
            case Reject(reason):
                return await self._reject(reason)
            case Pause(length) if first and not host.answered:
                await host.ring(length)
            case Dial(answer_on_bridge=True):
                return await self._dial(verb)
            case StopStream(name):
                await host.stop_stream(name)
            case _:
                await host.answer()
                return await self._audible(verb)
        return None

    async def _audible(self, verb: Verb) -> Ask | None:
        """What needs a call that was taken."""
        host = self._host
        match verb:
            case Say():
                for _ in range(_times(verb.loop)):
                    if not await host.say(verb):
                        break
            case Play():
                await self._play(verb)
            case Pause(length):
                await host.pause(length)
            case Gather():
                return await self._gather(verb)
            case Record():
                return await self._record(verb)
            case Dial():
                return await self._dial(verb)
            case Connect(noun, action, method):
                fields = await host.connect(self._whole_noun(noun))
                return Ask(absolute(self._base, action), method, fields) if action else None
            case StartStream(stream):
                await host.start_stream(StartStream(self._whole(stream)))
            case Refer(uri, action, method):
                return await self._refer(uri, action, method)
        return None

    async def _reject(self, reason: str) -> Ended:
        """A call that was taken before cannot be refused any more; it ends."""
        if self._host.answered:
            return Ended()
        await self._host.reject(_REFUSALS[reason])
        return Ended(rejected=True)

    async def _play(self, play: Play) -> None:
        """A sound that cannot be had is left out: the verbs after it may well say what is needed."""
        if play.digits:
            await self._host.press(play.digits)
            return
        url = absolute(self._base, play.url)
        for _ in range(_times(play.loop)):
            try:
                if not await self._host.play(url):
                    return
            except AppFailed as error:
                log.warning("a sound cannot be had", why=str(error), code=error.code)
                return

    async def _gather(self, gather: Gather) -> Ask | None:
        prompts = tuple(
            replace(prompt, url=absolute(self._base, prompt.url))
            if isinstance(prompt, Play) and prompt.url
            else prompt
            for prompt in gather.prompts
        )
        teller = SpeechTeller(self._host, self._asking, self._base, gather)
        got = await self._host.gather(replace(gather, prompts=prompts), teller.told)
        if not got.digits and not got.speech and not gather.action_on_empty:
            return None
        return Ask(absolute(self._base, gather.action), gather.method, _gathered(gather, got))

    async def _record(self, record: Record) -> Ask | None:
        """An empty recording leads nowhere: the next verb follows."""
        recording = await self._host.record(record)
        RecordingTeller(self._host, self._asking, self._base).told(record, recording)
        if recording is None:
            return None
        fields = (*recording_fields(recording), ("Digits", recording.ended_by))
        return Ask(absolute(self._base, record.action), record.method, fields)

    async def _dial(self, dial: Dial) -> Ask | None:
        targets = tuple(map(self._whole_target, dial.targets))
        teller = DialTeller(self._asking, self._base, dial)
        dialled = await self._host.dial(replace(dial, targets=targets), teller.told)
        if dial.record and dialled.bridged:
            RecordingTeller(self._host, self._asking, self._base).told(dial, dialled.recording)
        if not dial.action:
            return None
        return Ask(absolute(self._base, dial.action), dial.method, _dialled(dialled))

    async def _refer(self, uri: str, action: str, method: str) -> Ask | None:
        sip_code = await self._host.refer(uri)
        if not action:
            return None
        fields = (
            ("ReferCallStatus", "completed" if 200 <= sip_code < 300 else "failed"),
            ("ReferSipResponseCode", str(sip_code)),
        )
        return Ask(absolute(self._base, action), method, fields)

    def _whole_noun(self, noun: Stream | ConversationRelay) -> Stream | ConversationRelay:
        return self._whole(noun) if isinstance(noun, Stream) else noun

    def _whole_target(self, target: Number | Sip) -> Number | Sip:
        return replace(target, url=absolute(self._base, target.url)) if target.url else target

    def _whole(self, stream: Stream) -> Stream:
        if not stream.status_callback:
            return stream
        return replace(stream, status_callback=absolute(self._base, stream.status_callback))


def _times(loop: int) -> int:
    return MOST_LOOPS if loop == ENDLESS else loop


def _gathered(gather: Gather, got: Gathered) -> Fields:
    fields: Fields = ()
    if got.speech or (gather.speech and not got.digits):
        fields += (("SpeechResult", got.speech), ("Confidence", f"{got.confidence:.7f}"))
    if got.digits or (gather.dtmf and not got.speech):
        fields += (("Digits", got.digits), ("FinishedOnKey", got.finished_on))
    return fields


def _dialled(dialled: Dialled) -> Fields:
    fields: Fields = (
        ("DialCallStatus", str(dialled.status)),
        ("DialCallSid", dialled.call_sid),
        ("DialCallDuration", str(round(dialled.seconds))),
        ("DialBridged", str(dialled.bridged).lower()),
    )
    return fields if dialled.recording is None else (*fields, *recording_fields(dialled.recording))
