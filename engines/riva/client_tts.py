"""A Riva server as a voice: `Tts` over one connection that carries every call."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from engines.base import EngineFailed, EngineRefused, EngineTimeout, SpeechChunk, TtsOptions, Word
from engines.riva.client_link import Link, LinkSettings, good
from engines.riva.dialect import AHEAD, DIALECT, SPEED, VERSION
from engines.riva.wire import Message, audio_pb2, grpc, tts_grpc, tts_pb2

_RATES = range(8000, 48001)


@dataclass(frozen=True, slots=True)
class RivaTtsSettings(LinkSettings):
    """A voice behind Riva's gRPC: an Offhook worker, a Riva server or a NIM."""

    address: str = "127.0.0.1:8876"
    """`host:port`; 8876 is the port of `offhook tts`."""
    voice: str = ""
    """Name of the server's voice, for calls that name none; empty: the server chooses."""
    language: str = ""
    """Sent in place of the call's language; empty: the call's."""
    word_times: bool = True
    """Ask for the times of words; servers that have none are asked without."""
    first_seconds: float = 2.0
    """0.05 to 60: from the text to the first sound; then the server counts as failed."""
    gap_seconds: float = 2.0
    """0.05 to 60: from one piece of sound to the next; then the server counts as failed."""
    longest_seconds: float = 600.0
    """1 to 3600: of one passage's speech; a server that gives more has failed."""

    def __post_init__(self) -> None:
        LinkSettings.__post_init__(self)
        ranges: dict[str, tuple[float, float]] = {
            "first_seconds": (0.05, 60), "gap_seconds": (0.05, 60), "longest_seconds": (1, 3600),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: give {low:g} to {high:g} seconds")


@dataclass(frozen=True, slots=True)
class _Far:
    """What the server told of itself."""

    ours: bool
    voices: tuple[str, ...]


class RivaTts:
    """Serves `Tts`. Belongs to the loop that first uses it."""

    name = "riva"

    def __init__(self, settings: RivaTtsSettings) -> None:
        self._settings = settings
        self._link = Link(settings)
        self._far: asyncio.Task[_Far] | None = None
        self._told_at = 0
        self._voices: tuple[str, ...] = (settings.voice,) if settings.voice else ()
        self._words = settings.word_times
        self._counts: Counter[str] = Counter()

    @property
    def voices(self) -> tuple[str, ...]:
        """What the server offers, once `warm_up` has asked; the configured one first."""
        return self._voices

    @property
    def down(self) -> str:
        """Why the server is known not to serve, or ""."""
        return self._link.down

    async def warm_up(self) -> None:
        """Wait for the server and learn its voices. Raises `EngineError` when it does not come up."""
        await self._ask(self._settings.start_seconds)

    def stats(self) -> dict[str, int | float]:
        """Counters since the start, and whether the server is known to be down."""
        return {**self._counts, "down": int(bool(self._link.down))}

    async def aclose(self) -> None:
        """Close the connection; running speech ends. Idempotent."""
        if self._far is not None:
            self._far.cancel()
            await asyncio.gather(self._far, return_exceptions=True)
        await self._link.aclose()

    async def speak(self, text: str, options: TtsOptions) -> AsyncIterator[SpeechChunk]:
        """See `Tts.speak`: chunks as they come over the wire.

        Raises `EngineRefused`, `EngineBusy`, `EngineTimeout` or `EngineFailed`.
        """
        if not text.strip():
            return
        if options.sample_rate not in _RATES:
            raise EngineRefused(f"sample rate {options.sample_rate} is out of range: 8000 to 48000")
        if not 0.5 <= options.speed <= 2.0:
            raise EngineRefused(f"speed {options.speed} is out of range: choose 0.5 to 2.0")
        self._link.check()
        far = await self._ask(self._settings.connect_seconds)
        self._counts["passages"] += 1
        try:
            async for chunk in self._received(text, options, far):
                yield chunk
        except EngineRefused as refused:
            if not (self._words and "enable_word_time_offsets" in str(refused)):
                self._counts["failed"] += 1
                raise
            self._words = False
            async for chunk in self._received(text, options, far):
                yield chunk

    async def _received(self, text: str, options: TtsOptions, far: _Far) -> AsyncIterator[SpeechChunk]:
        stub = tts_grpc.RivaSpeechSynthesisStub(self._link.check())
        call = stub.SynthesizeOnline(metadata=self._link.metadata)
        half, left = b"", self._settings.longest_seconds * options.sample_rate
        patience = self._settings.first_seconds
        try:
            await self._in_time(_asked(call, self._request(text, options, far)), patience)
            while (answer := await self._in_time(call.read(), patience)) is not grpc.aio.EOF:
                if answer is None:  # gRPC's way to say that it could not be read
                    raise EngineFailed("the server sent what is no message")
                octets = half + answer.audio
                whole = len(octets) // 2 * 2
                half = octets[whole:]
                pcm = np.frombuffer(octets[:whole], np.dtype("<i2")).astype(np.int16, copy=False)
                left -= len(pcm)
                if left < 0:
                    raise EngineFailed(f"more than {self._settings.longest_seconds:g} s of speech")
                if len(pcm) or answer.meta.words:
                    yield SpeechChunk(pcm, _words(answer))
                    patience = self._settings.gap_seconds
            if half:
                raise EngineFailed("the speech ended within a sample")
        finally:
            call.cancel()

    async def _in_time(self, step: Any, seconds: float) -> Any:
        """The step's outcome. Raises `EngineError`, also for gRPC's own kinds of failure."""
        try:
            async with asyncio.timeout(seconds):
                return await step
        except TimeoutError:
            self._counts["late"] += 1
            raise EngineTimeout(f"{self._settings.address}: no sound within {seconds:g} s") from None
        except grpc.aio.AioRpcError as error:
            raise self._link.error(error.code(), error.details()) from None
        except asyncio.CancelledError:
            # gRPC raises this too, for a call that the server ended with the status CANCELLED
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            raise EngineFailed(f"{self._settings.address}: the server cancelled the call") from None

    def _request(self, text: str, options: TtsOptions, far: _Far) -> Message:
        settings = self._settings
        request = tts_pb2.SynthesizeSpeechRequest(
            text=text,
            language_code=settings.language or options.language,
            encoding=audio_pb2.LINEAR_PCM,
            sample_rate_hz=options.sample_rate,
            voice_name=options.voice or settings.voice,
            enable_word_time_offsets=self._words,
        )
        if far.ours:
            request.custom_configuration[SPEED] = f"{options.speed:g}"
            request.custom_configuration[AHEAD] = f"{min(max(options.ahead, 0.0), 3600.0):.3f}"
        elif options.speed != 1.0:
            rate = round(options.speed * 100)
            request.text = f'<speak><prosody rate="{rate}%">{escape(text)}</prosody></speak>'
        return request

    async def _ask(self, patience: float) -> _Far:
        """What the server says of itself; asked once, and again after a failure."""
        stale = self._told_at != self._link.falls
        if self._far is None or (self._far.done() and (stale or not good(self._far))):
            self._told_at = self._link.falls
            self._far = asyncio.get_running_loop().create_task(self._parameters(patience))
            self._far.add_done_callback(good)
        return await asyncio.shield(self._far)

    async def _parameters(self, patience: float) -> _Far:
        stub = tts_grpc.RivaSpeechSynthesisStub(self._link.open())
        request = tts_pb2.RivaSynthesisConfigRequest()
        try:
            answer = await self._link.ask(stub.GetRivaSynthesisConfig, request, patience)
        except EngineRefused:
            return _Far(ours=False, voices=self._voices)  # an older server: it serves, but does not tell
        told: list[Mapping[str, str]] = [dict(config.parameters) for config in answer.model_config]
        names = [name for parameters in told for name in _voice_names(parameters)]
        self._voices = tuple(dict.fromkeys([*self._voices, *names]))
        return _Far(any(parameters.get(DIALECT) == VERSION for parameters in told), self._voices)


async def _asked(call: Any, request: Message) -> None:
    try:
        await call.write(request)
        await call.done_writing()
    except asyncio.InvalidStateError:
        pass  # the call is over already; reading it tells why


def _words(answer: Message) -> tuple[Word, ...]:
    return tuple(
        Word(word.word, word.start_time / 1000, word.end_time / 1000, 1.0) for word in answer.meta.words
    )


def _voice_names(parameters: Mapping[str, str]) -> list[str]:
    """A server's voices: Riva lists speakers of one model as `name:number` in `subvoices`."""
    name = parameters.get("voice_name", "")
    speakers = [part.partition(":")[0].strip() for part in parameters.get("subvoices", "").split(",")]
    return [f"{name}.{speaker}" for speaker in speakers if speaker] or ([name] if name else [])
