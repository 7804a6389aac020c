"""Several engines in a section: their names, ranks and settings, and what is told of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import Config, dump, load, secrets_in
from gateway.config.engine_sections import AsrSection, EngineEntry, settings_of
from gateway.errors import ConfigError

TWO = """
asr:
  engines:
    - {engine: riva, settings: {address: "gpu-1:2233"}, cost: 1}
    - {engine: riva, settings: {address: "gpu-2:2233", tls: true, api_key: s3cret}, data: site, rank: 1}
    - engine: moonshine
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "offhook.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(folder: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(write(folder, text), environ or {})
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def test_one_engine_is_a_list_of_one() -> None:
    (entry,) = Config().asr.entries()
    assert (entry.name, entry.engine, entry.rank, entry.settings) == ("moonshine", "moonshine", 1, None)


def test_several_engines_are_named_and_ranked_by_their_places(tmp_path: Path) -> None:
    entries = load(write(tmp_path, TWO), {}).asr.entries()
    assert [(e.name, e.rank, e.cost) for e in entries] == [
        ("riva", 1, 1.0), ("riva-2", 1, 0.0), ("moonshine", 3, 0.0),
    ]  # fmt: skip
    assert [e.settings.address for e in entries[:2]] == ["gpu-1:2233", "gpu-2:2233"]
    assert type(entries[0].settings) is settings_of("asr", "riva")
    assert entries[2].settings is None, "nobody sets any: its code need not be here to read this"


def test_secrets_of_each_engine_are_known_and_covered(tmp_path: Path) -> None:
    config = load(write(tmp_path, TWO), {})
    assert "s3cret" in secrets_in(config)
    assert "s3cret" not in dump(config)


def test_what_is_shown_reads_back_as_the_same(tmp_path: Path) -> None:
    config = load(write(tmp_path, TWO.replace(", api_key: s3cret", "")), {})
    again = load(write(tmp_path, dump(config)), {})
    assert again.asr.entries()[:2] == config.asr.entries()[:2]
    assert load(write(tmp_path, dump(again)), {}) == again


def test_workers_share_the_work_of_one_entry(tmp_path: Path) -> None:
    text = "tts: {engines: [{engine: riva, workers: [{address: 'a:8876'}, {address: 'b:8876'}]}]}"
    (entry,) = load(write(tmp_path, text), {}).tts.entries()
    assert [worker.address for worker in entry.workers] == ["a:8876", "b:8876"]


def test_the_environment_lists_engines_too() -> None:
    environ = {"OFFHOOK_ASR__ENGINES": "[{engine: riva, settings: {address: 'x:1'}}, {engine: moonshine}]"}
    assert [e.name for e in load(None, environ).asr.entries()] == ["riva", "moonshine"]


def test_all_mistakes_are_told_with_line_field_and_cure(tmp_path: Path) -> None:
    text = """\
asr:
  engines:
    - {engine: rivaa}
    - {settings: {}}
    - {engine: riva, settings: {adress: "a:1"}}
    - {engine: riva, settings: {address: nowhere}}
    - {engine: riva, data: moon}
    - {engine: moonshine, fleet: true}
    - {engine: riva, patience: 99}
"""
    assert mistakes(tmp_path, text) == [
        'offhook.yaml:3: asr.engines.0.engine: no engine is called "rivaa"; did you mean "riva"?',
        "offhook.yaml:4: asr.engines.1.engine: is needed; give it a value",
        'offhook.yaml:5: asr.engines.2.settings.adress: nothing is called "adress" here; '
        'did you mean "address"?',
        "offhook.yaml:6: asr.engines.3.settings.address: give host:port, not 'nowhere'",
        "offhook.yaml:7: asr.engines.4.data: is not one of the choices; choose '', 'node', 'site' or 'cloud'",
        "offhook.yaml:8: asr.engines.5.fleet: is of use with engine: riva only",
        "offhook.yaml:9: asr.engines.6.patience: give 0.1 to 20, or 0 for the usual",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "asr: {settings: {max_streams: 1}, engines: [{engine: moonshine}]}",
            "offhook.yaml:1: asr.settings: stand with each of the engines where there are several; "
            "move them there",
        ),
        (
            "tts: {engines: [{engine: riva, name: a}, {engine: riva, name: a}]}",
            'offhook.yaml:1: tts.engines: two are called "a"; give each a name of its own',
        ),
        (
            "asr: {engines: [{engine: riva, fleet: true}]}",
            "offhook.yaml:1: fleet.redis: is needed for engines with fleet: true; give it, or redis.url",
        ),
    ],
)
def test_what_does_not_fit_together_is_told(tmp_path: Path, text: str, told: str) -> None:
    assert mistakes(tmp_path, text) == [told]


def test_names_are_filled_in_around_those_given() -> None:
    entries = AsrSection(engines=(EngineEntry("riva", name="riva"), EngineEntry("riva"))).entries()
    assert [e.name for e in entries] == ["riva", "riva-2"]
