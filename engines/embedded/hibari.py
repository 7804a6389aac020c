"""The embedded voice: a passage in, levelled speech at the leg's rate out, its words timed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from engines.base import (
    EngineBusy,
    EngineError,
    EngineFailed,
    EngineRefused,
    EngineTimeout,
    SpeechChunk,
    TtsOptions,
    Word,
)
from engines.embedded.hibari_model import SAMPLE_RATE, VOICE, HibariModel, Speech
from engines.embedded.hibari_pool import SynthesisPool
from engines.loudness import faded, levelled, speech_bounds, to_pcm
from engines.text import SpokenWord
from engines.text.stretches import LONGEST, Stretch, plan
from media.clock import now
from media.frame import samples
from media.resample import resample

T = TypeVar("T")

_RATES = range(8000, 48001)
_FADE_IN = 0.004
_FADE_OUT = 0.012
_WARM_UP = "Hello, and welcome to the first call of the day."
_LONGEST_STRETCH = " ".join([_WARM_UP.rstrip(".")] * (LONGEST // len(_WARM_UP) + 1))[:LONGEST]
_TOGETHER = 5.0
"""Seconds within which all threads of a warm-up must have met."""


@dataclass(frozen=True, slots=True)
class HibariSettings:
    """Size, level and manners of the embedded voice."""

    threads: int = 2
    """Sentences synthesized at once, 1 to 64. One thread speaks a hundred times faster than a person."""
    waiting: int = 32
    """Passages that may wait for their first sound before the next is refused as busy; 1 to 10,000."""
    nice: int = 3
    """Scheduling weakness of the threads, 0 to 19, so that RTP and the event loop win a contended core."""
    deadline: float = 5.0
    """Seconds after it is due by which a stretch of speech must be ready; 0.01 to 600."""
    level: float = -20.0
    """Active speech level in dBFS, -40 to -10. Telephone networks expect about -20."""
    max_gain: float = 12.0
    """Most dB by which a quiet sentence is raised; 0 to 30."""
    threshold: float = -58.0
    """What is quieter than this at either end of the raw speech is cut off, in dBFS; -90 to -40."""
    lead: float = 0.01
    """Seconds kept before the first sound; 0 to 0.2."""
    tail: float = 0.03
    """Seconds kept after the last sound, the pause not counted; 0 to 0.2."""
    longest_text: int = 5000
    """Characters of one passage; a longer one is refused. 100 to 100,000."""

    def __post_init__(self) -> None:
        limits: dict[str, tuple[float, float]] = {
            "threads": (1, 64), "waiting": (1, 10_000), "nice": (0, 19), "deadline": (0.01, 600),
            "level": (-40, -10), "max_gain": (0, 30), "threshold": (-90, -40), "lead": (0, 0.2),
            "tail": (0, 0.2), "longest_text": (100, 100_000),
        }  # fmt: skip
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"hibari.{name} is {value}: choose a value from {low} to {high}")


class HibariTts:
    """A `Tts` that needs no network and no GPU. One voice, American English."""

    name = "hibari"
    voices = (VOICE,)

    def __init__(self, settings: HibariSettings | None = None, model: HibariModel | None = None) -> None:
        """`model`: one that is loaded already, to be shared; else `warm_up` or the first passage loads it."""
        self._settings = settings or HibariSettings()
        self._model = model
        self._loading = asyncio.Lock()
        self._pool = SynthesisPool(self._settings.threads, self._settings.waiting, self._settings.nice)
        self._counts = {"passages": 0, "refused_busy": 0, "cancelled": 0, "failed": 0}

    def stats(self) -> dict[str, int]:
        """Passages spoken whole, refusals, cancellations and failures so far; jobs waiting now."""
        return {**self._counts, "waiting": self._pool.waiting}

    async def warm_up(self) -> None:
        """Load the voice and speak, unheard; later calls return at once. Raises `EngineFailed`.

        Every thread speaks the longest stretch there is, all at once: the network's memory then has the size
        that it would else reach after some hundred sentences, and stays there.
        """
        async with self._loading:
            if self._model is None:
                model = await self._pool.run(_loaded, now(), refusable=False)
                meet = threading.Barrier(self._settings.threads)
                job = partial(_stretched, model, meet)
                jobs = (self._pool.run(job, now(), refusable=False) for _ in range(self._settings.threads))
                await asyncio.gather(*jobs)
                self._model = model

    async def aclose(self) -> None:
        """Stop the threads. Idempotent; passages that still wait raise `EngineFailed`."""
        await asyncio.to_thread(self._pool.close)

    async def speak(self, text: str, options: TtsOptions) -> AsyncIterator[SpeechChunk]:
        """One chunk per stretch of speech, each with its words.

        Words are as written in `text`, blanks collapsed, timed in seconds from the passage's first sample. A
        chunk ends with the pause that its punctuation asks for, so passages may be joined end to end. Text
        without anything to say gives no chunk.

        Raises `EngineRefused`, `EngineBusy`, `EngineTimeout` or `EngineFailed`.
        """
        self._check(text, options)
        await self.warm_up()
        passage = _Passage(options, now() + options.ahead)
        try:
            first, rest = await self._run(lambda: self._begin(text, options), passage.due(), refusable=True)
            if first is None:
                return
            yield passage.chunk(first)
            for stretch in rest:
                job = partial(self._render, stretch, options)
                yield passage.chunk(await self._run(job, passage.due(), refusable=False))
            self._counts["passages"] += 1
        except (GeneratorExit, asyncio.CancelledError):
            self._counts["cancelled"] += 1
            raise

    def _check(self, text: str, options: TtsOptions) -> None:
        if len(text) > self._settings.longest_text:
            raise EngineRefused(f"{len(text)} characters are too many: at most {self._settings.longest_text}")
        if options.voice not in ("", VOICE):
            raise EngineRefused(f"no voice {options.voice!r}: this engine has {VOICE!r}")
        if not options.language.lower().startswith("en"):
            raise EngineRefused(f"no language {options.language!r}: this voice speaks en-US")
        if not 0.5 <= options.speed <= 2.0:
            raise EngineRefused(f"speed {options.speed} is out of range: choose 0.5 to 2.0")
        if options.sample_rate not in _RATES:
            raise EngineRefused(f"sample rate {options.sample_rate} is out of range: choose 8000 to 48000")

    async def _run(self, job: Callable[[], T], due: float, *, refusable: bool) -> T:
        """The job's result from the pool, within the deadline; whatever goes wrong is an `EngineError`."""
        try:
            async with asyncio.timeout_at(max(due, now()) + self._settings.deadline):
                return await self._pool.run(job, due, refusable=refusable)
        except EngineBusy:
            self._counts["refused_busy"] += 1
            raise
        except TimeoutError as error:
            self._counts["failed"] += 1
            raise EngineTimeout(f"no speech {self._settings.deadline} s after it was due") from error
        except EngineError:
            self._counts["failed"] += 1
            raise
        except Exception as error:
            self._counts["failed"] += 1
            raise EngineFailed(f"{type(error).__name__}: {error}") from error

    def _begin(self, text: str, options: TtsOptions) -> tuple[SpeechChunk | None, list[Stretch]]:
        """In a worker thread: read the text and speak its first stretch; None when there is none."""
        stretches = plan(text)
        return (self._render(stretches[0], options) if stretches else None), stretches[1:]

    def _render(self, stretch: Stretch, options: TtsOptions) -> SpeechChunk:
        """In a worker thread: synthesize, cut, level, resample and add the pause."""
        if self._model is None:
            raise EngineFailed("the voice is not loaded")
        settings = self._settings
        raw = self._model.speak(stretch.text, options.speed)
        start, end = speech_bounds(raw.pcm, SAMPLE_RATE, settings.threshold)
        start = max(0, start - samples(settings.lead, SAMPLE_RATE))
        end = min(len(raw.pcm), end + samples(settings.tail, SAMPLE_RATE)) if end else 0
        loud = levelled(raw.pcm[start:end], SAMPLE_RATE, settings.level, settings.max_gain)
        loud = faded(loud, SAMPLE_RATE, _FADE_IN, _FADE_OUT)
        pcm = resample(to_pcm(loud), SAMPLE_RATE, options.sample_rate)
        words = _timed(stretch.words, raw, start / SAMPLE_RATE, len(pcm) / options.sample_rate)
        pause = np.zeros(samples(stretch.pause / options.speed, options.sample_rate), np.int16)
        return SpeechChunk(np.concatenate([pcm, pause]), words)


class _Passage:
    """How far one `speak` has come: places its chunks in time and says when the listener would run dry."""

    def __init__(self, options: TtsOptions, begins: float) -> None:
        """`begins`: loop time at which the listener is ready for the first sample."""
        self._rate = options.sample_rate
        self._begins = begins
        self._samples = 0

    def due(self) -> float:
        """Loop time by which the next chunk is needed."""
        return self._begins + self._samples / self._rate

    def chunk(self, speech: SpeechChunk) -> SpeechChunk:
        """The next chunk with the times of its words counted from the passage's first sample."""
        if not self._samples:
            self._begins = max(self._begins, now())
        at = self._samples / self._rate
        self._samples += len(speech.pcm)
        words = (Word(w.text, w.start + at, w.end + at, w.confidence) for w in speech.words)
        return SpeechChunk(speech.pcm, tuple(words))


def _timed(words: tuple[SpokenWord, ...], raw: Speech, cut: float, length: float) -> tuple[Word, ...]:
    """The written words with the times of their readings, `cut` seconds having been taken off the front."""
    timed: list[Word] = []
    at = 0
    for word in words:
        spans = raw.spans[at : at + len(word.spoken.split())]
        at += len(spans)
        start, end = (min(max(t - cut, 0.0), length) for t in (spans[0][0], spans[-1][1]))
        timed.append(Word(word.written, start, end, 1.0))
    return tuple(timed)


def _stretched(model: HibariModel, meet: threading.Barrier) -> None:
    """Speak the longest stretch at the moment in which every other thread does."""
    with suppress(threading.BrokenBarrierError):
        meet.wait(_TOGETHER)
    model.speak(_LONGEST_STRETCH, 1.0)


def _loaded() -> HibariModel:
    model = HibariModel()
    model.speak(_WARM_UP, 1.0)
    return model
