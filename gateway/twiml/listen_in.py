"""`<Start><Stream>`: an app hears the caller, what he hears, or both, while the document goes on. One way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from gateway.agents.base import AgentError
from gateway.agents.media_stream import StreamChange
from gateway.agents.media_stream_messages import Stream, StreamWriter
from gateway.agents.sound_wire import WireEncoder, WireFormat
from gateway.agents.text_socket import Dial, DialFailed, Outbox, SocketLost, TextSocket
from gateway.secret import Secret
from gateway.twilio_signature import headers
from media.frame import FRAME_MS, AudioFrame, Voice
from media.legs.base import DtmfReceived, LegClosed, LegEvent

log = structlog.get_logger(__name__)

_CONNECT_SECONDS = 5.0
_WAITING = 200
"""Frames of both sides that may wait for an app that does not read: two seconds; older ones are lost."""
_UNREAD_SECONDS = 5.0
_GOODBYE = 1.0


class ListeningIn:
    """One stream to an app. Serves `LegListener`, beside the stage that has the leg."""

    def __init__(
        self, url: str, stream: Stream, dial: Dial, token: Secret, told: Callable[[StreamChange], None]
    ) -> None:
        self._url = url
        self._dial = dial
        self._token = token
        self._told = told
        self._writer = StreamWriter(stream)
        self._outbox = Outbox(_WAITING)
        self._encoders = {track: WireEncoder(WireFormat.PCMU) for track in stream.tracks}
        self._pieces = dict.fromkeys(stream.tracks, 0)
        self._task: asyncio.Task[None] | None = None
        self._over = False

    def start(self) -> None:
        """Begin; returns at once."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="listen-in")

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        self._send("inbound", frame)

    def overhear(self, frame: AudioFrame) -> None:
        """20 ms of what the caller hears."""
        self._send("outbound", frame)

    def _send(self, track: str, frame: AudioFrame) -> None:
        if self._over or track not in self._encoders:
            return
        for piece in self._encoders[track].push(frame):
            self._outbox.sound(self._writer.media(track, piece, self._pieces[track] * FRAME_MS))
            self._pieces[track] += 1

    def notice(self, event: LegEvent) -> None:
        match event:
            case DtmfReceived(digit=digit) if not self._over:
                self._outbox.put(self._writer.dtmf(digit))
            case LegClosed():
                self.stop()

    def stop(self) -> None:
        """End it, with a goodbye to the app. Returns at once. Idempotent."""
        if not self._over:
            self._over = True
            self._outbox.put(self._writer.stop())
            if self._task is not None:
                self._task.cancel()

    async def aclose(self) -> None:
        """Wait for the goodbye. Idempotent."""
        self.stop()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        self._outbox.put(self._writer.connected())
        self._outbox.put(self._writer.start())
        try:
            socket = await self._dial(self._url, headers(self._token, self._url), _CONNECT_SECONDS)
        except DialFailed as failed:
            log.warning("an app that wants to listen was not reached", why=failed.detail)
            self._told(StreamChange("stream-error", f"31920 {failed.detail}"))
            self._over = True
            return
        self._told(StreamChange("stream-started"))
        await self._serve(socket)

    async def _serve(self, socket: TextSocket) -> None:
        change = StreamChange("stream-stopped")
        reading = asyncio.get_running_loop().create_task(_read(socket), name="listen-in-read")
        sending = asyncio.get_running_loop().create_task(
            self._outbox.run(socket, _UNREAD_SECONDS), name="listen-in-send"
        )
        try:
            await asyncio.wait({reading, sending}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done() and isinstance(error := sending.exception(), AgentError):
                change = StreamChange("stream-error", error.detail)
        finally:
            self._over = True
            for task in (reading, sending):
                task.cancel()
            await asyncio.gather(reading, sending, return_exceptions=True)
            await self._outbox.flush(socket, _GOODBYE)
            await socket.close()
            self._told(change)


async def _read(socket: TextSocket) -> None:
    """What an app says on a stream of one way is not listened to; that it closes it, is."""
    try:
        while True:
            await socket.receive()
    except SocketLost:
        pass
