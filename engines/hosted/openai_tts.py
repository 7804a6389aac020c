"""OpenAI, or any server with its `/v1/audio/speech`, as a voice: raw samples as they are made."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TypeVar

import httpx
import numpy as np

from engines.base import EngineBusy, EngineFailed, EngineRefused, EngineTimeout, SpeechChunk, TtsOptions
from engines.hosted.http import Http
from engines.hosted.settings import HostedSettings, check_hosted, check_ranges
from engines.hosted.standing import Standing
from engines.traits import TtsTraits
from media.resample import Resampler

T = TypeVar("T")

_PATH = "/v1/audio/speech"
_OTHER_SOUND = (b"RIFF", b"OggS", b"ID3", b"fLaC", b"\xff\xfb", b"\xff\xf3")
"""How files begin that hold no raw samples."""
_SHORTEST = 0.02
"""Seconds that are gathered into one chunk at least."""
_LONGEST_TEXT = 4096
"""Characters of one request (the service's own limit)."""


@dataclass(frozen=True, slots=True)
class OpenAiTtsSettings(HostedSettings):
    """A voice behind OpenAI's speech; also Speaches, vLLM, LocalAI, Kokoro servers and the like."""

    url: str = "https://api.openai.com"
    """Without `/v1/audio/speech`."""
    model: str = "gpt-4o-mini-tts"
    """As the service names it."""
    voice: str = "alloy"
    """For calls that name none."""
    instructions: str = ""
    """How to speak, for models that take advice; empty: none is sent."""
    sample_rate: int = 24000
    """8000 to 48000: of the samples that the service gives for the format `pcm`."""
    max_passages: int = 32
    """1 to 1000: passages spoken at once by this process; keep it below what your account allows."""
    first_seconds: float = 3.0
    """0.05 to 60: from the text to the first sound; then the service counts as failed."""
    gap_seconds: float = 2.0
    """0.05 to 60: from one piece of sound to the next; then the service counts as failed."""
    longest_seconds: float = 600.0
    """1 to 3600: of one passage's speech; a service that gives more has failed."""

    def __post_init__(self) -> None:
        check_hosted(self, ("http", "https"))
        check_ranges(self, {
            "sample_rate": (8000, 48000), "max_passages": (1, 1000), "first_seconds": (0.05, 60),
            "gap_seconds": (0.05, 60), "longest_seconds": (1, 3600),
        })  # fmt: skip
        for name in ("model", "voice"):
            if not getattr(self, name):
                raise ValueError(f"{name}: is missing; give one of the service's")


class OpenAiTts:
    """Serves `Tts`. Belongs to the loop that first uses it."""

    name = "openai"

    def __init__(self, settings: OpenAiTtsSettings) -> None:
        self._settings = settings
        self._standing = Standing(self.name, settings.hold_off_seconds)
        self._http = Http(self.name, settings, self._standing, settings.max_passages)
        self._counts: Counter[str] = Counter()
        self._running = 0
        self.traits = TtsTraits(word_times=False)
        self.data = settings.data
        """Where the text goes: `node`, `site` or `cloud`."""

    @property
    def voices(self) -> tuple[str, ...]:
        """The configured one; the service takes any of its own."""
        return (self._settings.voice,)

    @property
    def down(self) -> str:
        """Why the service is known not to serve, or ""."""
        return self._standing.down

    async def warm_up(self) -> None:
        """Prove, by a word, that the service takes our key, model and voice. Raises `EngineError`."""
        async for _ in self.speak("Ready.", TtsOptions()):
            return
        raise EngineFailed(f"{self.name} gave no sound")

    def stats(self) -> dict[str, int | float]:
        """Counters since the start, passages being spoken, and whether the service is known not to serve."""
        return {**self._counts, "running": self._running, "down": int(bool(self.down))}

    async def aclose(self) -> None:
        """Close every connection. Idempotent."""
        await self._http.aclose()

    async def speak(self, text: str, options: TtsOptions) -> AsyncIterator[SpeechChunk]:
        """See `Tts.speak`: chunks as they come over the wire.

        Raises `EngineRefused`, `EngineBusy`, `EngineTimeout` or `EngineFailed`.
        """
        settings = self._settings
        if not text.strip():
            return
        if not 8000 <= options.sample_rate <= 48000:
            raise EngineRefused(f"sample rate {options.sample_rate} is out of range: 8000 to 48000")
        if not 0.5 <= options.speed <= 2.0:
            raise EngineRefused(f"speed {options.speed} is out of range: choose 0.5 to 2.0")
        if len(text) > _LONGEST_TEXT:
            raise EngineRefused(f"the text is longer than {_LONGEST_TEXT} characters")
        if self._running >= settings.max_passages:
            raise EngineBusy(f"all {settings.max_passages} passages are in use")
        self._standing.check()
        self._counts["passages"] += 1
        self._running += 1
        resampler = Resampler(settings.sample_rate, options.sample_rate)
        try:
            async with self._http.request("POST", _PATH, settings.first_seconds,
                                          json=self._request(text, options)) as answer:  # fmt: skip
                async for octets in self._samples(answer):
                    pcm = resampler.push(np.frombuffer(octets, np.dtype("<i2")).astype(np.int16, copy=False))
                    if len(pcm):
                        yield SpeechChunk(pcm)
            if len(rest := resampler.flush()):
                yield SpeechChunk(rest)
        finally:
            self._running -= 1

    async def _samples(self, answer: httpx.Response) -> AsyncIterator[bytes]:
        """Whole samples, some tens of milliseconds at a time."""
        settings = self._settings
        kind = answer.headers.get("content-type", "")
        if kind.startswith(("application/json", "text/", "audio/mpeg", "audio/wav", "audio/x-wav")):
            raise EngineFailed(f"{self.name} answered with {kind[:40]} where raw samples were asked for")
        rate, first = settings.sample_rate, True
        gathered, left = b"", settings.longest_seconds * rate
        patience, pieces = settings.first_seconds, aiter(answer.aiter_bytes())
        while (piece := await self._next(pieces, patience)) is not None:
            gathered += piece
            if first and len(gathered) >= 4 and gathered.startswith(_OTHER_SOUND):
                raise EngineFailed(f"{self.name} sent a sound file where raw samples were asked for")
            if len(gathered) < _SHORTEST * rate * 2:
                continue
            whole = len(gathered) // 2 * 2
            left -= whole // 2
            if left < 0:
                raise EngineFailed(f"more than {settings.longest_seconds:g} s of speech")
            yield gathered[:whole]
            gathered, first, patience = gathered[whole:], False, settings.gap_seconds
        if len(gathered) % 2:
            raise EngineFailed(f"{self.name}: the speech ended within a sample")
        if gathered:
            yield gathered
        elif first:
            raise EngineFailed(f"{self.name} gave no sound")

    async def _next(self, pieces: AsyncIterator[bytes], seconds: float) -> bytes | None:
        try:
            async with asyncio.timeout(seconds):
                return await anext(pieces, None)
        except TimeoutError:
            self._counts["late"] += 1
            raise EngineTimeout(f"{self.name}: no sound within {seconds:g} s") from None

    def _request(self, text: str, options: TtsOptions) -> dict[str, object]:
        settings = self._settings
        request: dict[str, object] = {
            "model": settings.model,
            "input": text,
            "voice": options.voice or settings.voice,
            "response_format": "pcm",
        }
        if options.speed != 1.0:
            request["speed"] = options.speed
        if settings.instructions:
            request["instructions"] = settings.instructions
        return request
