from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.codes import coded_burst, read_code
from callers.g711 import ulaw_encode


@given(st.integers(0, 16**6 - 1), st.integers(0, 140))
def test_a_number_survives_mu_law_anywhere_in_a_packet(number: int, silence: int) -> None:
    packet = b"\xff" * silence + ulaw_encode(coded_burst(number)).tobytes()[:20]
    assert read_code(packet) == number


@given(st.binary(max_size=160).filter(lambda data: b"\x0b\x8b\x0d\x8d\x0b\x8d" not in data))
def test_other_packets_carry_no_number(payload: bytes) -> None:
    assert read_code(payload) is None


def test_a_number_cut_by_the_packets_end_is_none() -> None:
    packet = ulaw_encode(coded_burst(123456)).tobytes()
    assert read_code(packet[:11]) is None
