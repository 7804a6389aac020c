"""A sound by its address or path, block by block, for whoever plays it in a call."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

from gateway.audio.decoder_wire import DecodeAsk
from gateway.audio.files import AudioFiles
from media.frame import Pcm


class SoundFiles:
    """Opens sounds; those of web addresses are fetched within the limits of `audio`."""

    def __init__(self, files: AudioFiles) -> None:
        self._files = files

    async def sound(self, source: str, sample_rate: int) -> AsyncGenerator[Pcm, None]:
        """Its blocks, mixed to one channel. `source`: http:// or https://, or a path of this machine.

        Raises `FetchRefused`, `FetchFailed`, `DecodersBusy`, `RequestUnfit`, `OSError`.
        """
        ask = DecodeAsk(sample_rate)
        if not source.startswith(("http://", "https://")):
            async for block in self._blocks(Path(source), ask):
                yield block
            return
        async with self._files.spool() as spool:
            await self._files.take_url(source, spool)
            async for block in self._blocks(spool.path, ask):
                yield block

    async def _blocks(self, path: Path, ask: DecodeAsk) -> AsyncGenerator[Pcm, None]:
        async with self._files.decoded(path, ask) as audio:
            async for block in audio:
                yield block
