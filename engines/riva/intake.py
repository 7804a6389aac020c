"""Octets of any length, as a client sends them, into 20 ms frames at the engine's rate."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from engines.riva.refusal import Refused
from engines.riva.wire import audio_pb2
from media import g711
from media.frame import AudioFrame, Pcm, frame_samples
from media.resample import Resampler
from media.wav_header import BadHeader, WavHeader, read_header

LOWEST_RATE = 8000
HIGHEST_RATE = 48000
NARROW = 8000
WIDE = 16000
"""The two rates of frames: a narrow stream stays narrow, all others become wide."""

LINEAR: int = audio_pb2.LINEAR_PCM
ULAW: int = audio_pb2.MULAW
ALAW: int = audio_pb2.ALAW
UNSPECIFIED: int = audio_pb2.ENCODING_UNSPECIFIED

_BY_WAV_FORMAT = {(1, 16): LINEAR, (6, 8): ALAW, (7, 8): ULAW}
_MAGIC = {b"fLaC": "FLAC", b"OggS": "OGGOPUS"}


def encoding_name(encoding: int) -> str:
    """As Riva writes it; a number that Riva does not know stays a number."""
    known = audio_pb2.AudioEncoding.DESCRIPTOR.values_by_number.get(encoding)
    return str(known.name) if known else str(encoding)


@dataclass(frozen=True, slots=True)
class AudioForm:
    """How the octets are to be read; what is not said must stand in a WAV header."""

    encoding: int
    """An `AudioEncoding`."""
    sample_rate: int
    """Per second; 0: not said."""

    def __post_init__(self) -> None:
        if self.encoding not in (UNSPECIFIED, LINEAR, ULAW, ALAW):
            name = encoding_name(self.encoding)
            raise Refused(f"encoding: {name} is not taken; send LINEAR_PCM, MULAW or ALAW")
        if self.sample_rate and not LOWEST_RATE <= self.sample_rate <= HIGHEST_RATE:
            raise Refused(
                f"sample_rate_hertz: {self.sample_rate} is out of range; send {LOWEST_RATE} to {HIGHEST_RATE}"
            )

    @property
    def frame_rate(self) -> int:
        """The rate of the frames made of it."""
        return NARROW if self.sample_rate == NARROW else WIDE


class Intake:
    """One stream's octets. `form` is complete once `settled`; half samples wait for their other half."""

    def __init__(self, form: AudioForm) -> None:
        self.form = form
        self.settled = False
        """The first octets have shown whether a WAV header leads, so that the rate is known."""
        self._octets = b""
        self._left: int | None = None
        self._resampler: Resampler | None = None
        self._samples: Pcm = np.zeros(0, np.int16)
        self._pts = 0

    def push(self, data: bytes, arrived: float) -> list[AudioFrame]:
        """The frames that are complete now. Raises `Refused`."""
        self._octets += data
        if not self.settled and not self._settle():
            return []
        return self._frames(self._resampled(self._decoded(), last=False), arrived)

    def flush(self, arrived: float) -> list[AudioFrame]:
        """The end: the last frame is filled up with silence. Raises `Refused` when nothing could be read."""
        if not self.settled:
            if not self._octets:
                return []
            if self._octets[:4] == b"RIFF":
                raise Refused("audio: ends within the header of a WAV file")
            self._believe_form()
        pcm = self._resampled(self._decoded(), last=True)
        frames = self._frames(pcm, arrived)
        rest = len(self._samples)
        if rest:
            hop = frame_samples(self.form.frame_rate)
            frames += self._frames(np.zeros(hop - rest, np.int16), arrived)
        return frames

    def _settle(self) -> bool:
        """Is the form known? Looks for a header until enough has come to say that there is none."""
        if b"RIFF".startswith(self._octets[:4]) and len(self._octets) < 4:
            return False
        if self._octets[:4] in _MAGIC:
            raise Refused(
                f"encoding: {_MAGIC[self._octets[:4]]} is not taken; send LINEAR_PCM, MULAW or ALAW"
            )
        if self._octets[:4] != b"RIFF":
            self._believe_form()
            return True
        try:
            header = read_header(self._octets)
        except BadHeader as error:
            raise Refused(f"audio: {error}") from None
        if header is None:
            return False
        self._believe(header)
        return True

    def _believe_form(self) -> None:
        if self.form.encoding == UNSPECIFIED:
            raise Refused("encoding: say LINEAR_PCM, MULAW or ALAW, or send a WAV file")
        if not self.form.sample_rate:
            raise Refused("sample_rate_hertz: say the rate, or send a WAV file")
        self._begin()

    def _believe(self, header: WavHeader) -> None:
        encoding = _BY_WAV_FORMAT.get((header.format, header.bits))
        if encoding is None:
            raise Refused(f"audio: a WAV file of format {header.format} with {header.bits} bits is not taken")
        if header.channels != 1:
            raise Refused(f"audio_channel_count: the WAV file has {header.channels} channels; send one")
        if self.form.encoding not in (UNSPECIFIED, encoding):
            raise Refused("encoding: the header of the WAV file says another one")
        if self.form.sample_rate not in (0, header.sample_rate):
            raise Refused(f"sample_rate_hertz: the header of the WAV file says {header.sample_rate}")
        if not header.sample_rate:
            raise Refused("sample_rate_hertz: the header of the WAV file says 0")
        self.form = replace(self.form, encoding=encoding, sample_rate=header.sample_rate)
        self._octets = self._octets[header.begins :]
        self._left = header.size
        self._begin()

    def _begin(self) -> None:
        self.settled = True
        if self.form.sample_rate != self.form.frame_rate:
            self._resampler = Resampler(self.form.sample_rate, self.form.frame_rate)

    def _decoded(self) -> Pcm:
        """Samples of the waiting octets, but for a last half; what follows the sound in a file is none."""
        data = self._octets if self._left is None else self._octets[: self._left]
        size = 2 if self.form.encoding == LINEAR else 1
        whole = len(data) // size * size
        self._octets = self._octets[whole:] if whole < len(data) or self._left is None else b""
        if self._left is not None:
            self._left -= whole
        if self.form.encoding == LINEAR:
            return np.frombuffer(data[:whole], np.dtype("<i2")).astype(np.int16, copy=False)
        table = g711.ULAW if self.form.encoding == ULAW else g711.ALAW
        return table[np.frombuffer(data[:whole], np.uint8)]

    def _resampled(self, pcm: Pcm, *, last: bool) -> Pcm:
        if self._resampler is None:
            return pcm
        pcm = self._resampler.push(pcm)
        return np.concatenate([pcm, self._resampler.flush()]) if last else pcm

    def _frames(self, pcm: Pcm, arrived: float) -> list[AudioFrame]:
        rate = self.form.frame_rate
        hop = frame_samples(rate)
        waiting = np.concatenate([self._samples, pcm]) if len(self._samples) else pcm
        whole = len(waiting) // hop * hop
        frames = [
            AudioFrame(waiting[place : place + hop], rate, self._pts + place, arrived)
            for place in range(0, whole, hop)
        ]
        self._samples = waiting[whole:]
        self._pts += whole
        return frames
