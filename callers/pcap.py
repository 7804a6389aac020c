"""Reads and writes the UDP datagrams of a classic pcap file (draft-ietf-opsawg-pcap), IPv4 only."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_ETHERNET, _LINUX_SLL2, _RAW_IP = 1, 276, 101
_LINK_HEADER = {_ETHERNET: 14, _LINUX_SLL2: 20, _RAW_IP: 0}
_MAGIC = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1}
"""Magic number → nanoseconds per unit of the stamps' fraction."""
_UDP = 17


class Endpoint(NamedTuple):
    """An IPv4 address and a UDP port."""

    host: str
    port: int


class Datagram(NamedTuple):
    """One UDP datagram as it crossed the interface."""

    at_ns: int
    """Wall-clock nanoseconds of the kernel's stamp."""
    source: Endpoint
    destination: Endpoint
    payload: bytes


class PcapError(ValueError):
    """The file is no pcap that we read."""


def datagrams(path: Path) -> Iterator[Datagram]:
    """Every whole UDP datagram in the file, in its order; a cut last record ends it. Raises PcapError."""
    data = path.read_bytes()
    if len(data) < 24:
        raise PcapError(f"{path}: shorter than a pcap header")
    order, unit = _byte_order(data, path)
    (link,) = struct.unpack_from(order + "I", data, 20)
    if link & 0xFFFF not in _LINK_HEADER:
        raise PcapError(f"{path}: link type {link & 0xFFFF} is not read")
    skip = _LINK_HEADER[link & 0xFFFF]
    record = struct.Struct(order + "IIII")
    at = 24
    while at + record.size <= len(data):
        seconds, fraction, kept, _ = record.unpack_from(data, at)
        at += record.size
        if at + kept > len(data):
            return
        datagram = _parse(data[at + skip : at + kept], seconds * 1_000_000_000 + fraction * unit)
        if datagram is not None:
            yield datagram
        at += kept


def write(path: Path, sent: Iterable[Datagram]) -> None:
    """A capture of these datagrams as an Ethernet interface would have seen them; checksums are left at 0."""
    out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, _ETHERNET)]
    for datagram in sent:
        frame = _frame(datagram)
        seconds, rest = divmod(datagram.at_ns, 1_000_000_000)
        out += [struct.pack("<IIII", seconds, rest // 1_000, len(frame), len(frame)), frame]
    path.write_bytes(b"".join(out))


def _frame(datagram: Datagram) -> bytes:
    (source, source_port), (destination, port) = datagram.source, datagram.destination
    size = 8 + len(datagram.payload)
    udp = struct.pack(">HHHH", source_port, port, size, 0)
    ip = (
        struct.pack(">BBHHHBBH", 0x45, 0, 20 + size, 0, 0, 64, _UDP, 0)
        + _packed(source)
        + _packed(destination)
    )
    return bytes(12) + b"\x08\x00" + ip + udp + datagram.payload


def _packed(host: str) -> bytes:
    return bytes(map(int, host.split(".")))


def _byte_order(data: bytes, path: Path) -> tuple[str, int]:
    for order in "<>":
        (magic,) = struct.unpack_from(order + "I", data)
        if magic in _MAGIC:
            return order, _MAGIC[magic]
    raise PcapError(f"{path}: not a pcap file")


def _parse(packet: bytes, at_ns: int) -> Datagram | None:
    if len(packet) < 28 or packet[0] >> 4 != 4 or packet[9] != _UDP:
        return None
    header = (packet[0] & 15) * 4
    if len(packet) < header + 8:
        return None
    source_port, destination_port, length = struct.unpack_from(">HHH", packet, header)
    return Datagram(
        at_ns,
        Endpoint(_dotted(packet[12:16]), source_port),
        Endpoint(_dotted(packet[16:20]), destination_port),
        packet[header + 8 : header + length],
    )


def _dotted(address: bytes) -> str:
    return ".".join(map(str, address))
