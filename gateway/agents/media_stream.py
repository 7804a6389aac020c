"""The agent behind a bot that speaks Twilio's bidirectional Media Streams; we take Twilio's part and dial it.

    leg ─frames→ hear ─ mu-law, 20 ms ─→ Outbox ─→ socket        connected, start, media, dtmf, mark, stop
    leg ←playout← SoundCall.play ←─ read_message ←─ socket       media, mark, clear

The bot closes the socket when it is done with the call: the route goes on, or hangs up. A socket that breaks,
a bot that does not read or sends nonsense without end is a fault, and the route's fallback follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from gateway.agents.base import AgentError, CallInfo, FaultKind
from gateway.agents.handoff import HANDOFF
from gateway.agents.media_stream_messages import (
    Clear,
    Malformed,
    Mark,
    Play,
    Stream,
    StreamWriter,
    read_message,
)
from gateway.agents.media_stream_settings import MOST_PARAMETERS, MediaStreamSettings
from gateway.agents.sound import SoundCall, SoundLimits
from gateway.agents.sound_wire import WireDecoder, WireEncoder, WireFormat
from gateway.agents.text_socket import Dial, DialFailed, Outbox, SocketLost, TextSocket
from gateway.twilio_ids import call_sid, stream_sid
from gateway.twilio_signature import headers
from media.frame import FRAME_MS, AudioFrame
from media.segmenter import SegmentEvent

log = structlog.get_logger(__name__)

LARGEST_MESSAGE = 2 * 1024 * 1024
"""Octets of one message: base64 of a good three minutes of sound."""
_WAITING = 100
"""Frames that may wait for a bot that does not read: two seconds; older ones are lost and counted."""
_RETRY_PAUSE = 0.3
"""Seconds before the bot is dialled again."""
_GOODBYE = 1.0
"""Seconds for the last messages."""
_MOST_WARNINGS = 3
"""Lines about malformed messages in the log of one call; all are counted."""
_TAIL = 3
"""Frames without sound from the bot after which the resampler's last milliseconds are played."""


@dataclass(frozen=True, slots=True)
class StreamChange:
    """What TwiML's `statusCallback` tells: `event` is stream-started, stream-stopped or stream-error."""

    event: str
    error: str = ""


class MediaStreamAgent:
    """One call's stream to a bot. Implements `SoundAgent`."""

    def __init__(
        self,
        name: str,
        settings: MediaStreamSettings,
        dial: Dial,
        account: str,
        *,
        number: int = 0,
        told: Callable[[StreamChange], None] = lambda change: None,
    ) -> None:
        """`account`: AccountSid; `number`: tells streams of one call apart; `told`: hears how it goes."""
        self._name = name
        self._settings = settings
        self._dial = dial
        self._account = settings.account_sid or account
        self._number = number
        self._told = told
        self._socket: TextSocket | None = None
        self._stream = Stream("", "", "")
        self._writer: StreamWriter | None = None
        self._outbox = Outbox(_WAITING)
        self._encoder = WireEncoder(WireFormat.PCMU)
        self._decoder = WireDecoder(WireFormat.PCMU)
        self._call: SoundCall | None = None
        self._handoff = ""
        self._pieces = 0
        self._warned = 0
        self._since_sound = 0

    @property
    def name(self) -> str:
        return self._name

    @property
    def limits(self) -> SoundLimits:
        chosen = self._settings
        return SoundLimits(chosen.dead_air_seconds, chosen.silence_seconds, chosen.queue_seconds)

    @property
    def stream_sid(self) -> str:
        """StreamSid (MZ...); "" before `open`."""
        return self._stream.stream_sid

    def brief(self, handoff: str) -> None:
        """See `handoff.Briefed`: the bot is told in the custom parameter of that name, as far as it fits."""
        self._handoff = handoff

    async def open(self, info: CallInfo) -> None:
        """See `SoundAgent.open`."""
        chosen = self._settings
        numbers = {"from_number": info.caller, "to_number": info.called} if chosen.numbers else {}
        self._stream = Stream(
            stream_sid(info.call_id, self._number),
            self._account,
            call_sid(info.call_id),
            parameters={**numbers, **self._noted(chosen.parameters)},
        )
        for attempt in range(1, chosen.attempts + 1):
            try:
                proof = headers(chosen.auth_token, chosen.url)
                self._socket = await self._dial(chosen.url, proof, chosen.connect_seconds)
                return
            except DialFailed as failed:
                log.warning("bot not reached", agent=self._name, why=failed.detail, attempt=attempt)
                if attempt == chosen.attempts or not failed.retryable:
                    self._told(StreamChange("stream-error", _code(failed)))
                    raise
            except asyncio.CancelledError:
                self._told(StreamChange("stream-error", "31901 it was not reached in time"))
                raise
            await asyncio.sleep(_RETRY_PAUSE)

    def _noted(self, parameters: Mapping[str, str]) -> Mapping[str, str]:
        room = MOST_PARAMETERS - sum(len(name) + len(value) for name, value in parameters.items())
        note = self._handoff[: max(0, room - len(HANDOFF))]
        return {HANDOFF: note, **parameters} if note else parameters

    async def converse(self, call: SoundCall) -> None:
        """See `SoundAgent.converse`."""
        assert self._socket is not None
        self._call = call
        self._writer = StreamWriter(self._stream)
        self._outbox.put(self._writer.connected())
        self._outbox.put(self._writer.start())
        self._told(StreamChange("stream-started"))
        sending = asyncio.create_task(
            self._outbox.run(self._socket, self._settings.unread_seconds), name="stream out"
        )
        reading = asyncio.create_task(self._read(self._socket, call), name="stream in")
        try:
            await asyncio.wait({sending, reading}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done() and not isinstance(sending.exception(), SocketLost):
                sending.result()
            await reading  # it sees a lost socket as well, and why
        except AgentError as error:
            self._told(StreamChange("stream-error", error.detail))
            raise
        finally:
            sending.cancel()
            reading.cancel()
            await asyncio.gather(sending, reading, return_exceptions=True)
            call.count("stream_frames_dropped", self._outbox.dropped)

    def hear(self, frame: AudioFrame) -> None:
        """See `SoundAgent.hear`."""
        if self._writer is None or self._call is None:
            return
        for piece in self._encoder.push(frame):
            self._outbox.sound(self._writer.media("inbound", piece, self._pieces * FRAME_MS))
            self._pieces += 1
        self._since_sound += 1
        if self._since_sound == _TAIL:
            self._call.play(self._decoder.flush())

    def voice(self, event: SegmentEvent) -> None:
        """The bot listens for itself."""

    def key(self, digit: str) -> None:
        """See `SoundAgent.key`."""
        if self._writer is not None:
            self._outbox.put(self._writer.dtmf(digit))

    def played(self, name: str) -> None:
        """See `SoundAgent.played`."""
        if self._writer is not None:
            self._outbox.put(self._writer.mark(name))

    async def aclose(self) -> None:
        """See `SoundAgent.aclose`."""
        socket, writer, self._socket, self._writer = self._socket, self._writer, None, None
        if socket is None:
            return
        if writer is not None:
            self._outbox.put(writer.stop())
            await self._outbox.flush(socket, _GOODBYE)
            self._told(StreamChange("stream-stopped"))
        await socket.close()

    async def _read(self, socket: TextSocket, call: SoundCall) -> None:
        """What the bot sends, until it closes. Raises `AgentError`."""
        in_a_row = 0
        while True:
            try:
                text = await socket.receive()
            except SocketLost as lost:
                if lost.orderly:
                    return
                raise AgentError(f"the bot's stream ended: {lost} (31921)", retryable=False) from None
            try:
                self._act(read_message(text, self._stream.stream_sid), call)
                in_a_row = 0
            except Malformed as malformed:
                in_a_row += 1
                call.count("stream_malformed")
                self._warned += 1
                if self._warned <= _MOST_WARNINGS:
                    log.warning("the bot sent something malformed", agent=self._name, why=str(malformed))
                if in_a_row >= self._settings.most_malformed:
                    raise AgentError(
                        f"the bot sends nothing but {malformed} (31924)",
                        retryable=False,
                        kind=FaultKind.GARBAGE,
                    ) from None

    def _act(self, message: Play | Mark | Clear, call: SoundCall) -> None:
        match message:
            case Play(octets):
                self._since_sound = 0
                call.play(self._decoder.push(octets, call.sample_rate))
            case Mark(name):
                call.play(self._decoder.flush())
                call.mark(name)
            case Clear():
                self._decoder.reset()
                call.clear()


def _code(failed: DialFailed) -> str:
    """Twilio's number for it (twilio.com/docs/api/errors), and our words."""
    return f"{31901 if failed.timed_out or not failed.status else 31920} {failed.detail}"
