"""Coqui VITS as a voice: whole sentences, those of several calls spoken together, every word timed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, Protocol

import numpy as np
import structlog

from engines.base import EngineFailed, SpeechChunk, TtsOptions, Word
from engines.coqui.ask import Listener, check, require_library
from engines.coqui.checkpoint import fetched, find
from engines.coqui.gather import Gatherer
from engines.coqui.licence import Licence
from engines.coqui.reading import stretches
from engines.coqui.settings import CoquiVitsSettings
from engines.coqui.thread import ModelThread
from engines.coqui.vits_bench import Order, SentenceModel, VitsBench
from engines.coqui.voice import CoquiVoice
from engines.loudness import to_pcm
from engines.models.base import Models
from engines.models.local import LocalModels
from engines.text.stretches import Stretch
from engines.traits import TtsTraits
from media.clock import now
from media.frame import samples
from media.resample import resample

log = structlog.get_logger(__name__)

_WARM_UP = ("Hello.", "Thank you for calling, how can I help you today?")
_WARM_CALLS = (1, 4)


class VitsVoice(SentenceModel, Protocol):
    """A loaded model; see `VitsModel`."""

    rate: int
    voices: tuple[str, ...]
    languages: tuple[str, ...]

    def sentence(self, stretch: Stretch, voice: str, speed: float) -> Any: ...


class CoquiVitsTts(CoquiVoice):
    """A `Tts`. Chunks are stretches of speech, a long first sentence being cut at its first clause."""

    name = "coqui_vits"

    def __init__(
        self,
        settings: CoquiVitsSettings | None = None,
        models: Models | None = None,
        load: Callable[[CoquiVitsSettings, Models], VitsVoice] | None = None,
    ) -> None:
        """`load`: makes the model, in its thread; by default the real one. Raises ImportError without it."""
        self._settings = settings or CoquiVitsSettings()
        super().__init__(self._settings.deadline)
        self._models = models or LocalModels()
        if load is None:
            require_library()
        self._load = load or _load
        self._bench: VitsBench | None = None
        self._model: VitsVoice | None = None

    @property
    def voices(self) -> tuple[str, ...]:
        """Known once loaded."""
        return self._model.voices if self._model else ()

    @property
    def traits(self) -> TtsTraits:
        return TtsTraits(languages=self._model.languages if self._model else ("en-US",))

    @property
    def facts(self) -> dict[str, str]:
        """What an operator should see beside health."""
        return {"model": self._settings.model, "licence": Licence(self._settings.licence).shown}

    def stats(self) -> dict[str, float]:
        """Passages spoken whole, refused, cancelled, failed, unread; batches, their sentences, late ones."""
        told: dict[str, float] = dict(self._counts)
        if self._bench is not None:
            bench = self._bench
            told |= {
                "batches": bench.batches, "sentences": bench.sentences, "late_sentences": bench.late,
                "waiting": bench.gatherer.waiting,
            }  # fmt: skip
        return told

    async def warm_up(self) -> None:
        """Load the voice and speak a little, unheard, to learn what that costs; later calls return at once.

        Raises `ModelError`.
        """
        async with self._loading:
            if self._bench is not None:
                return
            settings = self._settings
            thread = self._thread or ModelThread("coqui-vits", asyncio.get_running_loop().time)
            self._thread = thread
            model = await thread.run(lambda: self._load(settings, self._models))
            gatherer = Gatherer(settings.batch, settings.gather)
            bench = VitsBench(model, gatherer, settings.waiting, settings.patience, thread.clock)
            thread.work(bench.turn)
            self._model, self._bench = model, bench
            log.info("voice loaded", engine=self.name, licence=self.facts["licence"])
            options = TtsOptions(language=model.languages[0])
            for text in _WARM_UP:
                for calls in _WARM_CALLS:
                    await asyncio.gather(*(self._unheard(text, options) for _ in range(calls)))
            bench.batches = bench.sentences = bench.late = 0

    async def _spoken(self, text: str, options: TtsOptions) -> AsyncGenerator[SpeechChunk, None]:
        """One chunk per stretch of speech, each with its words, timed from the passage's first sample."""
        model, (thread, bench) = self._known(), self._running()
        language = check(text, options, self._settings.longest_text, model.voices, model.languages)
        voice = options.voice or model.voices[0]
        listener = Listener(options, now())
        loop = asyncio.get_running_loop()
        parts = await loop.run_in_executor(self._text, stretches, text, language)
        for place, part in enumerate(parts):
            sentence = await loop.run_in_executor(self._text, model.sentence, part, voice, options.speed)
            playing = place > 0 or options.ahead > 0
            order: Order = Order(sentence, listener.due, playing, self._mail())
            thread.post(lambda order=order: bench.take(order))  # type: ignore[misc]
            try:
                said = await self._next(order.mail, order.due)
            finally:
                thread.post(lambda order=order: bench.cancel(order))  # type: ignore[misc]
            chunk = await loop.run_in_executor(self._text, self._chunk, said, part, options, listener.seconds)
            listener.hears(len(chunk.pcm), now())
            yield chunk

    def _chunk(self, said: Any, part: Stretch, options: TtsOptions, begins: float) -> SpeechChunk:
        """In a text thread: trimmed, levelled, at the leg's rate, with its pause and its words' times."""
        rate = self._known().rate
        loud, cut = self._settings.loudness().whole(said.pcm, rate)
        pcm = resample(to_pcm(loud), rate, options.sample_rate)
        words = _timed(part, said.spans, cut, len(pcm) / options.sample_rate, begins)
        pause = np.zeros(samples(part.pause / options.speed, options.sample_rate), np.int16)
        return SpeechChunk(np.concatenate([pcm, pause]), words)

    def _known(self) -> VitsVoice:
        if self._model is None:
            raise EngineFailed("the voice is not loaded")
        return self._model

    def _running(self) -> tuple[ModelThread, VitsBench]:
        if self._bench is None:
            raise EngineFailed("the voice is closed")
        return self._open_thread(), self._bench

    def _working(self) -> VitsBench | None:
        return self._bench


def _timed(
    part: Stretch, spans: tuple[tuple[float, float], ...], cut: float, length: float, begins: float
) -> tuple[Word, ...]:
    """The written words with the times of their readings; `cut` seconds were taken off the front."""
    timed: list[Word] = []
    at = 0
    for word in part.words:
        mine = spans[at : at + len(word.spoken.split())]
        at += len(mine)
        start, end = (begins + min(max(t - cut, 0.0), length) for t in (mine[0][0], mine[-1][1]))
        timed.append(Word(word.written, start, end, 1.0))
    return tuple(timed)


def _load(settings: CoquiVitsSettings, models: Models) -> VitsVoice:
    """In the model's thread: fetch, look, load."""
    checkpoint = find(fetched(models, settings.model, settings.sha256), "vits")
    from engines.coqui.vits_model import VitsModel
    from engines.coqui.weights import use_threads

    use_threads(settings.threads)
    return VitsModel(checkpoint, settings.device)
