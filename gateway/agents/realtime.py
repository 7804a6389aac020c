"""The agent behind an OpenAI Realtime WebSocket: a model that hears and speaks by itself.

    leg ─frames→ hear ─ G.711 or PCM 24 kHz ─→ Outbox ─→ socket    append, response.create, cancel, truncate
    leg ←playout← SoundCall.play ←─ read_event ←─ socket           output_audio.delta, speech_started, ...

The caller who speaks over the model silences it in the same step of the loop; the model is told where, from
the samples that were really sent. A session that is lost is begun again, with the conversation so far.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from dataclasses import replace

import structlog

from gateway.agents.base import AgentError, CallInfo
from gateway.agents.handoff import instructed
from gateway.agents.realtime_dialling import LARGEST_MESSAGE, dialled
from gateway.agents.realtime_events import (
    CallerBegan,
    CallerCommitted,
    CallerWords,
    Event,
    Other,
    ResponseBegan,
    ResponseOver,
    ServerEvent,
    SessionTold,
    SoundPiece,
    SoundWords,
    ToolAsked,
    Trouble,
    commit,
    message,
    respond,
    session_update,
)
from gateway.agents.realtime_floor import RealtimeFloor
from gateway.agents.realtime_history import RealtimeHistory
from gateway.agents.realtime_keys import KeyedNumber
from gateway.agents.realtime_reading import EventReader
from gateway.agents.realtime_responses import FILLER, RealtimeResponses
from gateway.agents.realtime_settings import RealtimeSettings
from gateway.agents.realtime_sound import RealtimeSound, wanted_format
from gateway.agents.realtime_tools import HEARD_OUT, RealtimeTools
from gateway.agents.sound import SoundCall, SoundLimits
from gateway.agents.sound_wire import WireFormat
from gateway.agents.text_socket import Dial, Outbox, SocketLost, TextSocket, WebSocketDial
from gateway.agents.tools.box import ToolBox
from gateway.agents.tools.http_tools import HttpTools
from media.frame import AudioFrame
from media.segmenter import SegmentEvent, SpeechEnded, SpeechStarted

log = structlog.get_logger(__name__)

_WAITING = 250
"""Frames that may wait for an endpoint that does not read, or is being dialled again: five seconds."""
_BACK_WITHIN = 3.5
"""Seconds in which a session that was lost in mid call must be there again: the caller waits."""
_GOODBYE = 0.5
_UPDATE = "offhook-session"
"""`event_id` of our `session.update`, by which its error is known."""
_HARMLESS = frozenset(
    {
        "response_cancel_not_active",
        "conversation_already_has_active_response",
        "input_audio_buffer_commit_empty",
        "invalid_value",
        "item_truncate_invalid_item_id",
    }
)
"""Errors that come of two sides speaking at once; nothing follows from them."""


class RealtimeBackend:
    """One configured endpoint: what its calls share."""

    def __init__(
        self, settings: RealtimeSettings, dial: Dial | None = None, services: HttpTools | None = None
    ) -> None:
        """`dial`, `services`: in place of the network."""
        self.settings = settings
        self.dial = dial or WebSocketDial(LARGEST_MESSAGE)
        self.box = ToolBox(settings.tools)
        self.services = services or HttpTools()

    async def aclose(self) -> None:
        """Close what the tools use."""
        await self.services.aclose()


class RealtimeAgent:
    """One call's conversation with a realtime endpoint. Implements `SoundAgent`."""

    def __init__(self, name: str, backend: RealtimeBackend) -> None:
        self._name = name
        self._settings = backend.settings
        opening = backend.settings.opening
        self._opening: Event | None = respond(opening) if opening else None
        self._dial = backend.dial
        self._box = backend.box
        self._services = backend.services
        self._socket: TextSocket | None = None
        self._outbox = Outbox(_WAITING)
        self._sound = RealtimeSound(self._outbox, _WAITING)
        self._first: list[Event] = []
        self._floor = RealtimeFloor()
        self._responses = RealtimeResponses(self._send)
        self._history = RealtimeHistory()
        self._call: SoundCall | None = None
        self._tools: RealtimeTools | None = None
        self._call_id = ""
        self._commit_at: float | None = None
        self._keys = KeyedNumber()
        self._unanswered = False
        self._retried = False
        self._reader = EventReader(name)

    @property
    def name(self) -> str:
        return self._name

    @property
    def limits(self) -> SoundLimits:
        chosen = self._settings
        return SoundLimits(chosen.dead_air_seconds, chosen.silence_seconds, chosen.queue_seconds)

    def brief(self, handoff: str) -> None:
        """See `handoff.Briefed`: the model knows it, and speaks first without its usual opening."""
        told = instructed(self._settings.instructions, handoff)
        self._settings = replace(self._settings, instructions=told)
        self._opening = respond()

    # ----------------------------------------------------------------------------------------- the socket

    async def open(self, info: CallInfo) -> None:
        """See `SoundAgent.open`."""
        self._call_id = info.call_id
        self._tools = RealtimeTools(self._box, self._services, info.call_id, self._send, self._responses)
        self._socket = await dialled(self._dial, self._settings, self._name)

    async def converse(self, call: SoundCall) -> None:
        """See `SoundAgent.converse`."""
        assert self._tools is not None
        self._call = call
        self._sound.take(wanted_format(self._settings, call))
        self._begin_session([self._opening] if self._opening is not None else [])
        lost = 0
        try:
            while True:
                try:
                    await self._serve(call)
                except SocketLost as error:
                    lost += 1
                    log.warning("session lost", agent=self._name, why=str(error), times=lost)
                    if lost > self._settings.reconnects:
                        raise AgentError(f"the endpoint's session was lost: {error}") from None
                    await self._begin_again(call)
        finally:
            await self._tools.aclose()
            call.count("realtime_frames_dropped", self._outbox.dropped)

    async def _serve(self, call: SoundCall) -> None:
        """One socket, until it is lost. Raises `SocketLost`, `AgentError`."""
        assert self._socket is not None
        sending = asyncio.create_task(
            self._outbox.run(self._socket, self._settings.unread_seconds), name="realtime out"
        )
        reading = asyncio.create_task(self._read(self._socket, call), name="realtime in")
        try:
            await asyncio.wait({sending, reading}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done() and not isinstance(sending.exception(), SocketLost):
                sending.result()
            await reading
        finally:
            sending.cancel()
            reading.cancel()
            await asyncio.gather(sending, reading, return_exceptions=True)

    async def _begin_again(self, call: SoundCall) -> None:
        """Another session, told what was said; the caller goes on speaking meanwhile."""
        call.fault("cut", "reconnected")
        self._sound.ready = False
        self._history.spoken(self._floor.spoken(call.heard))
        if self._socket is not None:
            await self._socket.close()
        self._outbox.drop_all()
        try:
            async with asyncio.timeout(_BACK_WITHIN):
                self._socket = await dialled(self._dial, self._settings, self._name)
        except TimeoutError:
            raise AgentError(f"the endpoint was not back within {_BACK_WITHIN:g} s") from None
        self._floor = RealtimeFloor()
        self._responses.forget()
        told = [message(role, text) for role, text in self._history.told()]
        self._begin_session([*told, respond()] if self._unanswered else told)

    def _begin_session(self, first: list[Event]) -> None:
        """`first`: what is sent as soon as the endpoint says how it will be held."""
        self._first = first
        self._send(session_update(self._settings, self._sound.wire, self._box.definitions(), _UPDATE))

    async def aclose(self) -> None:
        """See `SoundAgent.aclose`."""
        self._responses.forget()
        socket, self._socket = self._socket, None
        if socket is not None:
            await self._outbox.flush(socket, _GOODBYE)
            await socket.close()

    def _send(self, event: Event) -> None:
        self._outbox.put(json.dumps(event, separators=(",", ":"), ensure_ascii=False))

    # -------------------------------------------------------------------------------- what the caller does

    def hear(self, frame: AudioFrame) -> None:
        """See `SoundAgent.hear`."""
        self._sound.hear(frame)
        if self._commit_at is not None and frame.arrived >= self._commit_at:
            self._commit_at = None
            self._send(commit())
            self._send(respond())
        if (keys := self._keys.overdue(frame.arrived)) is not None:
            self._give_keys(keys)

    def voice(self, event: SegmentEvent) -> None:
        """See `SoundAgent.voice`. Ours decides only where the settings say so."""
        if self._tools is not None:
            self._tools.caller_speaks = isinstance(event, SpeechStarted)
        if self._settings.turn_detection != "ours":
            return
        match event:
            case SpeechStarted():
                self._commit_at = None
                self._interrupt()
            case SpeechEnded(speech_end_at=at):
                self._commit_at = at + self._settings.silence_ms / 1000

    def key(self, digit: str) -> None:
        """See `SoundAgent.key`. A number is told when it is whole: after `#`, or after a pause."""
        self._interrupt()
        keys = self._keys.press(digit, asyncio.get_running_loop().time())
        if keys is not None:
            self._give_keys(keys)

    def _give_keys(self, keys: str) -> None:
        text = f"(pressed {' '.join(keys)})"
        self._history.said(text)
        self._send(message("user", text))
        self._send(respond())
        self._unanswered = True

    def played(self, name: str) -> None:
        """See `SoundAgent.played`."""
        if self._tools is not None and name.startswith(HEARD_OUT):
            self._tools.played(name)

    def _interrupt(self) -> None:
        """The caller takes the floor."""
        if self._call is None or self._tools is None or not self._settings.interruptible:
            return
        self._tools.interrupted()
        self._sound.cut()
        for event in self._floor.interrupt(self._call.clear, self._call.heard, self._call.sample_rate):
            self._send(event)

    # ------------------------------------------------------------------------------ what the endpoint says

    async def _read(self, socket: TextSocket, call: SoundCall) -> None:
        """Act on each event until the socket is lost. Raises `SocketLost`, `AgentError`."""
        async with aclosing(self._reader.events(socket, call)) as events:
            async for event in events:
                self._act(event, call)

    def _act(self, event: ServerEvent, call: SoundCall) -> None:
        assert self._tools is not None
        match event:
            case SoundPiece():
                if self._floor.wants(event):
                    self._unanswered = self._unanswered and self._responses.fills(event.response_id)
                    call.play(self._sound.model(event.octets, call.sample_rate), event.item_id)
            case SoundWords():
                if self._floor.words(event):
                    call.spoke(event.item_id, event.text)
            case CallerBegan():
                self._interrupt()
            case CallerCommitted(item_id):
                self._unanswered = True
                self._retried = False
                self._tools.new_turn()
                self._history.committed(item_id, call.turn)
            case CallerWords(item_id, text):
                call.said(self._history.said(text, item_id) or call.turn, text)
            case ResponseBegan(response_id):
                self._floor.began(response_id)
                self._responses.began(response_id)
            case ResponseOver():
                self._response_over(event, call)
            case ToolAsked():
                self._tools.ask(event, call)
            case SessionTold():
                self._session(event)
            case Trouble():
                self._trouble(event, call)
            case Other():
                pass

    def _response_over(self, event: ResponseOver, call: SoundCall) -> None:
        assert self._tools is not None
        self._floor.over(event.response_id)
        self._responses.over(event.response_id)
        if event.status != "cancelled":
            call.play(self._sound.rest(), self._floor.last_item)
        self._history.spoken(self._floor.spoken(call.heard))
        if self._tools.response_over(event.response_id) or self._responses.fills(event.response_id):
            return
        if event.status in ("failed", "incomplete"):
            call.count("realtime_responses_failed")
            log.warning("a response failed", agent=self._name, status=event.status, code=event.code)
        if event.status == "failed" and self._unanswered and not self._retried:
            self._retried = True
            call.fault("garbage", "retried")
            self._send(respond())

    def _session(self, event: SessionTold) -> None:
        """The session holds as we wanted it, or as the endpoint would have it: we take what it says."""
        if not event.updated or self._sound.ready:
            return
        if event.output in list(WireFormat) and event.output != self._sound.wire:
            self._sound.take(WireFormat(event.output))
        for first in self._first:
            self._send(first)
        self._sound.begin()

    def _trouble(self, event: Trouble, call: SoundCall) -> None:
        call.count("realtime_errors")
        if event.event_id == _UPDATE:
            if self._sound.wire is not WireFormat.PCM:
                log.info("the endpoint does not take G.711", agent=self._name, code=event.code)
                self._sound.take(WireFormat.PCM)
                self._begin_session(self._first)
                return
            told = f"the endpoint refuses the session: {event.code} {event.param}".rstrip()
            raise AgentError(told, retryable=False)
        if event.event_id == FILLER:
            self._responses.refused()
        if event.code not in _HARMLESS:
            self._reader.warn("the endpoint reports an error", code=event.code, param=event.param)
