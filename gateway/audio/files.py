"""Everything around audio files in one hand: where they lie, who decodes them, who fetches them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from pathlib import Path

from gateway.audio.decode import DecodedAudio, Decoders
from gateway.audio.decoder_wire import DecodeAsk
from gateway.audio.fetch import fetch
from gateway.audio.multipart import Form, read_form
from gateway.audio.outbound import Outbound
from gateway.audio.settings import AudioSettings
from gateway.audio.spool import Spool, fill, open_spool


class AudioFiles:
    """One per node; costs nothing until it is used. Belongs to one event loop."""

    def __init__(self, settings: AudioSettings | None = None) -> None:
        self.settings = settings or AudioSettings()
        self._decoders = Decoders(self.settings)

    @cached_property
    def outbound(self) -> Outbound:
        """Sends requests to addresses that clients name."""
        return Outbound(self.settings.fetch)

    def spool(self) -> AbstractAsyncContextManager[Spool]:
        """An empty file that is gone after the `with`."""
        return open_spool(self.settings)

    async def take(self, body: AsyncIterator[bytes], spool: Spool) -> None:
        """A request's whole body is the file. Raises `BodyTooLarge`, `ClientSilent`."""
        await fill(spool, body, self.settings)

    async def take_form(
        self, body: AsyncIterator[bytes], content_type: str, spool: Spool, *names: str
    ) -> Form:
        """The body is a form with a file of one of these names. Raises as `read_form` does."""
        return await read_form(body, content_type, spool, self.settings, files=names)

    async def take_url(self, url: str, spool: Spool) -> None:
        """The file lies elsewhere. Raises `FetchRefused`, `FetchFailed`, `BodyTooLarge`."""
        await fetch(self.outbound, url, spool, self.settings)

    def decoded(self, path: Path, ask: DecodeAsk) -> AbstractAsyncContextManager[DecodedAudio]:
        """The file's sound. Raises as `Decoders.open` does."""
        return self._decoders.open(path, ask)

    def stats(self) -> dict[str, float]:
        """Files by how they ended."""
        return self._decoders.stats()

    async def aclose(self) -> None:
        """End the decoders. Idempotent."""
        await self._decoders.aclose()
