"""A SIP phone out of raw sockets: small, strict about what it waits for, and able to misbehave on purpose."""

from __future__ import annotations

import itertools
import re
import secrets
import select
import socket
import ssl
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np

from callers.g711 import ulaw_decode, ulaw_encode
from media.frame import Pcm

HOST = "127.0.0.1"
Header = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Message:
    """One SIP message, taken apart just enough."""

    first: str
    headers: tuple[Header, ...]
    body: str

    @property
    def code(self) -> int:
        """Status of a response, 0 for a request."""
        return int(self.first.split()[1]) if self.first.startswith("SIP/2.0") else 0

    @property
    def method(self) -> str:
        """Method of a request, or of the request that a response answers."""
        return self["cseq"].split()[1] if self.code else self.first.split()[0]

    def __getitem__(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def rtp(self) -> tuple[str, int]:
        """Where its SDP wants audio."""
        host = re.search(r"^c=IN IP4 (\S+)", self.body, re.MULTILINE)
        port = re.search(r"^m=audio (\d+)", self.body, re.MULTILINE)
        assert host and port, f"no audio in {self.body!r}"
        return host[1], int(port[1])

    @property
    def events(self) -> int:
        """Payload type under which its SDP wants keys at 8 kHz (RFC 4733 section 7); 0 when it takes none."""
        found = re.search(r"^a=rtpmap:(\d+) telephone-event/8000", self.body, re.MULTILINE)
        return int(found[1]) if found else 0


def parse(data: bytes) -> Message:
    """Take a message apart."""
    head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
    lines = head.split("\r\n")
    pairs = [line.partition(":") for line in lines[1:]]
    return Message(lines[0], tuple((name.strip(), value.strip()) for name, _, value in pairs), body)


class Wire:
    """One signalling socket: UDP, TCP or TLS."""

    def __init__(self, kind: str, target: tuple[str, int], port: int = 0) -> None:
        self.kind = kind
        self._target = target
        self._buffer = b""
        if kind == "udp":
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._socket.bind((HOST, port))
        else:
            self._socket = socket.create_connection(target, timeout=5.0)
            if kind == "tls":
                context = ssl.create_default_context()
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                self._socket = context.wrap_socket(self._socket)
        self.port: int = self._socket.getsockname()[1]

    def aim(self, target: tuple[str, int]) -> None:
        """Send elsewhere from now on."""
        self._target = target

    def send(self, data: bytes) -> None:
        """Send one message."""
        if self.kind == "udp":
            self._socket.sendto(data, self._target)
        else:
            self._socket.sendall(data)

    def receive(self, timeout: float) -> bytes | None:
        """One message, or None when none came in time."""
        self._socket.settimeout(max(0.001, timeout))
        try:
            if self.kind == "udp":
                return self._socket.recv(65_535)
            while not (message := self._whole()):
                piece = self._socket.recv(65_535)
                if not piece:
                    return None
                self._buffer += piece
            return message
        except TimeoutError:
            return None

    def _whole(self) -> bytes:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return b""
        found = re.search(rb"content-length\s*:\s*(\d+)", head, re.IGNORECASE)
        size = int(found[1]) if found else 0
        if len(rest) < size:
            return b""
        self._buffer = rest[size:]
        return head + end + rest[:size]

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP packet that came."""

    payload_type: int
    marker: bool
    seq: int
    timestamp: int
    payload: bytes
    at: float


@dataclass
class Rtp:
    """One RTP socket: sends what it is told, when it is told."""

    target: tuple[str, int] = (HOST, 0)
    ssrc: int = field(default_factory=lambda: secrets.randbits(32))
    seq: int = field(default_factory=lambda: secrets.randbits(15))
    timestamp: int = field(default_factory=lambda: secrets.randbits(31))
    events: int = 101
    """Payload type of the keys that we send: the one that the far end's SDP names (RFC 3264 section 5.1)."""

    def __post_init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, 0))
        self.port: int = self.socket.getsockname()[1]
        self.received: list[Packet] = []

    def send(self, payload: bytes, *, payload_type: int = 0, step: int = 160, marker: bool = False) -> None:
        """Send one packet and move on by `step` on the RTP clock."""
        flags = payload_type | (0x80 if marker else 0)
        header = struct.pack("!BBHII", 0x80, flags, self.seq & 0xFFFF, self.timestamp & 0xFFFFFFFF, self.ssrc)
        self.raw(header + payload)
        self.seq += 1
        self.timestamp += step

    def raw(self, data: bytes) -> None:
        """Send any bytes."""
        self.socket.sendto(data, self.target)

    def talk(self, pcm: Pcm, *, ptime: int = 20) -> list[Packet]:
        """Send µ-law audio in real time and return what came meanwhile."""
        size, before = 8 * ptime, len(self.received)
        start = time.monotonic()
        for i in range(0, len(pcm) - size + 1, size):
            self.listen(start + i / 8000 - time.monotonic())
            self.send(bytes(ulaw_encode(pcm[i : i + size])), step=size)
        self.listen(0.0)
        return self.received[before:]

    def listen(self, seconds: float) -> None:
        """Receive for this long."""
        until = time.monotonic() + max(0.0, seconds)
        while select.select([self.socket], [], [], max(0.0, until - time.monotonic()))[0]:
            data = self.socket.recv(65_535)
            if len(data) < 12:
                continue
            _, flags, seq, timestamp, _ = struct.unpack("!BBHII", data[:12])
            now = time.monotonic()
            self.received.append(Packet(flags & 0x7F, bool(flags & 0x80), seq, timestamp, data[12:], now))

    def key(self, code: int, *, packets: int = 6) -> None:
        """Press a key by RFC 4733 events: one timestamp, growing duration, three end packets."""
        for i in range(packets + 3):
            end = i >= packets
            duration = 160 * min(i + 1, packets)
            self.send(
                struct.pack("!BBH", code, 0x8A if end else 0x0A, duration),
                payload_type=self.events, step=0, marker=i == 0,
            )  # fmt: skip
            self.listen(0.02)
        self.timestamp += 160 * packets

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


def heard(packets: Iterable[Packet]) -> Pcm:
    """The µ-law audio of packets, joined as they came."""
    data = b"".join(packet.payload for packet in packets if packet.payload_type == 0)
    return ulaw_decode(np.frombuffer(data, np.uint8))


def tone(frequency: float, seconds: float, level: float = 8000.0) -> Pcm:
    """A sine at 8 kHz."""
    t = np.arange(round(8000 * seconds)) / 8000
    return (level * np.sin(2 * np.pi * frequency * t)).astype(np.int16)


def loudness(pcm: Pcm) -> float:
    """Root mean square; 0 for nothing."""
    return float(np.sqrt(np.mean(pcm.astype(np.float64) ** 2))) if len(pcm) else 0.0


def pitch(pcm: Pcm) -> float:
    """The strongest frequency, in Hz."""
    spectrum = np.abs(np.fft.rfft(pcm.astype(np.float64) * np.hanning(len(pcm))))
    return float(np.argmax(spectrum[1:]) + 1) * 8000 / len(pcm)


class Phone:
    """One dialog toward the gateway."""

    def __init__(
        self, target: tuple[str, int], called: str = "echo", *, transport: str = "udp", port: int = 0
    ) -> None:
        """`port`: of its signalling by UDP; 0 takes a free one."""
        self.wire = Wire(transport, target, port)
        self.rtp = Rtp()
        self.events = 101
        """Payload type under which our SDP wants keys."""
        self.called = called
        self.target_uri = f"sip:{called}@{target[0]}:{target[1]}"
        self._call_id = secrets.token_hex(8)
        self._tag = secrets.token_hex(4)
        self._to = f"<{self.target_uri}>"
        self._contact = self.target_uri
        self._cseq = itertools.count(1)
        self._invite: tuple[int, str] = (0, "")
        self._version = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close both sockets; says nothing."""
        self.wire.close()
        self.rtp.close()

    # --- messages ---

    def sdp(self, *, payloads: str = "", direction: str = "sendrecv", extra: str = "") -> str:
        """An offer with our address."""
        self._version += 1
        events, payloads = self.events, payloads or f"0 {self.events}"
        return (
            f"v=0\r\no=phone 1 {self._version} IN IP4 {HOST}\r\ns=-\r\nc=IN IP4 {HOST}\r\nt=0 0\r\n"
            f"m=audio {self.rtp.port} RTP/AVP {payloads}\r\n"
            f"a=rtpmap:{events} telephone-event/8000\r\na=fmtp:{events} 0-16\r\n{extra}a={direction}\r\n"
        )

    def request(
        self, method: str, *, body: str = "", headers: Iterable[Header] = (), cseq: int = 0, branch: str = ""
    ) -> tuple[int, str]:
        """Send a request of this dialog; returns its CSeq number and branch."""
        cseq = cseq or next(self._cseq)
        branch = branch or f"z9hG4bK{secrets.token_hex(6)}"
        lines = [
            f"{method} {self._contact} SIP/2.0",
            f"Via: SIP/2.0/{self.wire.kind.upper()} {HOST}:{self.wire.port};branch={branch};rport",
            f"From: <sip:1001@{HOST}>;tag={self._tag}",
            f"To: {self._to}",
            f"Call-ID: {self._call_id}",
            f"CSeq: {cseq} {method}",
            "Max-Forwards: 70",
            f"Contact: <sip:1001@{HOST}:{self.wire.port};transport={self.wire.kind}>",
            *(f"{name}: {value}" for name, value in headers),
        ]
        if body and not any(name.lower() == "content-type" for name, _ in headers):
            lines.append("Content-Type: application/sdp")
        lines.append(f"Content-Length: {len(body.encode())}")
        self.wire.send(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        return cseq, branch

    def expect(self, what: int | str, timeout: float = 4.0) -> Message:
        """The next response with this code or request with this method; anything else is passed over."""
        seen: list[str] = []
        until = time.monotonic() + timeout
        while (left := until - time.monotonic()) > 0:
            data = self.wire.receive(left)
            if data is None:
                break
            message = parse(data)
            if message.code == what or (not message.code and message.method == what):
                self._learn(message)
                return message
            seen.append(message.first)
            if message.code >= 300 and message.method == "INVITE":
                break
        raise AssertionError(f"{what} did not come within {timeout} s; came: {seen}")

    def silence(self, seconds: float) -> bool:
        """Whether nothing at all comes for this long."""
        return self.wire.receive(seconds) is None

    def _learn(self, message: Message) -> None:
        if not 100 < message.code < 300 or message.method != "INVITE":
            return
        self._to = message["to"]
        if contact := re.search(r"<([^>]+)>", message["contact"]):
            self._contact = contact[1]
        if message.body:
            self._talk_to(message)

    def respond(
        self,
        request: Message,
        code: int = 200,
        *,
        body: str = "",
        headers: Iterable[Header] = (),
        tag: str = "",
    ) -> None:
        """Answer a request of the gateway's; `tag` makes the answer that of another branch of a fork."""
        lines = [f"SIP/2.0 {code} Answer"]
        lines += [f"Via: {via}" for via in request.all("via")]
        to = request["to"] if "tag=" in request["to"] else f"{request['to']};tag={tag or self._tag}"
        lines += [f"{name}: {value}" for name, value in headers]
        lines += [f"{name}: {request[name]}" for name in ("From", "Call-ID", "CSeq")]
        lines += [f"To: {to}", f"Contact: <sip:1001@{HOST}:{self.wire.port}>"]
        lines += ["Content-Type: application/sdp"] if body else []
        lines.append(f"Content-Length: {len(body)}")
        self.wire.send(("\r\n".join(lines) + "\r\n\r\n" + body).encode())

    def rings(self, timeout: float = 4.0) -> Message:
        """Wait for a call from the gateway; from then on this phone speaks within its dialog."""
        invite = self.expect("INVITE", timeout)
        self._call_id = invite["call-id"]
        self._to = invite["from"]
        contact = re.search(r"<([^>]+)>", invite["contact"])
        assert contact, f"no contact in {invite}"
        self._contact = contact[1]
        if invite.body:
            self._talk_to(invite)
        return invite

    def _talk_to(self, message: Message) -> None:
        self.rtp.target = message.rtp
        self.rtp.events = message.events or self.rtp.events

    def take(self, invite: Message) -> None:
        """Answer a call from the gateway and see it acknowledged."""
        self.respond(invite, 200, body=self.sdp())
        self.expect("ACK")

    @property
    def uri(self) -> str:
        """Where the gateway reaches this phone."""
        return f"sip:phone@{HOST}:{self.wire.port}"

    def notify(self, report: str, *, state: str = "active;expires=60", event: str = "refer") -> Message:
        """Report on a REFER of the gateway's (RFC 3515 section 2.4.4)."""
        headers = [
            ("Event", event), ("Subscription-State", state), ("Content-Type", "message/sipfrag;version=2.0"),
        ]  # fmt: skip
        self.request("NOTIFY", body=f"{report}\r\n" if report else "", headers=headers)
        while (answer := self.expect(200)).method != "NOTIFY":
            pass
        return answer

    @property
    def replaces(self) -> str:
        """Value of a Replaces header that names this dialog (RFC 3891)."""
        theirs = self._to.partition("tag=")[2].partition(";")[0]
        return f"{self._call_id};to-tag={theirs};from-tag={self._tag}"

    @property
    def seen_from_the_gateway(self) -> str:
        """Replaces within a Refer-To that names this dialog to somebody else (RFC 3891 section 3)."""
        theirs = self._to.partition("tag=")[2].partition(";")[0]
        return f"Replaces={self._call_id}%3Bto-tag%3D{self._tag}%3Bfrom-tag%3D{theirs}"

    # --- calls ---

    def invite(self, *, sdp: str | None = None, headers: Iterable[Header] = ()) -> None:
        """Begin a call, or begin again after a refusal."""
        body = self.sdp() if sdp is None else sdp
        self._invite = self.request("INVITE", body=body, headers=headers)

    def invite_again(self, *, branch: str = "") -> None:
        """The first INVITE once more: as it was, or with the branch of another path."""
        cseq, old = self._invite
        answered, self._to = self._to, f"<{self.target_uri}>"
        self.request("INVITE", body=self.sdp(), cseq=cseq, branch=branch or old)
        self._to = answered

    def ack(self, *, failed: bool = False, body: str = "") -> None:
        """Acknowledge the last INVITE's answer; a refusal's ACK shares the INVITE's branch."""
        cseq, branch = self._invite
        self.request("ACK", cseq=cseq, branch=branch if failed else "", body=body)

    def call(self, *, sdp: str | None = None, headers: Iterable[Header] = ()) -> Message:
        """Place a call and take the answer."""
        self.invite(sdp=sdp, headers=headers)
        answer = self.expect(200)
        self.ack()
        return answer

    def refused(self, code: int, timeout: float = 4.0) -> Message:
        """Wait for this refusal and acknowledge it."""
        answer = self.expect(code, timeout)
        self.ack(failed=True)
        return answer

    def cancel(self) -> None:
        """Give up the call before its answer."""
        cseq, branch = self._invite
        self.request("CANCEL", cseq=cseq, branch=branch)

    def bye(self, headers: Iterable[Header] = ()) -> Message:
        """Hang up."""
        self.request("BYE", headers=headers)
        while (answer := self.expect(200)).method != "BYE":
            pass  # the 200 of the INVITE, sent again before our ACK arrived
        return answer

    def reinvite(self, direction: str) -> Message:
        """Offer the same audio with another direction."""
        self.invite(sdp=self.sdp(direction=direction))
        answer = self.expect(200)
        self.ack()
        return answer
