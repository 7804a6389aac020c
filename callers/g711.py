"""µ-law of ITU-T G.711, apart from the gateway's codecs: one cannot hide the other's mistakes."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Pcm: TypeAlias = npt.NDArray[np.int16]
Bytes: TypeAlias = npt.NDArray[np.uint8]

ULAW_SILENCE = 0xFF
"""The code of a zero sample."""

_BIAS = 0x84
_CLIP = 32635


def _decode_table() -> Pcm:
    code = ~np.arange(256, dtype=np.uint8)
    exponent = (code >> 4) & 7
    mantissa = (code & 15).astype(np.int32)
    magnitude = (((mantissa << 3) + _BIAS) << exponent) - _BIAS
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


_DECODED = _decode_table()


def ulaw_decode(codes: Bytes) -> Pcm:
    """Samples of µ-law codes."""
    return _DECODED[codes]


def ulaw_encode(pcm: Pcm) -> Bytes:
    """µ-law codes of samples; louder than the code can say is clipped."""
    wide = pcm.astype(np.int32)
    magnitude = np.minimum(np.abs(wide), _CLIP) + _BIAS
    exponent = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    mantissa = (magnitude >> (exponent + 3)) & 15
    sign = np.where(wide < 0, 0x80, 0)
    codes: Bytes = (~(sign | (exponent << 4) | mantissa) & 0xFF).astype(np.uint8)
    return codes
