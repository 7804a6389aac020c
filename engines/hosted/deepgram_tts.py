"""Deepgram, or any server that speaks its WebSocket `/v1/speak`, as a voice.

A connection serves one passage after another; while nobody speaks a few are kept open, so that the next one
does not wait for a handshake. One whose passage was cut short is thrown away: what it still has to say is
stale.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from engines.base import EngineBusy, EngineFailed, EngineRefused, EngineTimeout, SpeechChunk, TtsOptions
from engines.hosted.deepgram import CLOSE, FLUSH, Notice, address, headers, read, speak
from engines.hosted.settings import HostedSettings, check_hosted, check_ranges
from engines.hosted.socket import error_of_close, opened, shut
from engines.hosted.standing import Standing
from engines.traits import TtsTraits
from media.clock import now
from media.resample import Resampler

_NATIVE = (8000, 16000, 24000, 32000, 48000)
"""Rates at which the service gives linear samples."""
_PIECE = 1900
"""Characters of one `Speak`; the service takes 2000."""
_IDLE_SECONDS = 45.0
"""A connection unused for so long is closed; services hang up on silent ones."""
_CUT = re.compile(r"(?<=[.!?;,])\s+|\s+")


@dataclass(frozen=True, slots=True)
class DeepgramTtsSettings(HostedSettings):
    """A voice behind Deepgram's streaming protocol."""

    url: str = "wss://api.deepgram.com"
    """`wss://...`, or `ws://...` for a server of your own, without `/v1/speak`."""
    voice: str = "aura-2-thalia-en"
    """The service's model, for calls that name no voice; there each voice is a model of its own."""
    training_opt_out: bool = True
    """Ask the service not to learn from what it speaks (`mip_opt_out`)."""
    max_passages: int = 50
    """1 to 10,000: passages spoken at once by this process; keep it below what your account allows."""
    spare_connections: int = 4
    """0 to 100: connections kept open while nobody speaks."""
    first_seconds: float = 2.0
    """0.05 to 60: from the text to the first sound; then the service counts as failed."""
    gap_seconds: float = 2.0
    """0.05 to 60: from one piece of sound to the next; then the service counts as failed."""
    longest_seconds: float = 600.0
    """1 to 3600: of one passage's speech; a service that gives more has failed."""

    def __post_init__(self) -> None:
        check_hosted(self, ("ws", "wss", "http", "https"))
        check_ranges(self, {
            "max_passages": (1, 10_000), "spare_connections": (0, 100), "first_seconds": (0.05, 60),
            "gap_seconds": (0.05, 60), "longest_seconds": (1, 3600),
        })  # fmt: skip
        if not self.voice:
            raise ValueError("voice: is missing; give one of the service's models")


class DeepgramTts:
    """Serves `Tts`. Belongs to the loop that first uses it."""

    name = "deepgram"

    def __init__(self, settings: DeepgramTtsSettings) -> None:
        self._settings = settings
        self._standing = Standing(self.name, settings.hold_off_seconds)
        self._counts: Counter[str] = Counter()
        self._running = 0
        self._spare: list[tuple[str, float, ClientConnection]] = []
        self._closed = False
        self.traits = TtsTraits(word_times=False)
        self.data = settings.data
        """Where the text goes: `node`, `site` or `cloud`."""

    @property
    def voices(self) -> tuple[str, ...]:
        """The configured one; the service takes any of its models."""
        return (self._settings.voice,)

    @property
    def down(self) -> str:
        """Why the service is known not to serve, or ""."""
        return self._standing.down

    async def warm_up(self) -> None:
        """Prove that the service is there and takes our key and voice. Raises `EngineError`."""
        url = self._url(TtsOptions())
        self._keep(url, await self._connection(url))

    def stats(self) -> dict[str, int | float]:
        """Counters since the start, passages being spoken, and whether the service is known not to serve."""
        return {
            **self._counts,
            "running": self._running,
            "spare": len(self._spare),
            "down": int(bool(self.down)),
        }

    async def aclose(self) -> None:
        """Close every connection. Idempotent."""
        self._closed = True
        spare, self._spare = self._spare, []
        await asyncio.gather(*(_farewell(connection) for _, _, connection in spare))

    async def speak(self, text: str, options: TtsOptions) -> AsyncIterator[SpeechChunk]:
        """See `Tts.speak`: chunks as they come over the wire.

        Raises `EngineRefused`, `EngineBusy`, `EngineTimeout` or `EngineFailed`.
        """
        if not text.strip():
            return
        if not 0.5 <= options.speed <= 2.0:
            raise EngineRefused(f"speed {options.speed} is out of range: choose 0.5 to 2.0")
        rate, url = _rate(options), self._url(options)
        if self._running >= self._settings.max_passages:
            raise EngineBusy(f"all {self._settings.max_passages} passages are in use")
        self._standing.check()
        self._counts["passages"] += 1
        self._running += 1
        connection, whole = None, False
        resampler = Resampler(rate, options.sample_rate)
        try:
            connection = await self._connection(url)
            async for octets in self._spoken(connection, text, rate):
                pcm = resampler.push(np.frombuffer(octets, np.dtype("<i2")).astype(np.int16, copy=False))
                if len(pcm):
                    yield SpeechChunk(pcm)
            whole = True
            if len(rest := resampler.flush()):
                yield SpeechChunk(rest)
        finally:
            self._running -= 1
            if connection is not None:
                if whole:
                    self._keep(url, connection)
                else:
                    connection.transport.abort()

    async def _spoken(self, connection: ClientConnection, text: str, rate: int) -> AsyncIterator[bytes]:
        """Whole samples until the service says that all was spoken."""
        settings = self._settings
        half, left, patience = b"", settings.longest_seconds * rate, settings.first_seconds
        try:
            for piece in pieces(text):
                await connection.send(speak(piece))
            await connection.send(FLUSH)
            while True:
                message = await self._next(connection, patience)
                if isinstance(message, str):
                    if self._flushed(message):
                        break
                    continue
                octets = half + message
                whole = len(octets) // 2 * 2
                half = octets[whole:]
                left -= whole // 2
                if left < 0:
                    raise EngineFailed(f"more than {settings.longest_seconds:g} s of speech")
                if whole:
                    patience = settings.gap_seconds
                    yield octets[:whole]
        except ConnectionClosed as closed:
            self._counts["failed"] += 1
            raise error_of_close(self.name, closed) from None
        if half:
            raise EngineFailed(f"{self.name}: the speech ended within a sample")

    async def _next(self, connection: ClientConnection, seconds: float) -> str | bytes:
        try:
            async with asyncio.timeout(seconds):
                return await connection.recv()
        except TimeoutError:
            self._counts["late"] += 1
            raise EngineTimeout(f"{self.name}: no sound within {seconds:g} s") from None

    def _flushed(self, message: str) -> bool:
        told = read(message)
        if not isinstance(told, Notice):
            raise EngineFailed(f"{self.name} sent what is no message")
        if told.kind == "Error":
            raise EngineFailed(f"{self.name}: {told.detail}")
        self._counts["warnings"] += told.kind == "Warning"
        return told.kind == "Flushed"

    async def _connection(self, url: str) -> ClientConnection:
        """A spare one that lives, or a new one. Raises `EngineError`."""
        self._weed()
        for kept in reversed(self._spare):
            if kept[0] == url:
                self._spare.remove(kept)
                return kept[2]
        self._counts["connections"] += 1
        settings = self._settings
        return await opened(self.name, url, headers(settings.api_key), settings, self._standing)

    def _keep(self, url: str, connection: ClientConnection) -> None:
        self._weed()
        if self._closed or len(self._spare) >= self._settings.spare_connections:
            connection.transport.abort()
        else:
            self._spare.append((url, now(), connection))

    def _weed(self) -> None:
        """Connections that are closed or have been unused too long go."""
        kept = []
        for url, since, connection in self._spare:
            if connection.close_code is None and now() - since < _IDLE_SECONDS:
                kept.append((url, since, connection))
            else:
                connection.transport.abort()
        self._spare = kept

    def _url(self, options: TtsOptions) -> str:
        settings = self._settings
        query = [
            ("model", options.voice or settings.voice),
            ("encoding", "linear16"),
            ("sample_rate", str(_rate(options))),
        ]
        if options.speed != 1.0:
            query.append(("speed", f"{options.speed:g}"))
        if settings.training_opt_out:
            query.append(("mip_opt_out", "true"))
        return address(settings.url, "/v1/speak", query)


def pieces(text: str) -> list[str]:
    """The text in pieces that the service takes, cut at blanks; a word without end is cut anywhere."""
    found, piece = [], ""
    for word in _CUT.split(text.strip()):
        while len(word) > _PIECE:
            found.extend([piece, word[:_PIECE]] if piece else [word[:_PIECE]])
            piece, word = "", word[_PIECE:]
        if piece and len(piece) + 1 + len(word) > _PIECE:
            found.append(piece)
            piece = word
        else:
            piece = f"{piece} {word}".strip()
    return [*found, piece] if piece else found


def _rate(options: TtsOptions) -> int:
    """The rate asked of the service: the leg's own, or the next one it has."""
    if not 8000 <= options.sample_rate <= 48000:
        raise EngineRefused(f"sample rate {options.sample_rate} is out of range: 8000 to 48000")
    return next(rate for rate in _NATIVE if rate >= options.sample_rate)


async def _farewell(connection: ClientConnection) -> None:
    try:
        async with asyncio.timeout(0.5):
            await connection.send(CLOSE)
    except (TimeoutError, ConnectionClosed):
        pass
    await shut(connection)
