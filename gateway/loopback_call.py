"""A call from this process to itself over real sockets: one end speaks, the other understands."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from engines.base import AsrOptions, AsrStream, TtsOptions
from gateway.calls.settings import Engines, SessionSettings
from gateway.known_sentence import SPOKEN, understood
from media.frame import AudioFrame, Voice
from media.legs.base import EndReason, Leg, LegAnswered, LegClosed, LegError, LegEvent, PlayoutStarted
from media.legs.sip_endpoint import SipEndpoint
from media.legs.sip_settings import OFF, SipSettings, SipTransport, TrunkSettings
from media.vad import VoiceDetector

_SECONDS = 15.0
_TAIL = 0.6


class CallFailed(Exception):
    """What did not work."""


@dataclass(frozen=True, slots=True)
class Loopback:
    """What the call showed."""

    codec: str
    text: str
    lost: int
    delay: float
    """Seconds from the first packet sent to the first audible frame in Python at the other end."""


_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""An address that means all of this machine's, and the one of them to dial."""


def private(sip: SipSettings, codec: str) -> SipSettings:
    """Settings of a call to oneself: the same host and RTP ports, but free SIP ports.

    A running node is left alone, and no trunk registers, encrypts or forbids the call.
    """
    host = _EVERYWHERE.get(sip.host, sip.host)
    trunk = TrunkSettings(name="doctor", sources=(host,), outbound=True)
    return replace(
        sip, udp_port=0, tcp_port=OFF, tls_port=OFF, advertised="", codecs=(codec,), trunks=(trunk,)
    )


async def loopback_call(
    sip: SipSettings, codec: str, voice: VoiceDetector, engines: Engines, session: SessionSettings
) -> Loopback:
    """Place it with this codec. Raises `CallFailed`, and `LegError` when the endpoint cannot start."""
    loop = asyncio.get_running_loop()
    hearer = _Hearer()
    endpoint = SipEndpoint(private(sip, codec), lambda leg: hearer.take(leg), voice, loop)
    await endpoint.start()
    host = _EVERYWHERE.get(sip.host, sip.host)
    try:
        async with asyncio.timeout(_SECONDS):
            where = f"[{host}]" if ":" in host else host
            uri = f"sip:doctor@{where}:{endpoint.ports[SipTransport.UDP]}"
            leg = await endpoint.dial(uri, trunk="doctor", caller="doctor")
            return await _speak(leg, hearer, engines, session)
    except TimeoutError:
        raise CallFailed(f"no end after {_SECONDS:g} s: {hearer.state()}") from None
    except (LegError, IndexError, KeyError) as error:
        raise CallFailed(f"could not dial: {error}") from None
    finally:
        await endpoint.aclose()


async def _speak(leg: Leg, hearer: _Hearer, engines: Engines, session: SessionSettings) -> Loopback:
    speaker = _Speaker()
    leg.attach(speaker)
    await speaker.up.wait()
    if speaker.closed:
        raise CallFailed(f"refused: {speaker.closed}")
    await hearer.up.wait()
    hearer.listen(engines.asr.stream(AsrOptions(session.language, hearer.rate, interim=False)))
    length = 0
    async for chunk in engines.tts.speak(SPOKEN, TtsOptions(speaker.rate, session.voice, session.language)):
        leg.playout.write(chunk.pcm, 1)
        length += len(chunk.pcm)
    leg.playout.finish()
    await asyncio.sleep(length / speaker.rate + _TAIL)
    text = await hearer.understood()
    await leg.hangup(EndReason.CALLER_HUNG_UP)
    return Loopback(speaker.codec, text, hearer.lost, hearer.first_audible - speaker.first_packet)


class _Speaker:
    def __init__(self) -> None:
        self.up = asyncio.Event()
        self.rate = 0
        self.codec = ""
        self.closed = ""
        self.first_packet = 0.0

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        """The other end is silent."""

    def notice(self, event: LegEvent) -> None:
        match event:
            case LegAnswered(sample_rate=rate, codec=codec):
                self.rate, self.codec = rate, codec
                self.up.set()
            case PlayoutStarted(at=at):
                self.first_packet = at
            case LegClosed(reason=reason, sip_code=code):
                self.closed = f"{reason} ({code})"
                self.up.set()


class _Hearer:
    def __init__(self) -> None:
        self.up = asyncio.Event()
        self.rate = 0
        self.lost = 0
        self.first_audible = 0.0
        self._frames = 0
        self._stream: AsrStream | None = None
        self._answering: asyncio.Task[None] | None = None

    def take(self, leg: Leg) -> None:
        leg.attach(self)
        self._answering = asyncio.get_running_loop().create_task(leg.answer(), name="doctor-answer")

    def listen(self, stream: AsrStream) -> None:
        stream.start(1)
        self._stream = stream

    def hear(self, frame: AudioFrame, voice: Voice) -> None:
        self._frames += 1
        self.lost += frame.lost
        if self._stream is None:
            return
        self._stream.push(frame)
        if not self.first_audible and abs(frame.pcm).max() > 300:
            self.first_audible = asyncio.get_running_loop().time()

    def notice(self, event: LegEvent) -> None:
        if isinstance(event, LegAnswered):
            self.rate = event.sample_rate
            self.up.set()

    async def understood(self) -> str:
        """What was said. Raises `CallFailed` when it was something else."""
        assert self._stream is not None
        self._stream.end()
        async for transcript in self._stream.results():
            if transcript.is_final:
                await self._stream.aclose()
                if not understood(transcript.text):
                    raise CallFailed(f"{transcript.text!r} was heard instead of {SPOKEN!r}; {self.state()}")
                return transcript.text
        raise CallFailed(f"nothing was understood; {self.state()}")

    def state(self) -> str:
        """How far it came, for the message of a failure."""
        answered = "answered" if self.up.is_set() else "not answered"
        return f"{answered}, {self._frames} frames heard, {self.lost} lost"
