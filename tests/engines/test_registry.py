"""Engines by name."""

from __future__ import annotations

import pytest

from engines import registry
from engines.embedded.moonshine import MoonshineSettings
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


@pytest.mark.parametrize(("table", "name"), [(table, name) for table in (ASR, TTS) for name in table])
def test_every_entry_has_settings_with_defaults(table: dict[str, Entry], name: str) -> None:
    assert registry.settings_type(table, name)() is not None
