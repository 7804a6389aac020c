"""Opus by libopus itself (RFC 6716): what ffmpeg's face of it leaves out is what a call needs.

PyAV brings the library along, but its decoder conceals nothing and reads no redundancy (it always calls
`opus_decode` with `decode_fec` 0), and aiortc's codec works in stereo at 48 kHz. Here both directions are
mono at the leg's own rate, so that nothing has to be resampled. Calls give the interpreter back meanwhile.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from functools import lru_cache
from pathlib import Path

import av
import numpy as np

from media.frame import Pcm

# opus_defines.h
_APPLICATION_VOIP = 2048
_SIGNAL_VOICE = 3001
_SET_BITRATE = 4002
_SET_COMPLEXITY = 4010
_SET_INBAND_FEC = 4012
_SET_PACKET_LOSS_PERC = 4014
_SET_DTX = 4016
_SET_SIGNAL = 4024

_LARGEST_PACKET = 1275
"""Octets of one Opus frame at most (RFC 6716 section 3.2.1)."""
LONGEST_MS = 120
"""Sound in one packet at most (RFC 6716 section 3.2.5)."""


class OpusMissing(Exception):
    """No libopus can be loaded."""


class OpusBroken(ValueError):
    """A packet is no Opus."""


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    """libopus: the copy that PyAV's wheel carries, else the system's. Raises `OpusMissing` with the cure."""
    carried = sorted((Path(av.__file__).parent.parent / "av.libs").glob("libopus-*.so*"))
    for path in (*map(str, carried), ctypes.util.find_library("opus"), "libopus.so.0"):
        if path is None:
            continue
        try:
            return _typed(ctypes.CDLL(path))
        except OSError:
            continue
    raise OpusMissing("libopus cannot be loaded; install it (Debian: libopus0)")


def _typed(lib: ctypes.CDLL) -> ctypes.CDLL:
    handle, octets, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    lib.opus_encoder_create.restype = lib.opus_decoder_create.restype = handle
    lib.opus_encoder_create.argtypes = [ctypes.c_int32, number, number, ctypes.POINTER(number)]
    lib.opus_decoder_create.argtypes = [ctypes.c_int32, number, ctypes.POINTER(number)]
    lib.opus_encoder_destroy.argtypes = lib.opus_decoder_destroy.argtypes = [handle]
    lib.opus_encode.argtypes = [handle, handle, number, handle, ctypes.c_int32]
    lib.opus_decode.argtypes = [handle, octets, ctypes.c_int32, handle, number, number]
    return lib


class OpusEncoder:
    """Mono sound to packets, with redundancy for a lost packet in the next one."""

    def __init__(self, sample_rate: int, bitrate: int, complexity: int) -> None:
        """`sample_rate`: 8000, 16000 or 48000; `bitrate` in bits per second. Raises `OpusMissing`."""
        self._lib = _library()
        error = ctypes.c_int()
        self._encoder = self._lib.opus_encoder_create(sample_rate, 1, _APPLICATION_VOIP, ctypes.byref(error))
        if error.value:
            raise ValueError(f"sample_rate: {sample_rate} is none of Opus'")
        self._packet = ctypes.create_string_buffer(_LARGEST_PACKET)
        for setting, value in (
            (_SET_BITRATE, bitrate),
            (_SET_COMPLEXITY, complexity),
            (_SET_SIGNAL, _SIGNAL_VOICE),
            (_SET_INBAND_FEC, 1),
        ):
            self._set(setting, value)
        self.expect_loss(5)

    def __del__(self) -> None:
        if encoder := getattr(self, "_encoder", None):
            self._lib.opus_encoder_destroy(encoder)

    def encode(self, pcm: Pcm) -> bytes:
        """One frame's packet; in a pause, one of two octets or fewer need not be sent."""
        samples = np.ascontiguousarray(pcm)
        size = self._lib.opus_encode(
            self._encoder, samples.ctypes.data, len(samples), self._packet, _LARGEST_PACKET
        )
        if size < 0:
            raise ValueError(f"pcm: {len(pcm)} samples are no Opus frame")
        return self._packet.raw[:size]

    def pause(self, on: bool) -> None:
        """Let silence be left out (DTX), or not: Opus itself would take a steady tone for silence."""
        self._set(_SET_DTX, int(on))

    def expect_loss(self, percent: int) -> None:
        """How much redundancy to put in: packets that the far end loses, 0 to 100 in a hundred."""
        self._set(_SET_PACKET_LOSS_PERC, min(max(percent, 0), 100))

    def _set(self, setting: int, value: int) -> None:
        self._lib.opus_encoder_ctl(
            ctypes.c_void_p(self._encoder), ctypes.c_int(setting), ctypes.c_int32(value)
        )


class OpusDecoder:
    """Packets, mono or stereo, to mono speech."""

    def __init__(self, sample_rate: int) -> None:
        """`sample_rate`: of what comes out, 8000, 16000 or 48000. Raises `OpusMissing`."""
        self._lib = _library()
        error = ctypes.c_int()
        self._decoder = self._lib.opus_decoder_create(sample_rate, 1, ctypes.byref(error))
        if error.value:
            raise ValueError(f"sample_rate: {sample_rate} is none of Opus'")
        self._pcm = np.zeros(sample_rate * LONGEST_MS // 1000, np.int16)

    def __del__(self) -> None:
        if decoder := getattr(self, "_decoder", None):
            self._lib.opus_decoder_destroy(decoder)

    def decode(self, packet: bytes) -> Pcm:
        """The packet's sound. Raises `OpusBroken`."""
        return self._run(packet, len(self._pcm), fec=0)

    def restore(self, following: bytes, samples: int) -> Pcm:
        """The sound of a lost packet out of the redundancy in the one after it, concealed where it has none.

        Call it before the following packet is decoded.
        """
        try:
            return self._run(following, samples, fec=1)
        except OpusBroken:
            return self.conceal(samples)

    def conceal(self, samples: int) -> Pcm:
        """What may have been said while nothing came: the last sound dies away; comfort noise in a pause."""
        return self._run(None, samples, fec=0)

    def _run(self, packet: bytes | None, samples: int, fec: int) -> Pcm:
        size = len(packet) if packet else 0
        count = self._lib.opus_decode(self._decoder, packet, size, self._pcm.ctypes.data, samples, fec)
        if count < 0:
            raise OpusBroken("the packet is no Opus")
        return self._pcm[:count].copy()
