"""Engines by name. The configuration says "moonshine"; only then is the code behind that name imported."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from engines.base import Asr, Tts
from engines.models.base import Models
from engines.models.local import LocalModels


class UnknownEngine(ValueError):
    """No engine has this name; the message lists those that there are."""


class EngineMissing(RuntimeError):
    """The engine is known, but something that it needs is not installed; the message says what to install."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Where an engine lives."""

    module: str
    factory: str
    """Class in the module, called with the engine's settings."""
    settings: str
    """Frozen dataclass in the module; made without arguments it gives the defaults."""
    needs: str
    """What pip must install for it."""
    models: bool = False
    """Its files come from a model store: the factory takes a `Models` as its second argument."""


_RIVA = "nvidia-riva-client grpcio-health-checking grpcio-reflection"
_GPU = "'offhook[gpu]', best in an environment of its own, which `make setup-gpu` makes"

ASR: dict[str, Entry] = {
    "moonshine": Entry(
        "engines.embedded.moonshine",
        "MoonshineAsr",
        "MoonshineSettings",
        "onnxruntime moonshine-voice==0.1.0 soxr",
    ),
    "nemo": Entry("engines.nemo.asr", "NemoAsr", "NemoSettings", _GPU, models=True),
    "riva": Entry("engines.riva.client_asr", "RivaAsr", "RivaAsrSettings", _RIVA),
    "deepgram": Entry("engines.hosted.deepgram_asr", "DeepgramAsr", "DeepgramAsrSettings", "websockets"),
    "openai": Entry("engines.hosted.openai_asr", "OpenAiAsr", "OpenAiAsrSettings", "httpx"),
}
"""Recognisers."""

TTS: dict[str, Entry] = {
    "coqui_vits": Entry("engines.coqui.vits", "CoquiVitsTts", "CoquiVitsSettings", _GPU, models=True),
    "coqui_xtts": Entry("engines.coqui.xtts", "CoquiXttsTts", "CoquiXttsSettings", _GPU, models=True),
    "hibari": Entry(
        "engines.embedded.hibari",
        "HibariTts",
        "HibariSettings",
        "onnxruntime hibari-tts==0.2.1 soxr",
    ),
    "riva": Entry("engines.riva.client_tts", "RivaTts", "RivaTtsSettings", _RIVA),
    "deepgram": Entry("engines.hosted.deepgram_tts", "DeepgramTts", "DeepgramTtsSettings", "websockets"),
    "openai": Entry("engines.hosted.openai_tts", "OpenAiTts", "OpenAiTtsSettings", "httpx"),
}
"""Voices."""


def asr(name: str, settings: object | None = None, models: Models | None = None) -> Asr:
    """Make the recogniser of that name; without settings, with its defaults.

    Without `models`, model files must lie on this machine. May block while a model is downloaded.
    Raises `UnknownEngine`, `EngineMissing`, and whatever the engine says of its settings.
    """
    engine: Asr = _make("recogniser", ASR, name, settings, models)
    return engine


def tts(name: str, settings: object | None = None, models: Models | None = None) -> Tts:
    """Make the voice of that name; see `asr`."""
    engine: Tts = _make("voice", TTS, name, settings, models)
    return engine


def settings_type(table: dict[str, Entry], name: str) -> type[Any]:
    """The settings dataclass of an engine in `ASR` or `TTS`, for whoever reads configuration."""
    entry = _find("engine", table, name)
    found: type[Any] = getattr(_import(name, entry), entry.settings)
    return found


def _make(
    kind: str, table: dict[str, Entry], name: str, settings: object | None, models: Models | None
) -> Any:
    entry = _find(kind, table, name)
    module = _import(name, entry)
    expected = getattr(module, entry.settings)
    chosen = expected() if settings is None else settings
    if not isinstance(chosen, expected):
        raise TypeError(f"{name} takes {entry.settings}, not {type(chosen).__name__}")
    factory = getattr(module, entry.factory)
    try:
        return factory(chosen, models or LocalModels()) if entry.models else factory(chosen)
    except ImportError as error:
        raise _missing(name, entry, error) from error


def _find(kind: str, table: dict[str, Entry], name: str) -> Entry:
    if name not in table:
        raise UnknownEngine(f"there is no {kind} called {name!r}; there are: {', '.join(sorted(table))}")
    return table[name]


def _import(name: str, entry: Entry) -> Any:
    try:
        return import_module(entry.module)
    except ImportError as error:
        raise _missing(name, entry, error) from error


def _missing(name: str, entry: Entry, error: ImportError) -> EngineMissing:
    return EngineMissing(f"{name} cannot be used: {error}. Install what it needs: pip install {entry.needs}")
