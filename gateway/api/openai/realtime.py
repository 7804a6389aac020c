"""WebSocket `/v1/realtime?intent=transcription`: sound in as base64, words out as events."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from itertools import count
from typing import Any

import structlog
from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from engines.base import EngineError
from gateway.api.core.listening import Listening
from gateway.api.core.speech_parts import SpeechParts
from gateway.api.dialect import accept, answered, name_request, plain, read_json, refuse, request_id, served
from gateway.api.live_socket import SERVICE_RESTART, close
from gateway.api.metering import metered
from gateway.api.openai.errors import error_body, openai_error
from gateway.api.openai.realtime_items import Items
from gateway.api.openai.realtime_session import Session, merged
from gateway.api.openai.realtime_sound import Sound
from gateway.errors import AbilityMissing, ClientSlow, Draining, GatewayError, RequestUnfit
from gateway.keys.key import Scope
from media.frame import FRAME_MS

log = structlog.get_logger(__name__)

_DEFAULT_MODEL = "gpt-4o-transcribe"
_LARGEST_APPEND = 15 * 1024 * 1024
"""Characters of one `append`, as OpenAI has it."""
_LEAST_COMMIT = 0.1
"""Seconds that must have been sent before a commit."""
_SLICE = 50
"""Frames handed over in one go: a second of sound."""
SLOW, BROKEN = 1008, 1011
"""Close codes (RFC 6455 section 7.4.1): the client does not read; our own fault."""


def add_realtime(router: APIRouter, parts: SpeechParts) -> None:
    """Adds the route."""

    @router.websocket("/v1/realtime")
    async def realtime(socket: WebSocket) -> None:
        name_request(socket, parts)
        async with AsyncExitStack() as stack:
            try:
                _check_intent(socket)
                await stack.enter_async_context(served(socket, parts, Scope.LISTEN))
            except GatewayError as error:
                await refuse(socket, answered(error, request_id(socket), openai_error))
                return
            await accept(socket, {"x-request-id": request_id(socket)})
            await _serve(socket, parts)


async def _serve(socket: WebSocket, parts: SpeechParts) -> None:
    """Until either side closes, or a drain has waited long enough."""
    conversation = _Conversation(socket, parts)
    try:
        async with parts.door.lasting(), metered(parts, "openai", "listen_live", socket):
            await conversation.run()
    except Draining as error:
        await conversation.part(error)


def _check_intent(socket: WebSocket) -> None:
    if socket.query_params.get("intent") != "transcription":
        told = "only transcription is served here: connect with ?intent=transcription"
        raise AbilityMissing(told, field="intent")


class _Conversation:
    """One socket: reads what the client sends, in order; a second task sends what was heard."""

    def __init__(self, socket: WebSocket, parts: SpeechParts) -> None:
        self._socket = socket
        self._parts = parts
        self._id = f"sess_{request_id(socket)}"
        self._numbers = count(1)
        self._session = Session(
            parts.language, socket.query_params.get("model") or _DEFAULT_MODEL, segmenter=parts.segmenter
        )
        self._items = self._new_items()
        self._sending = asyncio.Lock()
        self._listening: Listening | None = None
        self._sound: Sound | None = None
        self._relay: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until either side closes."""
        try:
            await self._send(self._told("session.created"))
            while True:
                await self._receive(await self._text())
        except WebSocketDisconnect:
            pass
        except ClientSlow:
            await self._socket.close(SLOW, "events were not read")
        except Exception:
            log.exception("a realtime session broke")
            await self._socket.close(BROKEN, "internal error")
        finally:
            await self._stop_listening()

    async def part(self, error: GatewayError) -> None:
        """Tell the client why it has to go."""
        with suppress(WebSocketDisconnect, RuntimeError, ClientSlow):
            await self._tell_error(error, None)
        await close(self._socket, SERVICE_RESTART, str(error))

    async def _text(self) -> str:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        text = message.get("text")
        return text if text is not None else ""

    async def _receive(self, text: str) -> None:
        """Every mistake of the client's is answered and changes nothing else."""
        event_id = None
        try:
            event = read_json(text)
            event_id = event.get("event_id")
            await self._act(event)
        except (GatewayError, EngineError) as error:
            await self._tell_error(error, event_id)

    async def _act(self, event: dict[str, Any]) -> None:
        match event.get("type"):
            case "session.update":
                await self._update(event.get("session"))
            case "input_audio_buffer.append":
                await self._append(event.get("audio"))
            case "input_audio_buffer.commit":
                await self._commit()
            case "input_audio_buffer.clear":
                await self._stop_listening()
                await self._send(self._items.clear())
            case str() as kind:
                raise RequestUnfit(
                    f"{kind[:64]!r} is not understood in a transcription session", field="type"
                )
            case _:
                raise RequestUnfit("every event needs a type", field="type")

    async def _update(self, given: Any) -> None:
        parts = self._parts
        session = merged(self._session, given, parts.asr, parts.hears, parts.language)
        if session != self._session:
            await self._stop_listening()
            self._session = session
            self._items = self._new_items()
        await self._send(self._told("session.updated"))

    async def _append(self, audio: Any) -> None:
        if not isinstance(audio, str):
            raise RequestUnfit("must be base64 text", field="audio")
        if len(audio) > _LARGEST_APPEND:
            raise RequestUnfit(f"at most {_LARGEST_APPEND} characters at a time", field="audio")
        try:
            octets = base64.b64decode(audio, validate=True)
        except (binascii.Error, ValueError):
            raise RequestUnfit("not base64", field="audio") from None
        listening, sound = self._listen()
        frames = sound.push(octets)
        try:
            for place in range(0, len(frames), _SLICE):
                await listening.push(frames[place : place + _SLICE])
                self._parts.watch.heard("openai", len(frames[place : place + _SLICE]) * FRAME_MS / 1000)
        except EngineError as error:
            await self._stop_listening()
            await self._send(self._items.failed(error_body(error)["error"]))
            raise

    async def _commit(self) -> None:
        if self._sound is None or self._listening is None or self._sound.uncommitted < _LEAST_COMMIT:
            told = f"the buffer holds less than {_LEAST_COMMIT * 1000:g} ms of audio"
            raise RequestUnfit(told, field="input_audio_buffer")
        seconds = self._sound.uncommitted
        await self._listening.push(self._sound.commit())
        await self._send(self._items.commit(seconds))
        self._listening.finalize()

    def _listen(self) -> tuple[Listening, Sound]:
        """The stream, opened by the first sound. Raises `EngineBusy`, `EngineRefused`."""
        if self._listening is None or self._sound is None:
            parts = self._parts
            ask = self._session.listen_ask()
            self._listening = Listening(parts.asr, parts.bench, ask, parts.limits.listen)
            self._sound = Sound(self._session)
            self._relay = asyncio.get_running_loop().create_task(
                self._pass_on(self._listening), name="realtime-events"
            )
        return self._listening, self._sound

    async def _pass_on(self, listening: Listening) -> None:
        """What is heard goes to the client; a recogniser that breaks is told, and the session goes on."""
        try:
            async for event in listening.events():
                await self._send(self._items.heard(event))
        except EngineError as error:
            told = error_body(error)["error"]
            await self._send(self._items.failed(told))
            await self._tell_error(error, None)
        except (WebSocketDisconnect, RuntimeError):
            log.debug("the client left while it was told something")
        except ClientSlow:
            await self._socket.close(SLOW, "events were not read")

    async def _stop_listening(self) -> None:
        listening, relay = self._listening, self._relay
        self._listening = self._sound = self._relay = None
        if listening is not None:
            await listening.aclose()
        if relay is not None:
            relay.cancel()
            await asyncio.gather(relay, return_exceptions=True)

    def _new_items(self) -> Items:
        return Items(lambda: f"item_{self._parts.new_id()}", by_silence=self._session.silence_ms is not None)

    def _told(self, kind: str) -> list[dict[str, Any]]:
        return [{"type": kind, "session": self._session.told(self._id)}]

    async def _tell_error(self, error: Exception, event_id: Any) -> None:
        told = {
            **error_body(plain(error))["error"],
            "event_id": event_id if isinstance(event_id, str) else None,
        }
        await self._send([{"type": "error", "error": told}])

    async def _send(self, events: Sequence[dict[str, Any]]) -> None:
        """In order, whoever sends. Raises `ClientSlow`."""
        async with self._sending:
            for event in events:
                numbered = {"event_id": f"event_{next(self._numbers)}", **event}
                try:
                    async with asyncio.timeout(self._parts.limits.unread_seconds):
                        await self._socket.send_text(json.dumps(numbered))
                except TimeoutError:
                    raise ClientSlow("events were not read") from None
