"""G.711 companding as tables (ITU-T G.711): one octet per sample, mu-law and A-law."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from media.frame import Pcm

Codes = npt.NDArray[np.uint8]


def _ulaw_table() -> Pcm:
    """Linear value of each mu-law code: sign, three exponent and four mantissa bits, all inverted."""
    code = ~np.arange(256, dtype=np.uint8)
    exponent = (code >> 4 & 7).astype(np.int32)
    size = ((code & 15).astype(np.int32) * 8 + 132 << exponent) - 132
    return np.where(code & 128, -size, size).astype(np.int16)


def _alaw_table() -> Pcm:
    """Linear value of each A-law code: even bits inverted, the first two segments alike."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent = (code >> 4 & 7).astype(np.int32)
    size = (code & 15).astype(np.int32) * 16 + 8
    size = np.where(exponent, size + 256 << np.maximum(exponent - 1, 0), size)
    return np.where(code & 128, size, -size).astype(np.int16)


def _nearest(table: Pcm) -> Codes:
    """The code whose value lies nearest, for each 16-bit sample (indexed by the sample + 32768)."""
    order = np.argsort(table, kind="stable")
    values = table[order].astype(np.int32)
    edges = (values[1:] + values[:-1] + 1) // 2
    return order.astype(np.uint8)[np.searchsorted(edges, np.arange(-32768, 32768), side="right")]


ULAW = _ulaw_table()
"""Samples by mu-law code."""
ALAW = _alaw_table()
"""Samples by A-law code."""
_TO_ULAW = _nearest(ULAW)
_TO_ALAW = _nearest(ALAW)


def to_ulaw(pcm: Pcm) -> bytes:
    """Mu-law codes of the samples; samples that came out of mu-law give their code's value back."""
    return _TO_ULAW[pcm.astype(np.int32) + 32768].tobytes()


def to_alaw(pcm: Pcm) -> bytes:
    """A-law codes of the samples."""
    return _TO_ALAW[pcm.astype(np.int32) + 32768].tobytes()
