"""A file on disk while it is needed: what clients send or name is never held in memory."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from gateway.audio.settings import AudioSettings
from gateway.errors import BodyTooLarge, ClientSilent

_PIECE = 1 << 20
"""Octets gathered before a thread writes them."""


class Spool:
    """One file: written in order, then read by its path. Made by `open_spool`, which removes it again."""

    def __init__(self, handle: int, path: Path, most_octets: int) -> None:
        self.path = path
        self.size = 0
        """Octets taken so far."""
        self._file = open(handle, "wb", buffering=0)
        self._most = most_octets
        self._waiting = bytearray()
        self._hash = hashlib.sha256()
        self._kept = False

    async def write(self, octets: bytes) -> None:
        """Take the next octets. Raises `BodyTooLarge` beyond the limit, before anything more is kept."""
        self.size += len(octets)
        if self.size > self._most:
            raise too_large(self._most)
        self._waiting += octets
        if len(self._waiting) >= _PIECE:
            await self._flush()

    async def close(self) -> None:
        """All is written: the file is whole."""
        await self._flush()
        self._file.close()

    @property
    def sha256(self) -> str:
        """Of the whole file, once it is closed."""
        return self._hash.hexdigest()

    def keep(self) -> None:
        """The file is somebody else's now, who removes it."""
        self._kept = True

    def discard(self) -> None:
        """Remove the file, unless it is kept. Idempotent."""
        self._file.close()
        if self._kept:
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    async def _flush(self) -> None:
        piece, self._waiting = self._waiting, bytearray()
        if piece:
            await asyncio.to_thread(self._put, bytes(piece))

    def _put(self, piece: bytes) -> None:
        rest = memoryview(piece)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._hash.update(piece)


@contextlib.asynccontextmanager
async def open_spool(settings: AudioSettings) -> AsyncIterator[Spool]:
    """An empty file that is gone after the `with`, readable by this user alone."""
    folder = settings.spool_dir or None
    handle, name = await asyncio.to_thread(tempfile.mkstemp, ".audio", "offhook-", folder)
    spool = Spool(handle, Path(name), settings.max_octets)
    try:
        yield spool
    finally:
        spool.discard()


async def fill(spool: Spool, body: AsyncIterator[bytes], settings: AudioSettings) -> None:
    """Write a request's body into the spool and close it.

    Raises `BodyTooLarge`, and `ClientSilent` when nothing comes for `upload_stall_seconds`.
    """
    async for octets in unstalled(body, settings.upload_stall_seconds):
        await spool.write(octets)
    await spool.close()


async def unstalled(body: AsyncIterator[bytes], seconds: float) -> AsyncIterator[bytes]:
    """The same octets. Raises `ClientSilent` when none come for so long."""
    while True:
        try:
            async with asyncio.timeout(seconds):
                octets = await anext(body)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise ClientSilent(f"nothing more of the body came for {seconds:g} s") from None
        yield octets


def too_large(most_octets: int) -> BodyTooLarge:
    """The refusal of a body with more octets than that."""
    return BodyTooLarge(f"the audio is larger than {most_octets / 1e6:g} MB", most_bytes=most_octets)
