"""Which recogniser and which voice, and what each of them can be told.

An engine's settings live beside the engine and are imported only when somebody sets one of them: a
configuration that names an engine that is not installed here can still be read and shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engines import registry
from engines.speech_cache import SpeechCacheSettings
from gateway.config.overlay import PREFIX
from gateway.config.shape import Record, record

TABLES: Mapping[str, dict[str, registry.Entry]] = {"asr": registry.ASR, "tts": registry.TTS}
"""Sections that choose an engine, and what they may choose."""

OPTIONS = "settings"
"""The field of such a section that holds the engine's own settings."""


@dataclass(frozen=True, slots=True)
class AsrSection:
    """What turns speech into words."""

    engine: str = "moonshine"
    """Name of the recogniser; `moonshine` runs on this machine's processor."""
    settings: Any = None
    """The recogniser's own settings, all of them optional."""


@dataclass(frozen=True, slots=True)
class TtsSection:
    """What turns words into speech."""

    engine: str = "hibari"
    """Name of the voice's engine; `hibari` runs on this machine's processor."""
    settings: Any = None
    """The engine's own settings, all of them optional."""
    cache: SpeechCacheSettings = field(default_factory=SpeechCacheSettings)
    """Speech that is kept because it is said again and again: phrases, greetings, the dialplan's texts."""


def engine_of(section: str, data: Mapping[str, Any], environ: Mapping[str, str], default: str) -> str:
    """The engine that a section chooses, before anything was validated."""
    variable = f"{PREFIX}{section.upper()}__ENGINE"
    given = data.get(section)
    in_file = given.get("engine", default) if isinstance(given, Mapping) else default
    return str(environ.get(variable, in_file))


def is_set(section: str, data: Mapping[str, Any], environ: Mapping[str, str]) -> bool:
    """Whether somebody sets the engine's own settings."""
    given = data.get(section)
    prefix = f"{PREFIX}{section.upper()}__{OPTIONS.upper()}"
    return (isinstance(given, Mapping) and OPTIONS in given) or any(key.startswith(prefix) for key in environ)


def model_aliases(section: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Short variables that are set, and the overrides that they stand for; none without a section."""
    if not section:
        return {}
    prefix = f"{PREFIX}{section.upper()}__{OPTIONS.upper()}__"
    meant = {"MODEL_URL": f"{prefix}MODEL", "MODEL_SHA256": f"{prefix}SHA256"}
    return {alias: name for alias, name in meant.items() if environ.get(alias) and name not in environ}


def settings_of(section: str, engine: str) -> type[Any]:
    """The dataclass of an engine's settings. Raises `registry.UnknownEngine` and `registry.EngineMissing`."""
    return registry.settings_type(TABLES[section], engine)


def with_settings(root: Record, chosen: Mapping[str, type[Any]]) -> Record:
    """The configuration's shape with the chosen engines' settings in their places."""
    fields = dict(root.fields)
    for section, cls in chosen.items():
        shape = fields[section].shape
        assert isinstance(shape, Record)
        options = replace(shape.fields[OPTIONS], shape=record(cls))
        fields[section] = replace(
            fields[section], shape=replace(shape, fields={**shape.fields, OPTIONS: options})
        )
    return replace(root, fields=fields)
