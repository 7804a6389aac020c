from __future__ import annotations

import struct
from pathlib import Path

import pytest

from callers.pcap import Datagram, Endpoint, PcapError, datagrams, write


def udp_packet(source: int, destination: int, payload: bytes, *, options: bytes = b"") -> bytes:
    """An Ethernet frame with one UDP datagram between two loopback ports."""
    words = 5 + len(options) // 4
    total = words * 4 + 8 + len(payload)
    ip = struct.pack(">BBHHHBBH", 0x40 | words, 0, total, 0, 0, 64, 17, 0) + bytes(
        [127, 0, 0, 1, 127, 0, 0, 2]
    )
    udp = struct.pack(">HHHH", source, destination, 8 + len(payload), 0)
    return b"\0" * 12 + b"\x08\x00" + ip + options + udp + payload


def write_pcap(
    path: Path, packets: list[tuple[int, bytes]], *, nano: bool = True, order: str = "<", link: int = 1
) -> Path:
    """A pcap file of (nanoseconds, frame) pairs."""
    magic, unit = (0xA1B23C4D, 1) if nano else (0xA1B2C3D4, 1000)
    data = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link)
    for at, packet in packets:
        head = struct.pack(order + "IIII", at // 10**9, at % 10**9 // unit, len(packet), len(packet))
        data += head + packet
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
def test_reads_ports_time_and_payload(tmp_path: Path, order: str) -> None:
    packets = [(1_700_000_000_123_456_789, udp_packet(4000, 5000, b"abc"))]
    (only,) = datagrams(write_pcap(tmp_path / "a.pcap", packets, order=order))
    assert only.at_ns == 1_700_000_000_123_456_789
    assert only.source == Endpoint("127.0.0.1", 4000)
    assert only.destination == Endpoint("127.0.0.2", 5000)
    assert only.payload == b"abc"


def test_microsecond_files_and_ip_options(tmp_path: Path) -> None:
    packets = [(5_000_001_000, udp_packet(1, 2, b"x", options=b"\x01" * 8))]
    (only,) = datagrams(write_pcap(tmp_path / "a.pcap", packets, nano=False))
    assert (only.at_ns, only.payload) == (5_000_001_000, b"x")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    ends = Endpoint("127.0.0.1", 4000), Endpoint("127.0.0.2", 5000)
    sent = [Datagram(1_000 * i, *ends, bytes(i)) for i in (0, 1, 160, 1_400)]
    write(tmp_path / "a.pcap", sent)
    assert list(datagrams(tmp_path / "a.pcap")) == sent


def test_what_is_no_udp_is_passed_over(tmp_path: Path) -> None:
    tcp = bytearray(udp_packet(1, 2, b"tcp"))
    tcp[14 + 9] = 6
    packets = [(1, bytes(tcp)), (2, b"\0" * 20), (3, udp_packet(3, 4, b"udp"))]
    assert [d.payload for d in datagrams(write_pcap(tmp_path / "a.pcap", packets))] == [b"udp"]


def test_a_cut_last_record_ends_the_file(tmp_path: Path) -> None:
    path = write_pcap(tmp_path / "a.pcap", [(1, udp_packet(1, 2, b"whole")), (2, udp_packet(1, 2, b"cut"))])
    path.write_bytes(path.read_bytes()[:-2])
    assert [d.payload for d in datagrams(path)] == [b"whole"]


@pytest.mark.parametrize("data", [b"", b"\0" * 40])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(data)
    with pytest.raises(PcapError):
        list(datagrams(path))


def test_unknown_link_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PcapError, match="link type 147"):
        list(datagrams(write_pcap(tmp_path / "a.pcap", [], link=147)))
