"""Which recognisers and which voices, and what each of them can be told.

An engine's settings live beside the engine and are imported only when somebody sets one of them: a
configuration that names an engine that is not installed here can still be read and shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from engines import registry
from engines.fleet import check_prefix, check_url
from engines.fleet_redis import RedisFleetSettings
from engines.fleet_static import StaticWorker
from engines.speech_cache import SpeechCacheSettings
from gateway.config.overlay import PREFIX
from gateway.config.shape import Items, OneOf, Record, record
from gateway.yaml_source import Refused, read

TABLES: Mapping[str, dict[str, registry.Entry]] = {"asr": registry.ASR, "tts": registry.TTS}
"""Sections that choose engines, and what they may choose."""

OPTIONS = "settings"
"""The field that holds an engine's own settings."""
_NAME = re.compile(r"[A-Za-z0-9._-]{0,60}")
SEVERAL = "engines"
"""The field that lists several."""


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """One engine among several."""

    engine: str
    """Which one, as in the field `engine` of the section."""
    settings: Any = None
    """Its own settings, all of them optional."""
    name: str = ""
    """Its name in records, logs and metrics; empty: the engine's, numbered where it is there twice."""
    data: Literal["", "node", "site", "cloud"] = ""
    """Where callers' sound and words go with it. Empty: `node` for what runs in this process or on this
    machine, `site` for private addresses and names without a public domain, `cloud` for all others."""
    rank: int = 0
    """1 to 1000: engines of the lowest rank that work share the calls. 0: its place in the list."""
    cost: float = 0.0
    """Of an hour of speech, in any money. Of two engines that are as good and as free the cheaper one is
    used; one that costs, or is in the cloud, is tried out only after it failed."""
    patience: float = 0.0
    """0.1 to 20: so many times as long as `router` says it may take. 0: 2.5 in the cloud, else 1."""
    workers: tuple[StaticWorker, ...] = ()
    """With `engine: riva`: several servers that share the work, in place of `settings.address`."""
    fleet: bool = False
    """With `engine: riva`: every worker that announces itself (`fleet.redis`), in place of an address."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError("name: give up to 60 letters, digits, dots, dashes and underscores")
        if not 0 <= self.rank <= 1000:
            raise ValueError("rank: give 1 to 1000, or 0 for its place in the list")
        if self.cost < 0:
            raise ValueError("cost: give 0 or more")
        if self.patience and not 0.1 <= self.patience <= 20:
            raise ValueError("patience: give 0.1 to 20, or 0 for the usual")
        if (self.workers or self.fleet) and self.engine != "riva":
            which = "workers" if self.workers else "fleet"
            raise ValueError(f"{which}: is of use with engine: riva only")
        if self.workers and self.fleet:
            raise ValueError("workers: name them, or have them found by fleet, not both")


@dataclass(frozen=True, slots=True)
class AsrSection:
    """What turns speech into words."""

    engine: str = "moonshine"
    """Name of the recogniser; `moonshine` runs on this machine's processor."""
    settings: Any = None
    """The recogniser's own settings, all of them optional."""
    engines: tuple[EngineEntry, ...] = ()
    """Several recognisers in place of that one, the most wanted first; the next one takes over within a
    call."""

    def __post_init__(self) -> None:
        _check("asr", self)

    def entries(self) -> tuple[EngineEntry, ...]:
        """All of them, the most wanted first."""
        return _entries(self)


@dataclass(frozen=True, slots=True)
class TtsSection:
    """What turns words into speech."""

    engine: str = "hibari"
    """Name of the voice's engine; `hibari` runs on this machine's processor."""
    settings: Any = None
    """The engine's own settings, all of them optional."""
    engines: tuple[EngineEntry, ...] = ()
    """Several voices in place of that one, the most wanted first; the next one takes over within a reply."""
    cache: SpeechCacheSettings = field(default_factory=SpeechCacheSettings)
    """Speech that is kept because it is said again and again: phrases, greetings, the dialplan's texts."""

    def __post_init__(self) -> None:
        _check("tts", self)

    def entries(self) -> tuple[EngineEntry, ...]:
        """All of them, the most wanted first."""
        return _entries(self)


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """Where workers announce themselves, for engines with `fleet: true`."""

    redis: str = field(default="", repr=False)
    """URL such as `redis://host:6379/0`; the workers' `asr_worker.fleet.redis`. Empty: `redis.url`."""
    prefix: str = "offhook"
    """What every key begins with; the workers' `fleet.prefix`."""
    reading: RedisFleetSettings = field(default_factory=RedisFleetSettings)
    """How the announcements are read."""

    def __post_init__(self) -> None:
        if self.redis:
            check_url("redis", self.redis)
        check_prefix(self.prefix)


def _check(section: str, given: AsrSection | TtsSection) -> None:
    names = [entry.name for entry in given.engines if entry.name]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f'engines: two are called "{name}"; give each a name of its own')


def _entries(section: AsrSection | TtsSection) -> tuple[EngineEntry, ...]:
    """With names and ranks filled in."""
    entries = section.engines or (EngineEntry(section.engine, section.settings),)
    taken = {entry.name for entry in entries if entry.name}
    named: list[EngineEntry] = []
    for place, entry in enumerate(entries, start=1):
        name = entry.name or _free(entry.engine, taken)
        taken.add(name)
        named.append(replace(entry, name=name, rank=entry.rank or place))
    return tuple(named)


def _free(engine: str, taken: set[str]) -> str:
    number = 1
    while (name := engine if number == 1 else f"{engine}-{number}") in taken:
        number += 1
    return name


def engine_of(section: str, data: Mapping[str, Any], environ: Mapping[str, str], default: str) -> str:
    """The engine that a section chooses, before anything was validated."""
    variable = f"{PREFIX}{section.upper()}__ENGINE"
    given = data.get(section)
    in_file = given.get("engine", default) if isinstance(given, Mapping) else default
    return str(environ.get(variable, in_file))


def listed(
    section: str, data: Mapping[str, Any], environ: Mapping[str, str]
) -> list[tuple[str | None, bool]]:
    """The engines that a section lists, before anything was validated, and whether their settings are set.

    None stands for an entry that names no engine.
    """
    given = data.get(section)
    entries = given.get(SEVERAL) if isinstance(given, Mapping) else None
    text = environ.get(f"{PREFIX}{section.upper()}__{SEVERAL.upper()}")
    if text is not None:
        try:
            entries = read(text, "environment").data
        except Refused:
            entries = None  # told where it is overridden
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        return []
    return [
        (str(entry["engine"]), entry.get(OPTIONS) is not None)
        if isinstance(entry, Mapping) and "engine" in entry
        else (None, False)
        for entry in entries
    ]


def is_set(section: str, data: Mapping[str, Any], environ: Mapping[str, str]) -> bool:
    """Whether somebody sets the engine's own settings."""
    given = data.get(section)
    prefix = f"{PREFIX}{section.upper()}__{OPTIONS.upper()}"
    return (isinstance(given, Mapping) and given.get(OPTIONS) is not None) or any(
        key.startswith(prefix) for key in environ
    )


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


def with_settings(
    root: Record,
    chosen: Mapping[str, type[Any]],
    several: Mapping[str, Mapping[str, type[Any]]] | None = None,
) -> Record:
    """The configuration's shape with the chosen engines' settings in their places.

    `several`: for each section the engines that it lists, and their settings.
    """
    fields = dict(root.fields)
    for section, cls in chosen.items():
        fields[section] = replace(fields[section], shape=_with(fields[section].shape, cls))
    for section, types in (several or {}).items():
        shape = fields[section].shape
        assert isinstance(shape, Record)
        entry = record(EngineEntry)
        kinds = {name: _with(entry, types[name]) if name in types else entry for name in TABLES[section]}
        items = replace(shape.fields[SEVERAL], shape=Items(OneOf(kinds, by="engine") if types else entry))
        fields[section] = replace(
            fields[section], shape=replace(shape, fields={**shape.fields, SEVERAL: items})
        )
    return replace(root, fields=fields)


def _with(shape: object, cls: type[Any]) -> Record:
    assert isinstance(shape, Record)
    options = replace(shape.fields[OPTIONS], shape=record(cls))
    return replace(shape, fields={**shape.fields, OPTIONS: options})
