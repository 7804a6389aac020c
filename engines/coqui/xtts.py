"""Coqui XTTS as a voice: many calls, one device, the first sound after a few tokens."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from engines.base import EngineFailed, SpeechChunk, TtsOptions
from engines.coqui.ask import Listener, check, require_library
from engines.coqui.checkpoint import fetched, find
from engines.coqui.reading import stretches
from engines.coqui.scheduler import SpeechScheduler
from engines.coqui.settings import CoquiXttsSettings
from engines.coqui.thread import ModelThread
from engines.coqui.voice import CoquiVoice
from engines.coqui.xtts_bench import Passage, TokenModel, XttsBench
from engines.models.base import Models
from engines.models.local import LocalModels
from engines.traits import TtsTraits
from media.clock import now

log = structlog.get_logger(__name__)

_WARM_UP = "Thank you for calling."
_WARM_CALLS = (1, 3)
"""How many speak at once while the costs are learned."""


class XttsVoice(TokenModel, Protocol):
    """A loaded model with its voices; see `XttsModel`."""

    token: float
    held: float
    languages: tuple[str, ...]

    def longest(self, language: str) -> int: ...
    def prompt(self, text: str, language: str, speaker: Any, speed: float) -> Any: ...


@dataclass(frozen=True, slots=True)
class Loaded:
    """What comes of loading."""

    model: XttsVoice
    speakers: Mapping[str, Any]


class CoquiXttsTts(CoquiVoice):
    """A `Tts`. Gives no word times: the model does not tell when it says what."""

    name = "coqui_xtts"

    def __init__(
        self,
        settings: CoquiXttsSettings | None = None,
        models: Models | None = None,
        load: Callable[[CoquiXttsSettings, Models], Loaded] | None = None,
    ) -> None:
        """`load`: makes the model, in its thread; by default the real one. Raises ImportError without it."""
        self._settings = settings or CoquiXttsSettings()
        super().__init__(self._settings.deadline)
        self._models = models or LocalModels()
        if load is None:
            require_library()
        self._load = load or _load
        self._bench: XttsBench | None = None
        self._loaded: Loaded | None = None

    @property
    def voices(self) -> tuple[str, ...]:
        """Known once loaded: the configured ones first."""
        return tuple(self._loaded.speakers) if self._loaded else ()

    @property
    def traits(self) -> TtsTraits:
        languages = self._loaded.model.languages if self._loaded else ("en",)
        return TtsTraits(languages=languages, word_times=False)

    @property
    def facts(self) -> dict[str, str]:
        """What an operator should see beside health."""
        return {"model": self._settings.model, "licence": self._settings.terms().shown}

    def stats(self) -> dict[str, float]:
        """Passages spoken whole, refusals, cancellations, failures; rows and their load now; late chunks."""
        told: dict[str, float] = dict(self._counts)
        if self._bench is not None:
            scheduler = self._bench.scheduler
            told |= {
                "rows": scheduler.active, "waiting": scheduler.waiting, "chunks": scheduler.chunks,
                "late_chunks": scheduler.late, "load": round(scheduler.load(), 3),
            }  # fmt: skip
        return told

    async def warm_up(self) -> None:
        """Load the model and speak a little, unheard, to learn what that costs; later calls return at once.

        Raises `EngineRefused` when the licence was not accepted, `ModelError` when there is no such model.
        """
        async with self._loading:
            if self._bench is not None:
                return
            self._settings.terms().require("tts.settings.accept_licence")
            thread = self._thread or ModelThread("coqui-xtts", asyncio.get_running_loop().time)
            self._thread = thread
            loaded = await thread.run(lambda: self._load(self._settings, self._models))
            token, held = loaded.model.token, loaded.model.held
            scheduler = SpeechScheduler(token, held, self._settings.bounds())
            bench = XttsBench(loaded.model, scheduler, self._settings.loudness(), thread.clock)
            thread.work(bench.turn)
            self._loaded, self._bench = loaded, bench
            log.info("voice loaded", engine=self.name, licence=self._settings.terms().shown)
            await self._warm()

    async def _warm(self) -> None:
        options = TtsOptions(sample_rate=8000, language=self._known().model.languages[0])
        for calls in _WARM_CALLS:
            await asyncio.gather(*(self._unheard(_WARM_UP, options) for _ in range(calls)))
        self._running()[1].scheduler.forget_counts()

    async def _spoken(self, text: str, options: TtsOptions) -> AsyncGenerator[SpeechChunk, None]:
        """Chunks as they are made, small ones first. No words with times."""
        settings, model = self._settings, self._known().model
        thread, bench = self._running()
        language = check(text, options, settings.longest_text, self.voices, model.languages)
        listener = Listener(options, now())
        prompts = await asyncio.get_running_loop().run_in_executor(
            self._text, self._prompts, text, language, options
        )
        passage = Passage(
            prompts, options.voice or self.voices[0], options.sample_rate, listener.due,
            playing=options.ahead > 0, mail=self._mail(),
        )  # fmt: skip
        thread.post(lambda: bench.begin(passage))
        try:
            while (chunk := await self._next(passage.mail, listener.due)) is not None:
                listener.hears(len(chunk.pcm), now())
                yield chunk
        finally:
            thread.post(lambda: bench.cancel(passage))

    def _prompts(self, text: str, language: str, options: TtsOptions) -> deque[tuple[Any, float]]:
        """In a text thread: the passage's stretches, each ready to be spoken."""
        loaded = self._known()
        speaker = loaded.speakers[options.voice or self.voices[0]]
        found = stretches(text, language, loaded.model.longest(language))
        return deque(
            (loaded.model.prompt(s.text, language, speaker, options.speed), s.pause / options.speed)
            for s in found
        )

    def _known(self) -> Loaded:
        if self._loaded is None:
            raise EngineFailed("the voice is not loaded")
        return self._loaded

    def _running(self) -> tuple[ModelThread, XttsBench]:
        if self._bench is None:
            raise EngineFailed("the voice is closed")
        return self._open_thread(), self._bench

    def _working(self) -> XttsBench | None:
        return self._bench


def _load(settings: CoquiXttsSettings, models: Models) -> Loaded:
    """In the model's thread: fetch, look, load."""
    checkpoint = find(fetched(models, settings.model, settings.sha256), "xtts")
    from engines.coqui.weights import use_threads
    from engines.coqui.xtts_model import XttsModel
    from engines.coqui.xtts_voices import speakers

    use_threads(settings.threads)
    model = XttsModel(checkpoint, settings.device, settings.greedy)
    return Loaded(model, speakers(model.library, checkpoint, settings.voices, settings.latents))
