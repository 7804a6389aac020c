"""OpenAI's data channel `oai-events`: what a client that speaks their Realtime API over WebRTC is told.

Our agent answers, with its own prompt and voice, and our turn-taking decides; so a session can be looked at,
not changed, and what would have to change it is answered by an `error` event. Page:
platform.openai.com/docs/api-reference/realtime-server-events.
"""

from __future__ import annotations

import json
import secrets
from collections import deque
from collections.abc import Callable
from typing import Any

from gateway.calls.call_events import CallEvent, KeyPressed
from gateway.calls.orders import ClearNow, Order
from gateway.calls.timings import BargeInTimings, TurnTimings
from gateway.calls.turn_events import Phase
from media.legs.webrtc import WebRtcLeg

LABEL = "oai-events"
_MOST_EARLY = 100
_FORMAT = {"type": "audio/pcm", "rate": 24_000}


class OaiChannel:
    """One call's events in OpenAI's words: a `CallChannel`."""

    def __init__(self, leg: WebRtcLeg, model: str, obey: Callable[[str, Order], None]) -> None:
        """`obey` has the call do something, in its own time."""
        self._leg = leg
        self._model = model
        self._obey = obey
        self._open = False
        self._early: deque[str] = deque(maxlen=_MOST_EARLY)
        self._item = self._said = self._response = self._transcript = ""
        self._sounding = False

    def opened(self, label: str) -> None:
        """See `TextListener.opened`."""
        if label != LABEL or self._open:
            return
        self._open = True
        self._tell("session.created", session=self._session())
        while self._early:
            self._leg.send_text(LABEL, self._early.popleft())

    def text(self, label: str, text: str) -> None:
        """See `TextListener.text`."""
        if label != LABEL:
            return
        try:
            event = json.loads(text)
        except (ValueError, RecursionError):
            return self._error("the event is not JSON", None)
        if not isinstance(event, dict):
            return self._error("the event must be a JSON object", None)
        kind, asked = event.get("type"), event.get("event_id")
        match kind:
            case "session.update":
                self._tell("session.updated", session=self._session())
            case "response.cancel" | "output_audio_buffer.clear":
                self._obey(self._leg.leg_id, ClearNow())
                self._cut("client_cancelled")
            case _:
                self._error(f"{str(kind)[:60]!r} is not served over this call", asked)

    def answered(self, codec: str) -> None:
        """Their API has no word for it."""

    def phase(self, phase: Phase, at_ms: int) -> None:
        """Somebody else has the floor."""
        if phase is Phase.HEARING:
            self._item, self._said = _named("item"), ""
            self._tell("input_audio_buffer.speech_started", item_id=self._item, audio_start_ms=at_ms)
        elif phase is Phase.ENDPOINTING:
            self._tell("input_audio_buffer.speech_stopped", item_id=self._item, audio_end_ms=at_ms)
        elif phase is Phase.SPEAKING and not self._sounding:
            self._sounding = True
            self._tell("output_audio_buffer.started", response_id=self._response)
        elif phase in (Phase.LISTENING, Phase.ENDED) and self._response:
            self._finish("completed", None)

    def words(self, text: str, *, is_final: bool) -> None:
        """The caller's words so far; deltas are what was added to them."""
        item = self._item or _named("item")
        if not is_final:
            if text.startswith(self._said) and (delta := text[len(self._said) :]):
                self._said = text
                self._transcribed("delta", item, delta=delta)
            return
        self._tell("input_audio_buffer.committed", item_id=item, previous_item_id=None)
        self._transcribed("completed", item, transcript=text, usage={"type": "duration", "seconds": 0})

    def saying(self, reply: int, sentence: str) -> None:
        """A sentence of a reply is queued."""
        if not self._response:
            self._response, self._transcript = _named("resp"), ""
            self._tell("response.created", response=self._described("in_progress", None))
        delta = f" {sentence}" if self._transcript else sentence
        self._transcript += delta
        self._tell("response.output_audio_transcript.delta", **self._place(), delta=delta)

    def barged_in(self, timings: BargeInTimings) -> None:
        """The caller silenced the reply."""
        self._cut("turn_detected")

    def happened(self, event: CallEvent) -> None:
        """A key."""
        if isinstance(event, KeyPressed):
            self._tell("input_audio_buffer.dtmf_event_received", event=event.digit)

    def timed(self, timings: TurnTimings) -> None:
        """Their API has no word for it."""

    # ---

    def _cut(self, reason: str) -> None:
        if self._response:
            self._tell("output_audio_buffer.cleared", response_id=self._response)
            self._sounding = False
            self._finish("cancelled", reason)

    def _finish(self, status: str, reason: str | None) -> None:
        if self._sounding:
            self._tell("output_audio_buffer.stopped", response_id=self._response)
        if status == "completed":
            place = self._place()
            self._tell("response.output_audio_transcript.done", **place, transcript=self._transcript)
        self._tell("response.done", response=self._described(status, reason))
        self._response, self._sounding = "", False

    def _transcribed(self, what: str, item: str, **fields: object) -> None:
        kind = f"conversation.item.input_audio_transcription.{what}"
        self._tell(kind, item_id=item, content_index=0, **fields)

    def _place(self) -> dict[str, object]:
        return {
            "response_id": self._response,
            "item_id": self._response.replace("resp", "item", 1),
            "output_index": 0,
            "content_index": 0,
        }

    def _described(self, status: str, reason: str | None) -> dict[str, Any]:
        part = {"type": "output_audio", "transcript": self._transcript}
        item = {
            "id": self._place()["item_id"],
            "object": "realtime.item",
            "type": "message",
            "role": "assistant",
            "status": "completed" if status == "completed" else "incomplete",
            "content": [part],
        }
        return {
            "object": "realtime.response",
            "id": self._response,
            "status": status,
            "status_details": {"type": status, "reason": reason} if reason else None,
            "output": [] if status == "in_progress" else [item],
            "output_modalities": ["audio"],
            "usage": None,
        }

    def _session(self) -> dict[str, Any]:
        return {
            "type": "realtime",
            "object": "realtime.session",
            "id": self._leg.leg_id,
            "model": self._model,
            "output_modalities": ["audio"],
            "audio": {
                "input": {"format": _FORMAT, "turn_detection": {"type": "server_vad"}},
                "output": {"format": _FORMAT},
            },
        }

    def _error(self, message: str, event_id: object) -> None:
        told = {
            "type": "invalid_request_error",
            "code": "unsupported_event",
            "message": message,
            "param": None,
            "event_id": event_id if isinstance(event_id, str) else None,
        }
        self._tell("error", error=told)

    def _tell(self, type_: str, **fields: object) -> None:
        text = json.dumps({"type": type_, "event_id": _named("event"), **fields}, separators=(",", ":"))
        if self._open:
            self._leg.send_text(LABEL, text)
        else:
            self._early.append(text)


def _named(what: str) -> str:
    return f"{what}_{secrets.token_hex(10)}"
