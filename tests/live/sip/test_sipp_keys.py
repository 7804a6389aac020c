"""Keys that SIPp presses: RTP events of which packets are missing, INFO of both kinds, and tones."""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from callers import pcap
from callers.g711 import ulaw_encode
from callers.pcap import Datagram, Endpoint
from tests.live.sip.far_end import FarEnd
from tests.live.sip.phone import tone
from tests.live.sip.process import GatewayProcess
from tests.live.sip.steps import bye, call, pause, play, play_pcap, request, sdp

pytestmark = pytest.mark.live

_TICK_NS = 20_000_000


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    hears = {"name": "local", "sources": ["127.0.0.0/8"], "outbound": True, "dtmf_inband": True}
    with GatewayProcess(trunks=[hears]) as process:
        yield process


@dataclass
class Stream:
    """RTP of one source as it leaves, packet by packet, one a tick."""

    packets: list[bytes] = field(default_factory=list)
    timestamp: int = 16_000

    def _packet(self, payload_type: int, payload: bytes, *, marker: bool = False) -> None:
        flags = payload_type | (0x80 if marker else 0)
        self.packets.append(
            struct.pack("!BBHII", 0x80, flags, 100 + len(self.packets), self.timestamp, 0x5151) + payload
        )

    def silence(self, seconds: float) -> None:
        for _ in range(round(seconds * 50)):
            self._packet(0, b"\xff" * 160)
            self.timestamp += 160

    def press(self, code: int, *, ends: int = 3, marker: bool = True) -> None:
        """A key of 100 ms by RTP events (RFC 4733 section 2.5.1), and a pause after it."""
        for i in range(5):
            body = struct.pack("!BBH", code, 0x0A, 160 * (i + 1))
            self._packet(101, body, marker=marker and i == 0)
        for _ in range(ends):
            self._packet(101, struct.pack("!BBH", code, 0x8A, 800))
        self.timestamp += 160 * (5 + ends)
        self.silence(0.1)

    @property
    def seconds(self) -> float:
        return len(self.packets) / 50

    def captured(self) -> Iterator[Datagram]:
        for i, packet in enumerate(self.packets):
            yield Datagram(i * _TICK_NS, Endpoint("127.0.0.1", 6_000), Endpoint("127.0.0.1", 7_000), packet)


@pytest.fixture(autouse=True)
def _nothing_left(gateway: GatewayProcess) -> None:
    """What earlier calls reported is not for this test."""
    gateway.drain(0.05)


def keys(gateway: GatewayProcess, far_end: FarEnd) -> str:
    """All that the gateway told while the far end went through its scenario."""
    far_end.done()
    gateway.wait("LegClosed")
    return "".join(report["digit"] for report in gateway.drain(0.05) if report["event"] == "DtmfReceived")


def raw_sockets() -> bool:
    """Whether SIPp may send captured packets here."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP).close()
    except PermissionError:
        return False
    return True


def plays(gateway: GatewayProcess, folder: Path, stream: Stream) -> str:
    """The keys that the gateway tells of while a caller sends this stream."""
    if not raw_sockets():
        return _plays_beside(gateway, folder, stream)
    capture = folder / "keys.pcap"
    pcap.write(capture, stream.captured())
    steps = [call(), play_pcap(capture), pause(stream.seconds + 0.8), bye()]
    with FarEnd(gateway, steps, folder) as far_end:
        return keys(gateway, far_end)


def _plays_beside(gateway: GatewayProcess, folder: Path, stream: Stream) -> str:
    """SIPp has the dialog, and a socket of ours sends the packets, where raw sockets are not permitted."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as audio:
        audio.bind(("127.0.0.1", 0))
        steps = [call(offer=sdp(port=str(audio.getsockname()[1]))), pause(stream.seconds + 1.5), bye()]
        with FarEnd(gateway, steps, folder) as far_end:
            gateway.wait("LegAnswered")
            send(audio, far_end.messages(), stream.packets)
            return keys(gateway, far_end)


def send(audio: socket.socket, messages: str, packets: Iterable[bytes]) -> None:
    found = re.findall(r"^m=audio (\d+)", messages, re.MULTILINE)
    for packet in packets:
        audio.sendto(packet, ("127.0.0.1", int(found[-1])))
        time.sleep(_TICK_NS / 1e9)


@pytest.mark.parametrize(
    ("ends", "marker"), [(3, True), (1, True), (0, True), (3, False), (0, False)],
    ids=["whole", "two ends lost", "ends lost", "no marker", "neither end nor marker"],
)  # fmt: skip
def test_rtp_events(gateway: GatewayProcess, tmp_path: Path, ends: int, marker: bool) -> None:
    """The same key twice in a row is two presses, however little of the first arrived."""
    stream = Stream()
    stream.silence(0.3)
    for code in (1, 5, 5, 11):
        stream.press(code, ends=ends, marker=marker)
    assert plays(gateway, tmp_path, stream) == "155#"


def test_events_beside_a_socket_of_the_tests_own(gateway: GatewayProcess, tmp_path: Path) -> None:
    """The other way, so that it does not rust where raw sockets are permitted."""
    stream = Stream()
    stream.silence(0.3)
    stream.press(7, ends=0)
    assert _plays_beside(gateway, tmp_path, stream) == "7"


def info(kind: str, text: str, code: int = 200) -> str:
    return request("INFO", kind=kind, text=text, code=code)


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("application/dtmf-relay", ["Signal=5\nDuration=160", "Signal= 5\nDuration= 100", "Signal=#"]),
        ("application/dtmf", ["5", "5", "#"]),
    ],
)  # fmt: skip
def test_info(gateway: GatewayProcess, tmp_path: Path, kind: str, texts: Sequence[str]) -> None:
    apart = [step for text in texts for step in (info(kind, text), pause(0.3))]
    with FarEnd(gateway, [call(), *apart, pause(0.5), bye()], tmp_path) as far_end:
        assert keys(gateway, far_end) == "55#"


def test_an_info_without_a_key_is_refused(gateway: GatewayProcess, tmp_path: Path) -> None:
    steps = [call(), info("text/plain", "hello", 415), bye()]
    with FarEnd(gateway, steps, tmp_path) as far_end:
        far_end.done()
    assert gateway.wait("LegClosed")["reason"] == "caller_hung_up"


def test_tones(gateway: GatewayProcess, tmp_path: Path) -> None:
    rows = {"1": (697, 1209), "5": (770, 1336), "#": (941, 1477)}
    silence, parts = np.zeros(1_600, np.int16), [np.zeros(4_000, np.int16)]
    for digit in "155#":
        low, high = rows[digit]
        parts += [tone(low, 0.12, 6_000) + tone(high, 0.12, 6_000), silence]
    sound = np.concatenate(parts)
    track = tmp_path / "tones.ulaw"
    track.write_bytes(bytes(ulaw_encode(sound)))
    steps = [call(), play(track), pause(len(sound) / 8_000 + 0.8), bye()]
    with FarEnd(gateway, steps, tmp_path) as far_end:
        assert keys(gateway, far_end) == "155#"
