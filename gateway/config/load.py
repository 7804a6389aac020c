"""From a file and the environment to a `Config`, or to the list of everything that is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from engines.registry import EngineMissing, UnknownEngine
from gateway.config import engine_sections as engines
from gateway.config.overlay import PREFIX, Overlay
from gateway.config.schema import Config
from gateway.config.shape import Entries, Items, OneOf, Record, Shape, record
from gateway.errors import ConfigError
from gateway.problems import Problem, nearest
from gateway.secret import Secret
from gateway.validation import in_words
from gateway.yaml_source import Place, Refused, Source, read

_STRICT = ConfigDict(extra="forbid")
_ADAPTER = TypeAdapter(list[Config], config=_STRICT)
"""The list carries the ban on unknown fields down to plain dataclasses, which have no place for it."""


def load(path: Path | None, environ: Mapping[str, str], worker: str = "") -> Config:
    """Read the file (None: defaults alone) and the environment. Raises `ConfigError` with all mistakes.

    `worker`: `asr` or `tts` for a process that serves that engine alone; MODEL_URL and MODEL_SHA256 then name
    its model, as OFFHOOK_ASR__SETTINGS__MODEL and …__SHA256 would.
    """
    source = _read(path)
    if not isinstance(source.data, dict | None):
        cure = "begin with a line like `sip:`"
        raise ConfigError([Problem(source.name, 1, "", "not a list of sections", cure)])
    data: dict[str, Any] = dict(source.data or {})
    aliases = {**engines.model_aliases(worker, environ), **_redis_alias(environ)}
    overlay = Overlay(source, environ, path.parent if path else Path(), aliases)
    seen = {**environ, **{meant: environ[alias] for alias, meant in aliases.items()}}
    chosen = {name: _engine(name, data, seen) for name in engines.TABLES}
    types = {name: found for name, found in chosen.items() if isinstance(found, type)}
    listed = {name: engines.listed(name, data, environ) for name in engines.TABLES}
    several = {name: _several(name, listed[name]) for name in engines.TABLES}
    shape = engines.with_settings(
        record(Config), types, {name: _types(found) for name, found in several.items()}
    )
    overlay.override(data, shape)
    for name, found in chosen.items():
        if isinstance(found, str):
            what, _, cure = found.partition("; ")
            overlay.problem((name, "engine"), what, cure)
    for name, kinds in several.items():
        if listed[name] and name in types:
            told = "stand with each of the engines where there are several"
            overlay.problem((name, engines.OPTIONS), told, "move them there")
        for place, (engine, _) in enumerate(listed[name]):
            if engine is not None and isinstance(wrong := kinds.get(engine), str):
                what, _, cure = wrong.partition("; ")
                overlay.problem((name, engines.SEVERAL, place, "engine"), what, cure)
    config, mistakes = _validated(overlay.walk(data, shape, ()), types, several)
    for mistake in mistakes:
        _tell(overlay, shape, mistake)
    if config is None or overlay.problems:
        raise ConfigError(overlay.problems)
    return config


def _redis_alias(environ: Mapping[str, str]) -> dict[str, str]:
    """REDIS_URL, as others name it, unless ours is set."""
    ours = f"{PREFIX}REDIS__URL"
    return {"REDIS_URL": ours} if environ.get("REDIS_URL") and ours not in environ else {}


def _engine(section: str, data: Mapping[str, Any], environ: Mapping[str, str]) -> type[Any] | str | None:
    """Type of the chosen engine's settings, None when nobody sets any, or what is wrong with the choice."""
    name = engines.engine_of(section, data, environ, getattr(Config(), section).engine)
    if name in engines.TABLES[section] and not engines.is_set(section, data, environ):
        return None
    return _settings_type(section, name)


def _several(section: str, listed: list[tuple[str | None, bool]]) -> dict[str, type[Any] | str]:
    """The same for each of several engines; those of which nobody sets any are left out."""
    return {
        name: _settings_type(section, name)
        for name, is_set in listed
        if name is not None and (is_set or name not in engines.TABLES[section])
    }


def _types(found: Mapping[str, type[Any] | str]) -> dict[str, type[Any]]:
    return {name: cls for name, cls in found.items() if isinstance(cls, type)}


def _settings_type(section: str, name: str) -> type[Any] | str:
    try:
        if name not in engines.TABLES[section]:
            return f'no engine is called "{name}"; {nearest(name, engines.TABLES[section])}'
        return engines.settings_of(section, name)
    except EngineMissing as error:
        return str(error).replace(". ", "; ", 1)


def _read(path: Path | None) -> Source:
    if path is None:
        return Source("defaults", {}, {}, {})
    try:
        return read(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        cure = "check the path, or start without one to use the defaults"
        raise ConfigError([Problem(str(path), 0, "", error.strerror or "cannot be read", cure)]) from None
    except UnicodeDecodeError:
        raise ConfigError([Problem(str(path), 0, "", "not text", "save it as UTF-8")]) from None
    except Refused as refused:
        raise ConfigError([refused.problem]) from None


def _validated(
    data: Any, types: Mapping[str, type[Any]], several: Mapping[str, Mapping[str, type[Any] | str]]
) -> tuple[Config | None, list[ErrorDetails]]:
    """The settings, or pydantic's errors, those of the engines' own settings among them."""
    data = {key: dict(part) if isinstance(part, dict) else part for key, part in data.items()}
    mistakes: list[ErrorDetails] = []
    made = {
        section: _own_settings(data[section], cls, (section,), mistakes)
        for section, cls in types.items()
        if isinstance(data.get(section), dict)
    }
    made_each = {
        section: _settings_of_each(data[section], _types(found), section, mistakes)
        for section, found in several.items()
        if isinstance(data.get(section), dict) and isinstance(data[section].get(engines.SEVERAL), list)
    }
    config, wrong = _valid(_ADAPTER, data)
    mistakes.extend(wrong)
    if config is None or mistakes:
        return None, mistakes
    parts = {name: replace(getattr(config, name), settings=settings) for name, settings in made.items()}
    for name, settings in made_each.items():
        section = parts.get(name, getattr(config, name))
        pairs = zip(section.engines, settings, strict=True)
        parts[name] = replace(section, engines=tuple(replace(e, settings=own) for e, own in pairs))
    return replace(config, **parts), []


def _settings_of_each(
    part: dict[str, Any], types: Mapping[str, type[Any]], section: str, mistakes: list[ErrorDetails]
) -> list[Any]:
    """The same for each of several engines."""
    part[engines.SEVERAL] = [dict(e) if isinstance(e, dict) else e for e in part[engines.SEVERAL]]
    made: list[Any] = []
    for number, entry in enumerate(part[engines.SEVERAL]):
        engine = str(entry.get("engine")) if isinstance(entry, dict) else ""
        place = (section, engines.SEVERAL, number, engine)
        made.append(_own_settings(entry, types[engine], place, mistakes) if engine in types else None)
    return made


def _own_settings(part: dict[str, Any], cls: type[Any], place: Place, mistakes: list[ErrorDetails]) -> Any:
    """An engine's own settings, taken out of the part of the data that holds them."""
    given = part.pop(engines.OPTIONS, None)
    made, wrong = _valid(TypeAdapter(list[cls], config=_STRICT), given or {})  # type: ignore[valid-type]  # chosen at run time
    for mistake in wrong:
        mistake["loc"] = (*place, engines.OPTIONS, *mistake["loc"])
    mistakes.extend(wrong)
    return made


def _valid(adapter: TypeAdapter[list[Any]], data: object) -> tuple[Any, list[ErrorDetails]]:
    try:
        return adapter.validate_python([data])[0], []
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
        for mistake in mistakes:
            mistake["loc"] = mistake["loc"][1:]
        return None, mistakes


def _tell(overlay: Overlay, root: Shape, mistake: ErrorDetails) -> None:
    """One of pydantic's errors in our words, at the place where the author wrote it."""
    place, shape = _place(root, mistake["loc"])
    what, cure = in_words(mistake)
    if isinstance(shape, OneOf):
        shape = next(iter(shape.kinds.values()))  # what the check names is a field that all kinds have
    if mistake["type"] == "value_error" and isinstance(shape, Record):
        named, what = _named(what, shape)
        place = (*place, *named)
    overlay.problem(place, what, cure)


def _named(what: str, shape: Record) -> tuple[Place, str]:
    """The field that a part's own check names first ("tls.key: is missing", "vad.level is 3: choose 1")."""
    word, _, rest = what.partition(" ")
    parts = word.rstrip(":,").split(".")
    while parts and parts[0] not in shape.fields:
        parts.pop(0)
    named: list[str] = []
    inner: Shape = shape
    while parts and isinstance(inner, Record) and parts[0] in inner.fields:
        named.append(parts.pop(0))
        inner = inner.fields[named[-1]].shape
    return (tuple(named), rest) if named and not word.endswith(",") else (tuple(named), what)


def _place(shape: Shape, loc: tuple[str | int, ...]) -> tuple[Place, Shape]:
    """Where in the data an error lies; steps that only name a union's member are left out."""
    place: Place = ()
    for step in loc:
        if isinstance(shape, OneOf) and isinstance(step, str) and step in shape.kinds:
            shape = shape.kinds[step]
        elif isinstance(shape, OneOf) and any(step in kind.fields for kind in shape.kinds.values()):
            shape = next(kind for kind in shape.kinds.values() if step in kind.fields).fields[str(step)].shape
            place = (*place, step)
        elif isinstance(shape, Record) and step in shape.fields:
            shape = shape.fields[str(step)].shape
            place = (*place, step)
        elif isinstance(shape, Entries):
            shape = shape.value
            place = (*place, step)
        elif isinstance(shape, Items) and isinstance(step, int):
            shape = shape.item
            place = (*place, step)
    return place, shape


def secrets_in(config: Config) -> frozenset[str]:
    """Every secret the configuration holds, for whoever must keep them out of sight."""
    return frozenset(text for text in _secrets(config, effective_shape(config)) if text)


def effective_shape(config: Config) -> Record:
    """The configuration's shape with the settings of the engines it chooses, where they are installed."""
    types: dict[str, type[Any]] = {}
    several: dict[str, dict[str, type[Any]]] = {}
    for section in engines.TABLES:
        part = getattr(config, section)
        if not part.engines:
            types |= _installed(section, {section: part.engine})
        several[section] = _installed(section, {entry.engine: entry.engine for entry in part.engines})
    return engines.with_settings(record(Config), types, several)


def _installed(section: str, names: Mapping[str, str]) -> dict[str, type[Any]]:
    """Types of the settings of those engines that are installed here."""
    types: dict[str, type[Any]] = {}
    for key, name in names.items():
        try:
            types[key] = engines.settings_of(section, name)
        except (EngineMissing, UnknownEngine):
            continue
    return types


def _secrets(value: Any, shape: Shape) -> Iterator[str]:
    if value is None:
        return
    if isinstance(shape, OneOf):
        shape = shape.kinds.get(str(getattr(value, shape.by, "")), record(type(value)))
    if isinstance(shape, Record):
        for name, field in shape.fields.items():
            held = getattr(value, name)
            if field.secret:
                yield held.reveal() if isinstance(held, Secret) else str(held)
            else:
                yield from _secrets(held, field.shape)
    elif isinstance(shape, Entries):
        for item in value.values():
            yield from _secrets(item, shape.value)
    elif isinstance(shape, Items):
        for item in value:
            yield from _secrets(item, shape.item)
