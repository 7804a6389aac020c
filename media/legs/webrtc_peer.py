"""One browser on the WebRTC thread: path, handshake, data channels, and sound both ways."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pylibsrtp
from aioice import Candidate
from aiortc import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport, RTCSctpTransport
from aiortc.rtcsctptransport import RTCSctpCapabilities

from media.legs.webrtc_answer import OurSide, write_answer, write_fragment
from media.legs.webrtc_channels import DataChannels
from media.legs.webrtc_ear import Ear, Heard
from media.legs.webrtc_facts import Connected, Digit, Fact, Gone, Lost
from media.legs.webrtc_mouth import Mouth
from media.legs.webrtc_path import IcePath
from media.legs.webrtc_playout import SharedPlayout
from media.legs.webrtc_reports import Reports
from media.legs.webrtc_rtp import KeyReader, is_rtcp, read_rtp
from media.legs.webrtc_sdp import IceLogin, Offer
from media.legs.webrtc_settings import WebRtcSettings

_REPORT_SECONDS = 2.0
_NEW_SOURCE_SECONDS = 0.2
"""A second source is taken over only after the first was silent for so long."""
_FIRST_PACKET_SECONDS = 0.3
"""A browser that sends nothing yet is heard as silence from then on."""
_GOODBYE_SECONDS = 0.5
"""For a last message and the closing of the handshake to leave."""


@dataclass(frozen=True, slots=True)
class PeerParts:
    """What every peer of an endpoint shares."""

    settings: WebRtcSettings
    certificate: RTCCertificate
    loop: asyncio.AbstractEventLoop
    """Of the WebRTC thread."""


class WebRtcPeer:
    """From the offer to the end. All methods belong to the WebRTC thread."""

    def __init__(
        self,
        parts: PeerParts,
        offer: Offer,
        tell: Callable[[Fact], None],
        playout: SharedPlayout,
    ) -> None:
        """`tell` takes facts and must not block."""
        settings = parts.settings
        self.offer = offer
        self.ear = Ear(offer.codec, settings)
        self.mouth = Mouth(offer.codec, offer.payload_type, playout, settings)
        self.reports = Reports()
        self.connected = False
        self.rx_packets = 0
        self.unreadable = 0
        """Packets that did not prove to be the browser's, or were of no codec agreed on."""
        self.say_phase: int | None = None
        """Which tick of the grid its packets leave at; None while nothing is said."""
        self._parts = parts
        self._loop = parts.loop
        self._tell = tell
        self._path = IcePath(settings, self._sound)
        self._dtls = RTCDtlsTransport(self._path, [parts.certificate])
        self._dtls._set_role("server")
        self._dtls.on("statechange", self._dtls_changed)
        self._sctp = RTCSctpTransport(self._dtls) if offer.data is not None else None
        self._channels = DataChannels(self._sctp, tell, self._loop.time) if self._sctp else None
        self._keys = KeyReader()
        self._ssrc: int | None = None
        self._source_heard = 0.0
        self._report_at = self._loop.time() + _REPORT_SECONDS / 2
        self._connecting: asyncio.Task[None] | None = None
        self._restarting: asyncio.Task[None] | None = None
        self._begun = self._over = False
        self._connected_at = 0.0

    # --- signalling

    async def answer(self) -> str:
        """Bind sockets; returns the SDP answer. Raises `OSError`."""
        await self._path.gather()
        fingerprint = next(
            f.value for f in self._parts.certificate.getFingerprints() if f.algorithm == "sha-256"
        )
        ours = OurSide(self._path.login, fingerprint, self._path.candidates, self.mouth.ssrc)
        return write_answer(self.offer, ours)

    def connect(self) -> None:
        """Begin to look for the browser; facts tell how it went."""
        self._connecting = self._loop.create_task(self._connect())

    async def add(self, candidates: Iterable[Candidate]) -> None:
        """Addresses of the browser that came later."""
        await self._path.add(candidates)

    async def restart(self, remote: IceLogin, candidates: Iterable[Candidate]) -> str:
        """A new ICE session for the same call; returns our side of it. Raises `OSError`."""
        if self._restarting is not None:
            self._restarting.cancel()
        await self._path.restart()
        self._restarting = self._loop.create_task(self._reconnect(remote, tuple(candidates)))
        return write_fragment(self.offer.lines[self.offer.audio].mid, self._path.login, self._path.candidates)

    @property
    def ufrag(self) -> str:
        """Names the current ICE session."""
        return self._path.login.ufrag

    async def close(self) -> None:
        """Say goodbye and close everything. Idempotent, never raises."""
        if self._over:
            return
        self._over = True
        self.connected = False
        for task in (self._connecting, self._restarting):
            if task is not None:
                task.cancel()
        try:
            async with asyncio.timeout(_GOODBYE_SECONDS):
                if self._sctp is not None:
                    if self._dtls.state == "connected":
                        await asyncio.sleep(0.02)  # lets a last message leave
                    await self._sctp.stop()
                await self._dtls.stop()
        except (TimeoutError, ConnectionError):
            pass
        await self._path.close()

    # --- what the grid calls, every 20 ms

    def hear(self, at: float) -> Heard | None:
        """The frame that is due; None until the first packet is, or should have been long ago."""
        if not self._begun:
            self._begun = self.ear.buffer.ready(at) or at > self._connected_at + _FIRST_PACKET_SECONDS
        return self.ear.pull(at) if self._begun else None

    def say(self, at: float) -> None:
        """Send what is due."""
        packet = self.mouth.packet(at)
        if packet is not None and (srtp := self._dtls._tx_srtp) is not None:
            self._path.send_now(srtp.protect(packet))

    def look(self, now: float) -> None:
        """Report, and see whether the browser is still there."""
        if self._over:
            return
        if self.connected and now - self._path.last_heard > self._parts.settings.vanish_seconds:
            self._gone(Lost.VANISHED)
        elif self.connected and now >= self._report_at:
            self._report_at = now + _REPORT_SECONDS
            self._report(now)

    def send_text(self, label: str, text: str) -> None:
        """Send a text on a data channel, if it is open."""
        if self._channels is not None:
            self._channels.send(label, text)

    def stats(self) -> dict[str, int | float | str]:
        """Counters for the call's record."""
        ear, counts, reports = self.ear, self.ear.buffer.counts, self.reports
        return {
            "rx_packets": self.rx_packets,
            "rx_lost": reports.lost,
            "rx_late": counts.late,
            "rx_dup": counts.duplicate,
            "rx_discarded": counts.overflowed + self.unreadable + ear.broken,
            "rx_jitter_ms": round(ear.buffer.jitter_ms, 2),
            "concealed": ear.concealed,
            "restored": ear.restored,
            "hastened": ear.hastened,
            "jitter_buffer_ms": round(ear.buffer.delay_ms, 1),
            "tx_packets": self.mouth.packets,
            "tx_bytes": self.mouth.octets,
            "tx_lost": reports.remote_lost,
            "rtt_ms": round((reports.rtt or 0.0) * 1000, 2),
        }

    # ---

    async def _connect(self) -> None:
        offer = self.offer
        try:
            async with asyncio.timeout(self._parts.settings.connect_seconds):
                await self._path.connect(offer.ice, offer.candidates)
                remote = RTCDtlsParameters(
                    fingerprints=[RTCDtlsFingerprint(name, value) for name, value in offer.fingerprints],
                    role="client",
                )
                await self._dtls.start(remote)
        except (TimeoutError, ConnectionError):
            self._gone(Lost.UNREACHABLE)
            return
        if self._dtls.state != "connected":
            self._gone(Lost.HANDSHAKE)
            return
        self._connected_at = self._path.last_heard = self._loop.time()
        self.connected = True
        if self._sctp is not None:
            await self._sctp.start(RTCSctpCapabilities(offer.max_message), offer.sctp_port)
        self._tell(Connected(self._loop.time(), self._path.remote))

    async def _reconnect(self, remote: IceLogin, candidates: tuple[Candidate, ...]) -> None:
        """Until the new path stands the old one serves; if neither does, the browser has vanished."""
        try:
            async with asyncio.timeout(self._parts.settings.connect_seconds):
                await self._path.connect(remote, candidates)
            await self._path.settled()
        except (TimeoutError, ConnectionError):
            pass

    def _dtls_changed(self) -> None:
        if self._dtls.state == "closed":
            self._gone(Lost.CLOSED)

    def _gone(self, why: Lost) -> None:
        if not self._over:
            self.connected = False
            self._tell(Gone(why))

    def _sound(self, data: bytes) -> None:
        """A datagram of SRTP or SRTCP, handed over where it arrives."""
        srtp = self._dtls._rx_srtp
        if srtp is None or self._over:
            return
        now = self._loop.time()
        try:
            if is_rtcp(data):
                self.reports.read(srtp.unprotect_rtcp(data), self.mouth.ssrc, now)
                self.mouth.expect_loss(min(max(self.reports.remote_loss_percent, 5), 25))
            else:
                self._packet(srtp.unprotect(data), now)
        except pylibsrtp.Error:
            self.unreadable += 1
            return
        self._path.last_heard = now

    def _packet(self, data: bytes, now: float) -> None:
        packet = read_rtp(data)
        if packet is None:
            self.unreadable += 1
        elif packet.payload_type == self.offer.payload_type:
            if not self._same_source(packet.ssrc, now):
                return
            self.rx_packets += 1
            self.reports.heard(packet.ssrc, packet.sequence)
            self.ear.buffer.push(packet.sequence, packet.timestamp, packet.payload, now)
        elif packet.payload_type in self.offer.events:
            # Events share the stream's numbers; the hole they leave in them is no lost sound.
            self.reports.heard(packet.ssrc, packet.sequence)
            if digit := self._keys.push(packet):
                self._tell(Digit(digit, now))
        else:
            self.unreadable += 1

    def _same_source(self, ssrc: int, now: float) -> bool:
        if ssrc != self._ssrc:
            if self._ssrc is not None and now - self._source_heard < _NEW_SOURCE_SECONDS:
                self.unreadable += 1
                return False
            self._ssrc = ssrc
        self._source_heard = now
        return True

    def _report(self, now: float) -> None:
        mouth = self.mouth
        sent = (mouth.last_timestamp, mouth.packets, mouth.octets)
        data = self.reports.write(mouth.ssrc, sent, self.ear.buffer, self.offer.codec.clock, now)
        if (srtp := self._dtls._tx_srtp) is not None:
            self._path.send_now(srtp.protect_rtcp(data))
