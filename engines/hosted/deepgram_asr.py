"""Deepgram, or any server that speaks its `/v1/listen`, as a recogniser: one WebSocket per call."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import WebSocketException

from engines.base import AsrOptions, EngineBusy, EngineFailed, EngineRefused
from engines.hosted.deepgram import CLOSE_STREAM, address, headers
from engines.hosted.deepgram_stream import DeepgramStream, Patience
from engines.hosted.settings import HostedSettings, check_hosted, check_ranges
from engines.hosted.socket import opened, shut
from engines.hosted.standing import Standing
from engines.traits import AsrTraits

_RATES = range(8000, 48001)
_WARM_RATE = 8000


@dataclass(frozen=True, slots=True)
class DeepgramAsrSettings(HostedSettings):
    """A recogniser behind Deepgram's streaming protocol."""

    url: str = "wss://api.deepgram.com"
    """`wss://...`, or `ws://...` for a server of your own, without `/v1/listen`."""
    model: str = "nova-3"
    """As the service names it."""
    language: str = ""
    """Sent in place of the call's language, such as `multi`; empty: the call's."""
    encoding: Literal["linear16", "mulaw"] = "linear16"
    """How sound is sent; `mulaw` halves the traffic, without loss where the trunk speaks it too."""
    smart_format: bool = True
    """Ask for punctuation, capitals and numbers as figures."""
    hot_words: Literal["keyterm", "keywords", "off"] = "keyterm"
    """How a call's hot words are sent: newer models take `keyterm`, older ones `keywords` with a boost."""
    training_opt_out: bool = True
    """Ask the service not to learn from what it hears (`mip_opt_out`)."""
    max_streams: int = 100
    """1 to 100,000: streams open at once from this process; keep it below what your account allows."""
    first_seconds: float = 4.0
    """0 (never) or 0.1 to 60: from speech to the first answer; then the service counts as failed."""
    final_seconds: float = 1.5
    """0.05 to 60: from the end of a segment to its final; then the service counts as failed."""
    unsent_seconds: float = 30.0
    """1 to 600: sound that waits for the connection; then the service counts as failed."""
    keep_alive_seconds: float = 4.0
    """0.05 to 9: between two signs of life while nobody speaks; the service hangs up after 10 s."""

    def __post_init__(self) -> None:
        check_hosted(self, ("ws", "wss", "http", "https"))
        check_ranges(self, {
            "max_streams": (1, 100_000), "final_seconds": (0.05, 60), "unsent_seconds": (1, 600),
            "keep_alive_seconds": (0.05, 9),
        })  # fmt: skip
        if self.first_seconds and not 0.1 <= self.first_seconds <= 60:
            raise ValueError("first_seconds: give 0 for never, or 0.1 to 60")
        if not self.model:
            raise ValueError("model: is missing; give one of the service's models")


class DeepgramAsr:
    """Serves `Asr`. Belongs to the loop that first uses it."""

    name = "deepgram"

    def __init__(self, settings: DeepgramAsrSettings) -> None:
        self._settings = settings
        self._standing = Standing(self.name, settings.hold_off_seconds)
        self._counts: Counter[str] = Counter()
        self._streams: set[DeepgramStream] = set()
        self.traits = AsrTraits(
            languages=(settings.language or "en-US",),
            word_times=True,
            hot_words=settings.hot_words != "off",
            punctuation=settings.smart_format,
        )
        self.data = settings.data
        """Where the sound goes: `node`, `site` or `cloud`."""

    @property
    def down(self) -> str:
        """Why the service is known not to serve, or ""."""
        return self._standing.down

    def stream(self, options: AsrOptions) -> DeepgramStream:
        """See `Asr.stream`. Raises what the service last said while it is known not to serve."""
        settings = self._settings
        if options.sample_rate not in _RATES:
            raise EngineRefused(f"sample rate {options.sample_rate} is out of range: 8000 to 48000")
        if options.hot_words and settings.hot_words == "off":
            raise EngineRefused("hot words: are switched off for this service (hot_words: off)")
        if len(self._streams) >= settings.max_streams:
            raise EngineBusy(f"all {settings.max_streams} streams are in use")
        self._standing.check()
        stream = DeepgramStream(
            options,
            connect=lambda: self._connect(options),
            mulaw=settings.encoding == "mulaw",
            patience=Patience(
                settings.first_seconds, settings.final_seconds, settings.unsent_seconds,
                settings.keep_alive_seconds, settings.hold_off_seconds,
            ),
            counts=self._counts,
            forget=self._streams.discard,
        )  # fmt: skip
        self._streams.add(stream)
        self._counts["streams_opened"] += 1
        return stream

    async def warm_up(self) -> None:
        """Prove that the service is there and takes our key and model. Raises `EngineError`."""
        connection = await self._connect(AsrOptions(sample_rate=_WARM_RATE))
        try:
            await connection.send(CLOSE_STREAM)
        except WebSocketException:
            raise EngineFailed(f"{self.name}: the connection broke at once") from None
        finally:
            await shut(connection)

    def stats(self) -> dict[str, int | float]:
        """Counters since the start, streams open, and whether the service is known not to serve."""
        return {**self._counts, "streams": len(self._streams), "down": int(bool(self.down))}

    async def aclose(self) -> None:
        """Close every stream. Idempotent."""
        for stream in list(self._streams):
            await stream.aclose()

    async def _connect(self, options: AsrOptions) -> ClientConnection:
        self._counts["connections"] += 1
        settings = self._settings
        url = address(settings.url, "/v1/listen", self._query(options))
        return await opened(self.name, url, headers(settings.api_key), settings, self._standing)

    def _query(self, options: AsrOptions) -> list[tuple[str, str]]:
        settings = self._settings
        query = [
            ("model", settings.model),
            ("language", settings.language or options.language),
            ("encoding", settings.encoding),
            ("sample_rate", str(options.sample_rate)),
            ("channels", "1"),
            # Always: they are the only sign of progress while somebody speaks.
            ("interim_results", "true"),
            # Where segments end is the gateway's business.
            ("endpointing", "false"),
            ("smart_format", str(settings.smart_format).lower()),
            ("punctuate", str(settings.smart_format).lower()),
        ]
        if settings.training_opt_out:
            query.append(("mip_opt_out", "true"))
        if settings.hot_words == "keyterm":
            query.extend(("keyterm", word) for word in options.hot_words)
        elif options.hot_words:
            boosts = options.boosts or (0.0,) * len(options.hot_words)
            for word, boost in zip(options.hot_words, boosts, strict=True):
                query.append(("keywords", f"{word}:{boost:g}" if boost else word))
        return query
