"""From a file and the environment to a `Config`, or to the list of everything that is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.overlay import Overlay
from gateway.config.schema import Config
from gateway.config.shape import Entries, Items, OneOf, Record, Shape, record
from gateway.errors import ConfigError
from gateway.problems import Problem
from gateway.secret import Secret
from gateway.validation import in_words
from gateway.yaml_source import Place, Refused, Source, read

# The list around it carries the prohibition of unknown fields down to plain dataclasses, which have no
# place for it themselves.
_ADAPTER = TypeAdapter(list[Config], config=ConfigDict(extra="forbid"))


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read the file (None: defaults alone) and the environment. Raises `ConfigError` with all mistakes."""
    source = _read(path)
    if not isinstance(source.data, dict | None):
        raise ConfigError(
            [Problem(source.name, 1, "", "not a list of sections", "begin with a line like `sip:`")]
        )
    shape = record(Config)
    overlay = Overlay(source, environ, path.parent if path else Path())
    data: dict[str, Any] = dict(source.data or {})
    overlay.override(data, shape)
    config, mistakes = _validate(overlay.walk(data, shape, ()))
    for mistake in mistakes:
        _tell(overlay, data, shape, mistake)
    if config is None or overlay.problems:
        raise ConfigError(overlay.problems)
    return config


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


def _validate(data: object) -> tuple[Config | None, list[ErrorDetails]]:
    try:
        return _ADAPTER.validate_python([data])[0], []
    except ValidationError as error:
        return None, error.errors(include_url=False)


def _tell(overlay: Overlay, data: object, root: Shape, mistake: ErrorDetails) -> None:
    """One of pydantic's errors in our words, at the place where the author wrote it."""
    place, shape = _place(data, root, mistake["loc"][1:])
    what, cure = in_words(mistake)
    if mistake["type"] == "value_error" and isinstance(shape, Record):
        # A part's own check names the field it is about: "port: 70000 is out of range; set 1 to 65535".
        named = re.match(r"([A-Za-z_]\w*)([\w.-]*):?\s+", what)
        if named and named[1] in shape.fields:
            place = (*place, named[1])
            what = what[named.end() :] if ":" in named[0] else what
    overlay.problem(place, what, cure)


def _place(data: object, shape: Shape, loc: tuple[str | int, ...]) -> tuple[Place, Shape]:
    """Where in the data an error lies; steps that only name a union's member are left out."""
    place: Place = ()
    for step in loc:
        if isinstance(shape, OneOf) and isinstance(step, str) and step in shape.kinds:
            shape = shape.kinds[step]
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
    return frozenset(text for text in _secrets(config, record(Config)) if text)


def _secrets(value: Any, shape: Shape) -> Iterator[str]:
    if isinstance(shape, OneOf):
        shape = record(type(value))
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
