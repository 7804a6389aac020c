"""A WAV file of a live stream, as it grows."""

from __future__ import annotations

import numpy as np

from gateway.api.core.audio_in import AudioForm, Encoding, PlainDecoder
from gateway.errors import AudioUnfit, RequestUnfit
from media.frame import Pcm
from media.resample import Resampler
from media.wav_header import BadHeader, read_header

_KINDS = {
    (1, 16): Encoding.LINEAR16, (3, 32): Encoding.LINEAR32, (6, 8): Encoding.ALAW, (7, 8): Encoding.MULAW,
}  # fmt: skip


class WavDecoder:
    """Serves `Decoder`. Its samples have the form's frame rate, whatever the header says."""

    def __init__(self, form: AudioForm) -> None:
        self._rate = form.frame_rate
        self._head = b""
        self._left: int | None = None
        self._plain: PlainDecoder | None = None
        self._resampler: Resampler | None = None

    async def push(self, data: bytes) -> Pcm:
        """See `Decoder.push`."""
        if self._plain is None:
            self._head += data
            begun = self._begun()
            if begun is None:
                return np.zeros(0, np.int16)
            self._plain, data = begun
        if self._left is not None:  # what follows the sound in a file is none
            data = data[: self._left]
            self._left -= len(data)
        pcm = await self._plain.push(data)
        return self._resampler.push(pcm) if self._resampler else pcm

    async def flush(self) -> Pcm:
        """See `Decoder.flush`."""
        if self._plain is None:
            raise AudioUnfit("the sound ends within the header of a WAV file")
        pcm = await self._plain.flush()
        if self._resampler is None:
            return pcm
        return np.concatenate([self._resampler.push(pcm), self._resampler.flush()])

    def close(self) -> None:
        """See `Decoder.close`."""

    def _begun(self) -> tuple[PlainDecoder, bytes] | None:
        """Once the header is whole: the decoder of what follows it, and the octets that do already."""
        try:
            header = read_header(self._head)
        except BadHeader as error:
            raise AudioUnfit(str(error)) from None
        if header is None:
            return None
        encoding = _KINDS.get((header.format, header.bits))
        if encoding is None:
            raise AudioUnfit(f"a WAV file of format {header.format} with {header.bits} bits is not taken")
        try:
            form = AudioForm(encoding, header.sample_rate, header.channels)
        except RequestUnfit as error:
            raise AudioUnfit(f"the header of the WAV file: {error}") from None
        if form.frame_rate != self._rate:
            self._resampler = Resampler(form.frame_rate, self._rate)
        self._left = header.size
        return PlainDecoder(form), self._head[header.begins :]
