"""What apps are told beside the questions: dialled calls, recordings, transcripts, words so far."""

from __future__ import annotations

from dataclasses import replace

import structlog

from engines.base import EngineError
from gateway.errors import GatewayError
from gateway.twiml.asking import Asking, absolute
from gateway.twiml.client import Ask
from gateway.twiml.form import Fields, finished, progress
from gateway.twiml.host import DialProgress, Recording, VerbHost
from gateway.twiml.status import StatusLine
from gateway.twiml.verbs import Dial, Gather, Number, Record, Sip

log = structlog.get_logger(__name__)


class DialTeller:
    """Status callbacks of the calls of one `<Dial>`; each has its own order and count."""

    def __init__(self, asking: Asking, base: str, dial: Dial) -> None:
        self._asking = asking
        self._base = base
        self._caller = dial.caller_id or asking.fields.caller
        self._lines: dict[str, tuple[StatusLine, int]] = {}

    def told(self, moved: DialProgress) -> None:
        """A dialled call moved on."""
        callback = moved.target.callback
        if callback is None or moved.event not in callback.events:
            return
        line, sequence = self._lines.get(moved.call_sid) or (self._asking.line(), 0)
        self._lines[moved.call_sid] = (line, sequence + 1)
        fields = replace(
            self._asking.fields,
            call_sid=moved.call_sid,
            caller=self._caller,
            called=called(moved.target),
            direction="outbound-dial",
            parent=self._asking.fields.call_sid,
            headers=(),
        )
        extra = progress(sequence, self._asking.wall())
        if moved.event == "completed":
            extra += finished(moved.seconds, moved.sip_code)
        url = absolute(self._base, callback.url)
        line.tell(Ask(url, callback.method, fields.form(moved.status, extra)))


def called(target: Number | Sip) -> str:
    """Whom a dialled call reaches, as apps are told."""
    return target.number if isinstance(target, Number) else target.uri


class SpeechTeller:
    """The words of a `<Gather>` while they are spoken."""

    def __init__(self, host: VerbHost, asking: Asking, base: str, gather: Gather) -> None:
        self._host, self._asking, self._base, self._gather = host, asking, base, gather
        self._line = asking.line()
        self._sequence = 0
        self._last = ("", "")

    def told(self, stable: str, unstable: str) -> None:
        """What is heard so far; what was told already is not told again."""
        if not self._gather.partial_callback or (stable, unstable) == self._last:
            return
        self._last = (stable, unstable)
        fields = (
            ("SequenceNumber", str(self._sequence)),
            ("StableSpeechResult", stable),
            ("UnstableSpeechResult", unstable),
            ("Stability", "1.0" if stable and not unstable else "0.5"),
        )
        self._sequence += 1
        url, method = self._gather.partial_callback, self._gather.partial_method
        self._line.tell(self._asking.ask(self._host, self._base, url, method, fields))


def recording_fields(recording: Recording) -> Fields:
    """What every mention of a recording says."""
    return (
        ("RecordingSid", recording.sid),
        ("RecordingUrl", recording.url),
        ("RecordingDuration", str(round(recording.seconds))),
    )


class RecordingTeller:
    """That a recording is there, or is not, and what was said in it."""

    def __init__(self, host: VerbHost, asking: Asking, base: str) -> None:
        self._host, self._asking, self._base = host, asking, base
        self._line = asking.line()

    def told(self, verb: Record | Dial, recording: Recording | None) -> None:
        """The recording of a verb came to its end."""
        status = "completed" if recording is not None else "absent"
        if verb.status_callback and status in verb.status_events:
            fields: Fields = (("RecordingStatus", status),)
            if recording is not None:
                fields = (
                    *recording_fields(recording),
                    *fields,
                    ("RecordingChannels", str(recording.channels)),
                    ("RecordingStartTime", recording.started),
                    ("RecordingSource", "DialVerb" if isinstance(verb, Dial) else "RecordVerb"),
                )
            self._tell(verb.status_callback, verb.status_method, fields)
        if isinstance(verb, Record) and verb.transcribe and recording is not None:
            self._asking.callbacks.later(self._transcribe(verb, recording))

    async def _transcribe(self, verb: Record, recording: Recording) -> None:
        """Beside the call, and after it if need be."""
        try:
            words, status = await self._host.transcribe(recording), "completed"
        except (EngineError, GatewayError, OSError) as error:
            log.warning("a recording was not written down", why=str(error))
            words, status = "", "failed"
        if verb.transcribe_callback:
            fields = (
                ("TranscriptionSid", f"TR{recording.sid[2:]}"),
                ("TranscriptionText", words),
                ("TranscriptionStatus", status),
                *recording_fields(recording),
            )
            self._tell(verb.transcribe_callback, "POST", fields)

    def _tell(self, url: str, method: str, fields: Fields) -> None:
        self._line.tell(self._asking.ask(self._host, self._base, url, method, fields))
