from __future__ import annotations

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from callers.g711 import Pcm, ulaw_decode, ulaw_encode
from callers.pcap import Datagram, Endpoint
from callers.rtp import RtpStream, parse, streams
from callers.speech import silence

HERE, THERE = Endpoint("127.0.0.1", 4000), Endpoint("127.0.0.1", 5000)
MS = 1_000_000


def rtp(sequence: int, timestamp: int, payload: bytes, *, ssrc: int = 7, payload_type: int = 0) -> bytes:
    return (
        struct.pack(">BBHII", 0x80, payload_type, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload
    )


def tone(samples: int) -> Pcm:
    pcm: Pcm = (8000 * np.sin(np.arange(samples) * 0.5)).astype(np.int16)
    return pcm


def stream_of(pcm: Pcm, *, first: int = 0, start: int = 0, skip: tuple[int, ...] = ()) -> RtpStream:
    """A stream that sends `pcm` in 20 ms packets, exactly on time; `skip` packets never come."""
    packets = [
        Datagram(n * 20 * MS, HERE, THERE, rtp(first + n, start + n * 160, codes))
        for n, codes in enumerate(ulaw_encode(pcm[at : at + 160]).tobytes() for at in range(0, len(pcm), 160))
        if n not in skip
    ]
    (only,) = streams(packets)
    return only


def test_counters_that_wrap_are_extended() -> None:
    stream = stream_of(tone(1600), first=65_533, start=2**32 - 320)
    assert list(np.diff(stream.sequence)) == [1] * 9
    assert list(np.diff(stream.timestamp)) == [160] * 9
    assert stream.lost() == stream.reordered() == 0
    assert set(stream.gaps_ms()) == {20.0}


def test_missing_packets_are_lost_and_silent() -> None:
    pcm = tone(800)
    stream = stream_of(pcm, skip=(2,))
    assert stream.lost() == 1
    expected = ulaw_decode(ulaw_encode(pcm))
    expected[320:480] = 0
    assert np.array_equal(stream.sound.pcm, expected)


def test_order_of_arrival_does_not_change_the_sound() -> None:
    pcm = ulaw_decode(ulaw_encode(tone(480)))
    codes = ulaw_encode(pcm).tobytes()
    order = [0, 2, 1]
    packets = [
        Datagram(at * MS, HERE, THERE, rtp(n, n * 160, codes[n * 160 : n * 160 + 160]))
        for at, n in enumerate(order)
    ]
    (stream,) = streams(packets)
    assert stream.reordered() == 1
    assert stream.lost() == 0
    assert np.array_equal(stream.sound.pcm, pcm)


def test_streams_are_told_apart_by_address_and_ssrc() -> None:
    packets = [
        Datagram(1, HERE, THERE, rtp(1, 0, b"\xff")),
        Datagram(2, THERE, HERE, rtp(1, 0, b"\xff")),
        Datagram(3, HERE, THERE, rtp(1, 0, b"\xff", ssrc=8)),
        Datagram(4, HERE, THERE, b"OPTIONS sip:x SIP/2.0"),
    ]
    assert [(s.source, s.ssrc, len(s)) for s in streams(packets)] == [
        (HERE, 7, 1),
        (THERE, 7, 1),
        (HERE, 8, 1),
    ]


def test_the_time_a_sample_was_spoken() -> None:
    sound = stream_of(tone(800)).sound
    assert sound.packet_ns(200) == 20 * MS  # in the second packet
    assert sound.spoken_ns(320) == 40 * MS - 20 * MS  # first sample of the third: one packet before it left
    assert sound.spoken_ns(480) == 60 * MS - 20 * MS


def test_first_audible_packet_after_a_moment() -> None:
    pcm = np.concatenate([tone(160), silence(0.06), tone(320)])
    stream = stream_of(pcm)
    assert stream.first_audible_ns() == 0
    assert stream.first_audible_ns(1) == 80 * MS
    assert stream.first_audible_ns(200 * MS) is None
    assert list(stream.audible_packets()) == [True, False, False, False, True, True]


def test_known_sound_is_found_where_it_begins() -> None:
    pcm = ulaw_decode(ulaw_encode(np.concatenate([silence(0.1), tone(400), silence(0.05)])))
    sound = stream_of(pcm).sound
    assert sound.find(pcm[830:1100]) == 830
    assert sound.find(np.full(10, 12345, dtype=np.int16)) is None


def test_between_keeps_the_span() -> None:
    stream = stream_of(tone(1600)).between(40 * MS, 100 * MS)
    assert list(stream.arrived_ns) == [40 * MS, 60 * MS, 80 * MS]
    assert len(stream.payload) == 3


def test_csrc_extension_and_padding_are_no_sound() -> None:
    head = struct.pack(">BBHII", 0x80 | 0x30 | 1, 0x80, 5, 6, 7)
    packet = head + b"csrc" + b"\xbe\xde\x00\x01ext!" + b"sound" + b"\0\0\x03"
    assert parse(packet) == (0, 5, 6, 7, b"sound")


@given(st.binary(max_size=64))
def test_any_bytes_parse_or_are_no_rtp(data: bytes) -> None:
    parsed = parse(data)
    assert parsed is None or data.count(parsed[4]) >= 1


def test_rtcp_is_no_rtp() -> None:
    assert parse(struct.pack(">BBHII", 0x80, 200, 6, 7, 8)) is None
