from __future__ import annotations

import json
from pathlib import Path

import pytest

from engines.base import EngineRefused
from engines.coqui.checkpoint import fetched, find, inside
from engines.coqui.licence import CPML, Licence
from engines.coqui.reading import matching, stretches
from engines.coqui.settings import CoquiVitsSettings, CoquiXttsSettings
from engines.models.base import ModelError
from engines.models.local import LocalModels


def voice(folder: Path, config: object, *, vocabulary: bool = True) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    (folder / "model.pth").write_bytes(b"weights")
    if vocabulary:
        (folder / "vocab.json").write_text("{}")
    return folder


def test_a_folder_or_a_file_in_it_names_the_voice(tmp_path: Path) -> None:
    folder = voice(tmp_path / "v", {"model": "vits"})
    assert find(folder, "vits").weights == folder / "model.pth"
    assert find(folder / "model.pth", "vits").folder == folder


def test_an_archive_that_holds_one_folder_is_looked_into(tmp_path: Path) -> None:
    (tmp_path / "unpacked").mkdir()
    folder = voice(tmp_path / "unpacked" / "anna", {"model": "vits"})
    assert find(tmp_path / "unpacked", "vits").folder == folder


def test_no_model_is_told_by_the_fields_name() -> None:
    with pytest.raises(ModelError, match="tts.settings.model names no voice"):
        fetched(LocalModels(), "", "")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no config.json and no model.pth"):
        find(tmp_path, "vits")
    with pytest.raises(ModelError, match="holds no vocab.json"):
        find(voice(tmp_path / "x", {"model": "xtts"}, vocabulary=False), "xtts")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("{not json", "is not JSON"),
        ("[1, 2]", "holds a list"),
        ({"model": "tacotron2"}, "describes 'tacotron2', not 'vits'"),
        ({"model": "vits", "characters": {"characters_class": "os.system"}}, "none of the library's"),
        ({"model": "vits", "model_args": {"use_d_vector_file": True}}, "d-vectors"),
        ({"model": "vits", "model_args": {"use_language_embedding": True}}, "several languages"),
        ({"model": "vits", "model_args": {"encoder_sample_rate": 16000}}, "two sample rates"),
        (" " * 5_000_000, "too large"),
    ],
)
def test_what_cannot_be_served_is_refused_before_anything_is_loaded(
    tmp_path: Path, config: object, reason: str
) -> None:
    with pytest.raises(ModelError, match=reason):
        find(voice(tmp_path / "v", config), "vits")


def test_only_files_of_the_voices_own_folder_are_read(tmp_path: Path) -> None:
    (tmp_path / "speakers.json").write_text("{}")
    assert inside(tmp_path, "/home/somebody/training/speakers.json") == tmp_path / "speakers.json"
    with pytest.raises(ModelError, match="passwd.* does not exist"):
        inside(tmp_path, "/etc/passwd")


def test_terms_must_be_accepted_by_name() -> None:
    Licence(CPML, CPML).require("x")
    for accepted in ("", "yes", "MIT"):
        with pytest.raises(EngineRefused, match="tts.settings.accept_licence.*non-commercial.*CPML-1.0"):
            Licence(CPML, accepted).require("tts.settings.accept_licence")
    with pytest.raises(EngineRefused):
        Licence("", "").require("x")
    assert Licence("").shown == "not stated"


def test_numbers_out_of_range_are_named() -> None:
    with pytest.raises(ValueError, match=r"coqui_vits.gather is 3: choose a value from 0 to 0.2"):
        CoquiVitsSettings(gather=3)
    with pytest.raises(ValueError, match=r"coqui_xtts.first_tokens"):
        CoquiXttsSettings(first_tokens=1)
    with pytest.raises(ValueError, match="less than"):
        CoquiXttsSettings(first_tokens=20, longest_tokens=10)


def test_languages_match_with_and_without_their_country() -> None:
    assert matching("en-US", ("en", "de")) == "en"
    assert matching("de", ("en-US", "de-DE")) == "de-DE"
    assert matching("zh-CN", ("en", "zh-cn")) == "zh-cn"
    assert matching("fr-FR", ("en",)) is None


def test_english_is_read_by_our_rules_and_other_languages_by_the_voice() -> None:
    assert stretches("You owe $5.", "en-US")[0].text == "You owe five dollars."
    assert stretches("Das macht 5 €.", "de")[0].text == "Das macht 5 €."
