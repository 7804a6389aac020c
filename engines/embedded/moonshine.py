"""The embedded recogniser: Moonshine tiny-en on CPU threads that all calls share."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from engines.base import AsrOptions, EngineBusy, EngineError, EngineFailed, EngineRefused
from engines.embedded.decode_pool import DecodePool, Outcome, Pool, PoolSettings, Priority
from engines.embedded.moonshine_ear import Ear, Heard, Stretch
from engines.embedded.moonshine_guard import GuardSettings
from engines.embedded.moonshine_interim import InterimSettings
from engines.embedded.moonshine_model import find_model
from engines.embedded.moonshine_segment import PieceSettings, Workshop
from engines.embedded.moonshine_stream import MoonshineStream
from engines.embedded.moonshine_tokens import HotWords
from engines.embedded.owed_load import OwedLoad
from engines.traits import AsrTraits

_RATES = (8000, 16000)
_WARM_UP_SECONDS = 3


@dataclass(frozen=True, slots=True)
class MoonshineSettings:
    """The embedded recogniser: how much it serves, and what it believes."""

    max_streams: int = 0
    """Calls at once, 1 to 4096; 0 takes `STREAMS_PER_THREAD` for each decode thread."""
    max_final_wait: float = 0.5
    """Seconds a final may have waited for a thread lately before new calls are refused, above 0."""
    max_busy: float = 0.85
    """Share of the decode threads' time, 0.1 to 1, that live speech may take with one stream more, as of the
    last 20 seconds; over it new calls are refused. 0: never."""
    hot_word_boost: float = 0.0
    """Logits added to words that a call expects, 0 (off) to 6; 3 finds more but invents some in noise."""
    pool: PoolSettings = field(default_factory=PoolSettings)
    """The decode threads."""
    interims: InterimSettings = field(default_factory=InterimSettings)
    """Words shown while the caller speaks."""
    pieces: PieceSettings = field(default_factory=PieceSettings)
    """How long turns are cut."""
    guard: GuardSettings = field(default_factory=GuardSettings)
    """When recognised words are believed."""

    def __post_init__(self) -> None:
        if not 0 <= self.max_streams <= 4096:
            raise ValueError(f"max_streams: give 1 to 4096, or 0 for {STREAMS_PER_THREAD} per thread")
        if self.max_final_wait <= 0.0:
            raise ValueError("max_final_wait: give seconds above 0")
        if self.max_busy and not 0.1 <= self.max_busy <= 1.0:
            raise ValueError("max_busy: give a share from 0.1 to 1, or 0 to refuse nobody for it")
        if not 0.0 <= self.hot_word_boost <= 6.0:
            raise ValueError("hot_word_boost: give 0 (off) to 6")

    @property
    def stream_limit(self) -> int:
        """Streams that are really admitted."""
        return self.max_streams or STREAMS_PER_THREAD * self.pool.thread_count


STREAMS_PER_THREAD = 32
"""Calls that one core serves with room to spare for RTP and the voice."""


class MoonshineAsr:
    """Serves `Asr`. One per process; streams belong to the loop that opened them."""

    def __init__(
        self, settings: MoonshineSettings, pool: Pool | None = None, load: OwedLoad | None = None
    ) -> None:
        """Find the model's files and start the threads; loads nothing yet.

        Raises ModuleNotFoundError when the package with the model is not installed.
        """
        self._settings = settings
        self._ear = Ear(find_model(), settings.guard)
        self._own_pool = None if pool else DecodePool(settings.pool, "moonshine")
        self._counts: Counter[str] = Counter()
        self._shop = Workshop(
            pool or self._threads(), self._ear, self._counts, settings.interims, settings.pieces
        )
        self._streams: set[MoonshineStream] = set()
        self._load = load or (self._own_pool.load() if self._own_pool else None)
        self._closed = False

    @property
    def name(self) -> str:
        return "moonshine"

    @property
    def traits(self) -> AsrTraits:
        """What requests may ask for."""
        return AsrTraits(hot_words=self._settings.hot_word_boost > 0)

    def stream(self, options: AsrOptions) -> MoonshineStream:
        """See `Asr.stream`. Serves English at 8 and 16 kHz."""
        self._check(options)
        if self._closed:
            raise EngineBusy("the recogniser is closed")
        if len(self._streams) >= self._settings.stream_limit:
            self._counts["streams_refused_full"] += 1
            raise EngineBusy(f"all {self._settings.stream_limit} streams are in use")
        if self._own_pool and (wait := self._own_pool.final_wait()) > self._settings.max_final_wait:
            self._counts["streams_refused_slow"] += 1
            raise EngineBusy(f"finals wait {wait:.1f} s for a thread")
        busy = self._settings.max_busy
        if self._load and busy and (share := self._load.with_one_more()) > busy:
            self._counts["streams_refused_busy"] += 1
            raise EngineBusy(f"one stream more would take {share:.0%} of the decode threads' time")
        stream = MoonshineStream(self._shop, options, self._hot_words(options), self._gone)
        self._streams.add(stream)
        if self._load:
            self._load.opened()
        self._counts["streams_opened"] += 1
        return stream

    async def warm_up(self) -> None:
        """See `Asr.warm_up`. Raises `EngineFailed` when the model does not load or run."""
        done: asyncio.Future[Outcome[Heard]] = asyncio.get_running_loop().create_future()
        noise = np.random.default_rng(1).normal(0.0, 300.0, _WARM_UP_SECONDS * 8000).astype(np.int16)
        stretch = Stretch(noise, 8000)
        self._shop.pool.submit(
            Priority.FINAL, lambda aborted: self._ear.hear(stretch, aborted), done.set_result
        )
        outcome = await done
        if outcome.value is None:
            raise EngineFailed(f"Moonshine does not run: {outcome.error}")

    def stats(self) -> dict[str, int | float]:
        """Counters since the start, and what is open, queued and running now."""
        pool = self._own_pool.stats() if self._own_pool else {}
        if self._load:
            pool["busy"] = round(self._load.share(), 4)
        return {**self._counts, **pool, "streams": len(self._streams)}

    @property
    def idle(self) -> bool:
        """Is nothing queued or running on the decode threads?"""
        pool = self._own_pool.stats() if self._own_pool else {}
        return not (pool.get("queued") or pool.get("running"))

    async def aclose(self) -> None:
        """Close every stream and stop the threads. Idempotent."""
        self._closed = True
        for stream in list(self._streams):
            await stream.aclose()
        if self._own_pool:
            await asyncio.to_thread(self._own_pool.close)

    def _gone(self, stream: MoonshineStream) -> None:
        self._streams.discard(stream)
        if self._load:
            self._load.closed()

    def _threads(self) -> DecodePool:
        if self._own_pool is None:
            raise EngineError("no decode threads were made")
        return self._own_pool

    def _check(self, options: AsrOptions) -> None:
        language = options.language.lower().replace("_", "-").split("-")[0]
        if language != "en":
            raise EngineRefused(f"Moonshine tiny-en hears English only, not {options.language}")
        if options.sample_rate not in _RATES:
            raise EngineRefused(f"Moonshine takes 8000 or 16000 Hz, not {options.sample_rate}")

    def _hot_words(self, options: AsrOptions) -> HotWords | None:
        if not options.hot_words or not self._settings.hot_word_boost:
            return None
        return HotWords(self._ear.vocabulary, options.hot_words, self._settings.hot_word_boost)
