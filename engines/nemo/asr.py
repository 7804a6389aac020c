"""NVIDIA NeMo's streaming recognisers behind `Asr`: admission, what they can do, start and stop."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec

from engines.base import AsrOptions, EngineBusy, EngineRefused
from engines.models.base import Models
from engines.models.local import LocalModels
from engines.nemo.engine_thread import EngineThread
from engines.nemo.hot_words import expected
from engines.nemo.settings import NemoSettings
from engines.nemo.stepper import Stepper
from engines.nemo.stream import NemoStream
from engines.traits import AsrTraits

_RATES = range(8000, 48001)


class NemoAsr:
    """Serves `Asr`. One per process and device; streams belong to the loop that opened them."""

    name = "nemo"

    def __init__(self, settings: NemoSettings, models: Models | None = None) -> None:
        """Loads nothing yet. Raises ModuleNotFoundError where the extra `gpu` is not installed.

        `models`: where the `.nemo` comes from; without it, paths on this machine only.
        """
        if find_spec("nemo") is None or find_spec("torch") is None:
            raise ModuleNotFoundError("nemo_toolkit and torch are not installed here")
        self._settings = settings
        self._models = models or LocalModels()
        self._thread = EngineThread(self._load, settings)
        self._stepper: Stepper | None = None
        self._streams: set[NemoStream] = set()

    @property
    def traits(self) -> AsrTraits:
        """What the loaded model can do."""
        punctuated = self._stepper is not None and self._stepper.vocabulary.punctuated
        return AsrTraits(self._settings.languages, word_times=True, hot_words=True, punctuation=punctuated)

    def stream(self, options: AsrOptions) -> NemoStream:
        """See `Asr.stream`. Takes the settings' languages, at 8 to 48 kHz."""
        self._check(options)
        stepper = self._stepper
        if stepper is None:
            raise EngineBusy("the model is still being loaded")
        hot_words = expected(options, self._settings.hot_word_boost, stepper.pieces_of)
        with self._thread.scheduler() as scheduler:
            lane = scheduler.open(self._thread.clock())
        stream = NemoStream(self._thread, stepper, lane, options, hot_words, self._streams.discard)
        self._streams.add(stream)
        return stream

    async def warm_up(self) -> None:
        """See `Asr.warm_up`. Raises `EngineError` with the reason where there is no such model."""
        self._thread.start()
        self._stepper = await asyncio.to_thread(self._thread.wait_loaded)

    @property
    def trouble(self) -> str:
        """Why the device was given up; "" while it was not. Only another process may find it better."""
        return self._thread.trouble

    def stats(self) -> dict[str, int | float]:
        """Counters since the start, streams in use, and how late the unluckiest step was."""
        return self._thread.stats()

    async def aclose(self) -> None:
        """Close every stream, then the model. Idempotent."""
        for stream in list(self._streams):
            await stream.aclose()
        await asyncio.to_thread(self._thread.close)

    def _load(self) -> Stepper:
        """On the engine's thread, the only one that ever imports torch."""
        from engines.nemo.load import load

        return load(self._settings, self._models)

    def _check(self, options: AsrOptions) -> None:
        spoken = {language.lower().replace("_", "-").split("-")[0] for language in self._settings.languages}
        if options.language.lower().replace("_", "-").split("-")[0] not in spoken:
            told = ", ".join(self._settings.languages)
            raise EngineRefused(f"this model hears {told}, not {options.language}; see the setting languages")
        if options.sample_rate not in _RATES:
            raise EngineRefused(f"sample rate {options.sample_rate} is out of range: 8000 to 48000")
