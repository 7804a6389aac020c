"""A realtime endpoint at the far end of a socket in memory, held to the `openai` client's own types.

Every event that it is sent must be one of `openai.types.realtime`, without a field that these do not know;
every event that it sends is held to the same types.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, get_args

import numpy as np
from openai.types.realtime.realtime_client_event import RealtimeClientEvent
from openai.types.realtime.realtime_server_event import RealtimeServerEvent
from pydantic import BaseModel

from gateway.agents.sound_wire import WireDecoder, WireFormat, encoded
from media.frame import Pcm
from tests.fakes.app_socket import AppSocket


def _by_type(union: Any) -> dict[str, type[BaseModel]]:
    """The models of an annotated union by the value of their `type`."""
    found = {}
    for model in get_args(get_args(union)[0]):
        (name,) = get_args(model.model_fields["type"].annotation)
        found[name] = model
    return found


CLIENT, SERVER = _by_type(RealtimeClientEvent), _by_type(RealtimeServerEvent)


def checked(models: dict[str, type[BaseModel]], event: dict[str, Any]) -> BaseModel:
    """The event as the client's own model; nothing may be missing, unknown or of another type."""
    model = models[event["type"]].model_validate(event, strict=True)
    _no_extras(model)
    return model


def _no_extras(value: object) -> None:
    if isinstance(value, BaseModel):
        assert not value.model_extra, f"{type(value).__name__} does not know {set(value.model_extra)}"
        for name in value.model_fields_set:
            _no_extras(getattr(value, name))
    elif isinstance(value, list):
        for one in value:
            _no_extras(one)


@dataclass(frozen=True)
class Reply:
    """What the model does when it is its turn: words and sound, or a tool."""

    text: str = "Of course."
    sound: Pcm = field(default_factory=lambda: np.full(8000, 3000, np.int16))
    """At 8 kHz."""
    delay: float = 0.2
    burst: float = 0.05
    """Seconds from one second of sound to the next: faster than it is spoken."""
    tools: Sequence[tuple[str, str]] = ()
    """Names and arguments."""
    status: str = "completed"


@dataclass
class RealtimeEndpoint:
    """Plays its replies in order, the last again and again. Hears the caller by loudness."""

    replies: Sequence[Reply] = (Reply(),)
    refuses: Sequence[str] = ()
    """Formats that it does not take."""
    transcripts: Sequence[str] = ("hello there",)
    on_event: Callable[[AppSocket, dict[str, Any]], None] = lambda socket, event: None
    got: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    """Every event but the caller's sound, of all sessions."""
    heard: list[bytes] = field(default_factory=list)
    sockets: list[AppSocket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._numbers = count(1)
        self._replies, self._words = list(self.replies), list(self.transcripts)
        self._wire = WireFormat.PCM
        self._detection: dict[str, Any] | None = None
        self._loud_at: float | None = None
        self._speaking: asyncio.Task[None] | None = None
        self._response = ""

    async def __call__(self, socket: AppSocket) -> None:
        """One connection."""
        self.sockets.append(socket)
        self._say(socket, "session.created", session={"type": "realtime"})
        try:
            while True:
                event = await socket.receive()
                checked(CLIENT, event)
                if event["type"] == "input_audio_buffer.append":
                    self._hear(socket, base64.b64decode(event["audio"], validate=True))
                    continue
                self.got.append((asyncio.get_running_loop().time(), event))
                self._obey(socket, event)
                self.on_event(socket, event)
        finally:
            if self._speaking is not None:
                self._speaking.cancel()

    def kinds(self) -> list[str]:
        return [event["type"] for _, event in self.got]

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event for _, event in self.got if event["type"] == kind]

    def _obey(self, socket: AppSocket, event: dict[str, Any]) -> None:
        match event["type"]:
            case "session.update":
                self._update(socket, event)
            case "input_audio_buffer.commit":
                self._commit(socket)
            case "response.create":
                self._respond(socket)
            case "response.cancel":
                self._cancel(socket)

    def _update(self, socket: AppSocket, event: dict[str, Any]) -> None:
        session = event["session"]
        wanted = session["audio"]["input"]["format"]["type"]
        if wanted in self.refuses:
            told = {
                "type": "invalid_request_error",
                "code": "invalid_value",
                "message": f"no {wanted} here",
                "param": "session.audio.input.format",
                "event_id": event["event_id"],
            }
            self._say(socket, "error", error=told)
            return
        self._wire = WireFormat(wanted)
        self._decoder = WireDecoder(self._wire)
        self._detection = session["audio"]["input"]["turn_detection"]
        self._say(socket, "session.updated", session=session)

    def _hear(self, socket: AppSocket, octets: bytes) -> None:
        self.heard.append(octets)
        now = asyncio.get_running_loop().time()
        pcm = self._decoder.push(octets, 8000)
        if self._detection is None:
            return
        if len(pcm) and np.abs(pcm.astype(int)).max() > 1000:
            if self._loud_at is None:
                self._say(socket, "input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_user")
                if self._detection["interrupt_response"]:
                    self._cancel(socket)
            self._loud_at = now
        elif (
            self._loud_at is not None and now - self._loud_at >= self._detection["silence_duration_ms"] / 1000
        ):
            self._loud_at = None
            self._say(socket, "input_audio_buffer.speech_stopped", audio_end_ms=0, item_id="item_user")
            self._commit(socket)
            self._respond(socket)

    def _commit(self, socket: AppSocket) -> None:
        item = f"item_user_{next(self._numbers)}"
        self._say(socket, "input_audio_buffer.committed", item_id=item, previous_item_id=None)
        words = self._words.pop(0) if len(self._words) > 1 else self._words[0]
        kind = "conversation.item.input_audio_transcription.completed"
        usage = {"type": "duration", "seconds": 1.0}
        self._say(socket, kind, item_id=item, content_index=0, transcript=words, usage=usage)

    def _respond(self, socket: AppSocket) -> None:
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        self._response = f"resp_{next(self._numbers)}"
        self._say(socket, "response.created", response={"id": self._response, "status": "in_progress"})
        self._speaking = asyncio.create_task(self._speak(socket, reply, self._response), name="model")

    async def _speak(self, socket: AppSocket, reply: Reply, response: str) -> None:
        item = f"item_{next(self._numbers)}"
        place: dict[str, Any] = {"response_id": response, "item_id": item, "output_index": 0}
        await asyncio.sleep(reply.delay)
        if reply.status == "completed":
            words = reply.text.split()
            seconds = -(-len(reply.sound) // 8000)
            for number in range(seconds):
                said = words[len(words) * number // seconds : len(words) * (number + 1) // seconds]
                delta = "".join(word + " " for word in said)
                self._say(
                    socket, "response.output_audio_transcript.delta", **place, content_index=0, delta=delta
                )
                octets = self._encoded(reply.sound[number * 8000 : (number + 1) * 8000])
                delta = base64.b64encode(octets).decode()
                self._say(socket, "response.output_audio.delta", **place, content_index=0, delta=delta)
                await asyncio.sleep(reply.burst)
            for name, arguments in reply.tools:
                call = f"call_{next(self._numbers)}"
                done = {**place, "call_id": call, "name": name, "arguments": arguments}
                self._say(socket, "response.function_call_arguments.done", **done)
                asked = {"type": "function_call", "call_id": call, "name": name, "arguments": arguments}
                told = {"response_id": response, "output_index": 0, "item": asked}
                self._say(socket, "response.output_item.done", **told)
        self._done(socket, response, reply.status)

    def _encoded(self, pcm: Pcm) -> bytes:
        wide = np.repeat(pcm, self._wire.rate // 8000)
        return encoded(np.asarray(wide, np.int16), self._wire)

    def _cancel(self, socket: AppSocket) -> None:
        if self._speaking is not None and not self._speaking.done():
            self._speaking.cancel()
            late = {
                "response_id": self._response,
                "item_id": "item_late",
                "output_index": 0,
                "content_index": 0,
            }
            octets = base64.b64encode(self._encoded(np.full(8000, 9000, np.int16))).decode()
            self._say(socket, "response.output_audio.delta", **late, delta=octets)  # it was on its way
            self._done(socket, self._response, "cancelled")

    def _done(self, socket: AppSocket, response: str, status: str) -> None:
        self._say(socket, "response.done", response={"id": response, "status": status, "output": []})

    def _say(self, socket: AppSocket, kind: str, **fields: Any) -> None:
        event = {"type": kind, "event_id": f"event_{next(self._numbers)}", **fields}
        checked(SERVER, event)
        socket.send(event)
