"""Engines by name."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from engines import registry
from engines.embedded.moonshine import MoonshineSettings
from engines.models.base import Models
from engines.models.local import LocalModels
from engines.registry import ASR, TTS, EngineMissing, Entry, UnknownEngine


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownEngine, match="'moonshin'.*moonshine"):
        registry.asr("moonshin")
    with pytest.raises(UnknownEngine, match="'moonshine'.*hibari"):
        registry.tts("moonshine")


def test_a_missing_library_says_what_to_install() -> None:
    table = {"absent": Entry("engines.absent", "Absent", "AbsentSettings", "some-package==1.0")}
    with pytest.raises(EngineMissing, match="pip install some-package==1.0"):
        registry.settings_type(table, "absent")


def test_settings_of_another_engine_are_refused() -> None:
    with pytest.raises(TypeError, match="HibariSettings"):
        registry.tts("hibari", MoonshineSettings())


@dataclass(frozen=True)
class StoredSettings:
    """Of `Stored`, below."""


@dataclass
class Stored:
    settings: StoredSettings
    models: Models


def test_an_engine_that_says_so_is_given_the_model_store(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Entry(__name__, "Stored", "StoredSettings", "nothing", models=True)
    monkeypatch.setitem(ASR, "stored", entry)
    store = LocalModels()
    made = registry.asr("stored", StoredSettings(), store)
    assert isinstance(made, Stored) and made.models is store
    alone = registry.asr("stored")
    assert isinstance(alone, Stored) and isinstance(alone.models, LocalModels)


@pytest.mark.parametrize(("table", "name"), [(table, name) for table in (ASR, TTS) for name in table])
def test_every_entry_has_settings_with_defaults(table: dict[str, Entry], name: str) -> None:
    assert registry.settings_type(table, name)() is not None
