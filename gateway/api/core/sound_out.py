"""Samples to octets in the encodings that need no state: what live sockets send."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from media import g711
from media.frame import Pcm


class RawEncoding(StrEnum):
    """How samples are sent."""

    LINEAR16 = "linear16"
    MULAW = "mulaw"
    ALAW = "alaw"


def octets(pcm: Pcm, encoding: RawEncoding) -> bytes:
    """The samples as they go out."""
    match encoding:
        case RawEncoding.MULAW:
            return g711.to_ulaw(pcm)
        case RawEncoding.ALAW:
            return g711.to_alaw(pcm)
    return np.ascontiguousarray(pcm, np.dtype("<i2")).tobytes()
