from __future__ import annotations

import numpy as np

from callers.g711 import ULAW_SILENCE, ulaw_decode, ulaw_encode


def test_every_code_survives_decode_and_encode() -> None:
    codes = np.arange(256, dtype=np.uint8)
    again = ulaw_encode(ulaw_decode(codes))
    same = codes == again
    assert set(codes[~same]) == {0x7F}  # negative zero is the one code with two spellings
    assert again[0x7F] == ULAW_SILENCE


def test_known_points_of_the_standard() -> None:
    # G.711 table 2a, scaled to 16 bits: the loudest code of each sign, and zero.
    assert list(ulaw_decode(np.array([0x80, 0x00, 0xFF], dtype=np.uint8))) == [32124, -32124, 0]


def test_error_stays_below_the_step_of_the_segment() -> None:
    pcm = np.arange(-32000, 32000, 7, dtype=np.int16)
    error = np.abs(ulaw_decode(ulaw_encode(pcm)).astype(int) - pcm)
    assert np.all(error <= np.maximum(4, np.abs(pcm.astype(int)) // 16))
