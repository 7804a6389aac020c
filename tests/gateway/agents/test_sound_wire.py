from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.agents.sound_wire import WireDecoder, WireEncoder, WireFormat
from media.frame import AudioFrame, Pcm
from media.g711 import ALAW, ULAW

TABLES = {WireFormat.PCMU: ULAW, WireFormat.PCMA: ALAW}


def frames(pcm: Pcm, rate: int) -> list[AudioFrame]:
    hop = rate // 50
    return [AudioFrame(pcm[at : at + hop], rate, at, 0.0) for at in range(0, len(pcm), hop)]


def sine(seconds: float, rate: int) -> Pcm:
    t = np.arange(round(seconds * rate)) / rate
    return (8000 * np.sin(2 * np.pi * 440 * t)).astype(np.int16)


@pytest.mark.parametrize("wire", list(TABLES))
def test_g711_at_8_khz_goes_straight_through(wire: WireFormat) -> None:
    codes = np.random.default_rng(1).integers(0, 256, 1600).astype(np.uint8)
    pieces = [piece for frame in frames(TABLES[wire][codes], 8000) for piece in WireEncoder(wire).push(frame)]
    assert [len(piece) for piece in pieces] == [160] * 10
    back = WireDecoder(wire).push(b"".join(pieces), 8000)
    assert np.array_equal(back, TABLES[wire][codes])


@pytest.mark.parametrize(
    ("wire", "rate"), [(WireFormat.PCMU, 16000), (WireFormat.PCM, 8000), (WireFormat.PCM, 16000)]
)
def test_other_rates_keep_pitch_level_and_number(wire: WireFormat, rate: int) -> None:
    encoder, decoder = WireEncoder(wire), WireDecoder(wire)
    sent = [piece for frame in frames(sine(1.0, rate), rate) for piece in encoder.push(frame)]
    assert len(sent) == 50
    assert {len(piece) for piece in sent} == {wire.rate // 50 * wire.sample_bytes}
    back = np.concatenate([*(decoder.push(piece, rate) for piece in sent), decoder.flush()])
    assert len(back) == len(sent) * rate // 50
    middle = back[rate // 4 : rate // 4 + rate // 2].astype(float)
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * 2 == pytest.approx(440, abs=2)
    assert np.abs(middle).max() == pytest.approx(8000, rel=0.05)


@given(st.lists(st.integers(0, 50), max_size=20))
def test_odd_pieces_of_pcm_are_put_together_again(cuts: list[int]) -> None:
    octets = sine(0.02, 24000).astype("<i2").tobytes()
    decoder, got, at = WireDecoder(WireFormat.PCM), [], 0
    for cut in [*cuts, len(octets)]:
        got.append(decoder.push(octets[at : at + cut], 24000))
        at = min(at + cut, len(octets))
    assert np.array_equal(np.concatenate(got), np.frombuffer(octets, "<i2"))


def test_a_leg_that_takes_another_codec_goes_on() -> None:
    encoder = WireEncoder(WireFormat.PCMU)
    narrow, wide = frames(sine(0.2, 8000), 8000), frames(sine(0.2, 16000), 16000)
    assert sum(len(encoder.push(frame)) for frame in [*narrow, *wide]) == 20
