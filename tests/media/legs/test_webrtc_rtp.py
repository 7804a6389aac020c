"""RTP read and written: what is none is refused, numbers that wrap go on, keys are told once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from media.legs.webrtc_rtp import KeyReader, RtpPacket, Unwrap, is_rtcp, read_rtp, write_rtp


@given(
    st.integers(0, 127), st.booleans(), st.integers(0, 65_535), st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1), st.binary(max_size=200),
)  # fmt: skip
def test_what_is_written_is_read(
    kind: int, marker: bool, sequence: int, stamp: int, ssrc: int, body: bytes
) -> None:
    packet = read_rtp(write_rtp(kind, marker, sequence, stamp, ssrc, body))
    assert packet == RtpPacket(kind, marker, sequence, stamp, ssrc, body)


def test_sources_extension_and_padding_are_left_out() -> None:
    head = bytes([0x80 | 0x20 | 0x10 | 2, 111]) + bytes(10)
    packet = read_rtp(head + bytes(8) + b"\xbe\xde\x00\x01" + bytes(4) + b"sound" + b"\x00\x00\x03")
    assert packet is not None
    assert packet.payload == b"sound"


@given(st.binary(max_size=64))
def test_anything_is_read_or_refused(data: bytes) -> None:
    packet = read_rtp(data)
    assert packet is None or len(packet.payload) <= len(data) - 12


def test_reports_are_told_from_sound() -> None:
    assert is_rtcp(b"\x80\xc8")
    assert not is_rtcp(b"\x80\x6f")
    assert not is_rtcp(b"\x80")


@given(st.lists(st.integers(-300, 300), min_size=1, max_size=300))
def test_wrapped_numbers_are_followed(steps: list[int]) -> None:
    unwrap, true = Unwrap(16), 40_000
    first = unwrap(true & 0xFFFF)
    best = true
    for step in steps:
        true = best + step
        best = max(best, true)
        assert unwrap(true & 0xFFFF) - first == true - 40_000


def event(code: int, stamp: int, *, end: bool = False) -> RtpPacket:
    return RtpPacket(110, False, 1, stamp, 5, bytes([code, 0x80 if end else 0, 0, 160]))


def test_a_key_is_told_once_however_often_it_is_sent() -> None:
    keys = KeyReader()
    packets = [event(5, 1000)] * 3 + [event(5, 1000, end=True)] * 3 + [event(11, 9000, end=True)] * 3
    assert "".join(keys.push(packet) for packet in packets) == "5#"


def test_events_that_are_no_keys_are_passed_over() -> None:
    keys = KeyReader()
    assert keys.push(event(36, 1)) == ""
    assert keys.push(RtpPacket(110, False, 1, 7, 5, b"\x01")) == ""
