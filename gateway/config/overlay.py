"""What reaches the settings beside the file: environment overrides, `${NAME}`, secrets kept elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.config.shape import Entries, Items, Leaf, OneOf, Record, Shape
from gateway.problems import Problem, nearest
from gateway.yaml_source import Place, Refused, Source, dotted, read

PREFIX = "OFFHOOK_"
"""Variables that begin so and hold `__` override the file: OFFHOOK_SIP__PORT=5060."""

_REFERENCE = re.compile(r"\$\$(?=\{)|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{[^}]*\}?")


@dataclass(slots=True)
class Overlay:
    """Walks a file's data by the configuration's shape and makes it ready to be validated.

    Everything wrong is collected in `problems`; what is wrong is left out of the data, so that one mistake
    is told once.
    """

    source: Source
    environ: Mapping[str, str]
    base: Path
    """Folder to which relative paths in the file are relative."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Variables without our prefix, and the overrides that they stand for."""
    problems: list[Problem] = field(default_factory=list)
    overridden: dict[Place, str] = field(default_factory=dict)
    """Where the environment decided, and by which variable."""

    def problem(self, place: Place, what: str, cure: str = "") -> None:
        """Note a mistake at a place, in the words of whoever set it."""
        for end in range(len(place), 0, -1):
            if place[:end] in self.overridden:
                self.problems.append(Problem("environment", 0, self.overridden[place[:end]], what, cure))
                return
        self.problems.append(Problem(self.source.name, self.source.line(place), dotted(place), what, cure))

    # -- overrides ------------------------------------------------------------------------------------

    def override(self, data: dict[str, Any], shape: Record) -> None:
        """Write every override of the environment into the data."""
        for variable in sorted(self.environ):
            if variable.startswith(PREFIX) and "__" in variable.removeprefix(PREFIX):
                self._override(data, shape, variable, variable)
        for alias, meant in self.aliases.items():
            self._override(data, shape, alias, meant)

    def _override(self, data: dict[str, Any], root: Shape, variable: str, meant: str) -> None:
        here: Any = data
        place: Place = ()
        shape = root
        parts = meant.removeprefix(PREFIX).lower().split("__")
        for position, part in enumerate(parts):
            keys = _keys(shape, here)
            name = _match(part, keys)
            if name is None and isinstance(shape, Entries):
                name = part
            if name is None or not isinstance(here, dict):
                self.problems.append(
                    Problem(
                        "environment", 0, variable, f'nothing is called "{part}" here', nearest(part, keys)
                    )
                )
                return
            place = (*place, name)
            shape = _child(shape, name, here)
            if position == len(parts) - 1:
                self.overridden[place] = variable
                here[name] = self._read_override(shape, self.environ[variable], place)
            else:
                here = here.setdefault(name, {})

    def _read_override(self, shape: Shape, text: str, place: Place) -> object:
        if isinstance(shape, Leaf):
            return text
        if isinstance(shape, Items) and not text.lstrip().startswith("["):
            return [part.strip() for part in text.split(",") if part.strip()]
        try:
            return read(text, "environment").data
        except Refused as refused:
            self.problem(place, refused.problem.what, "write a YAML value in one line")
            return None

    # -- the walk -------------------------------------------------------------------------------------

    def walk(self, value: object, shape: Shape, place: Place) -> object:
        """The value with references filled in, secrets fetched, unknown keys told and left out."""
        if isinstance(value, str) and place not in self.overridden:
            value = self._fill(value, place)
        if isinstance(shape, Leaf):
            return self._leaf(value, shape, place)
        if isinstance(shape, Items) and isinstance(value, list):
            return [self.walk(item, shape.item, (*place, i)) for i, item in enumerate(value)]
        if isinstance(value, dict):
            if isinstance(shape, Entries):
                return {key: self.walk(item, shape.value, (*place, key)) for key, item in value.items()}
            if isinstance(shape, OneOf):
                chosen = shape.kinds.get(str(value.get(shape.by)))
                return value if chosen is None else self._record(value, chosen, place)
            if isinstance(shape, Record):
                return self._record(value, shape, place)
        return value

    def _record(self, value: dict[str, Any], shape: Record, place: Place) -> dict[str, Any]:
        keys = shape.keys()
        out: dict[str, Any] = {}
        for key, item in value.items():
            if key in shape.follows:
                self.problem((*place, key), f"follows from {shape.follows[key]}", "set that one instead")
            elif key not in keys:
                self.problem((*place, key), f'nothing is called "{key}" here', nearest(key, keys))
            elif item is None and isinstance(keys[key].shape, Record | Entries | Items):
                continue  # a section whose every line is commented out
            else:
                out[key] = self.walk(item, keys[key].shape, (*place, key))
        for name, known in shape.fields.items():
            if known.secret:
                self._fetch(out, name, shape, place)
        return out

    def _fetch(self, out: dict[str, Any], name: str, shape: Record, place: Place) -> None:
        """Replace `<name>_env` and `<name>_file` by the secret they point at."""
        hints = [key for key in (f"{name}_env", f"{name}_file") if key in out and key not in shape.fields]
        if len(hints) + (name in out) > 1:
            cure = f"keep one of {name}, {name}_env, {name}_file"
            self.problem((*place, hints[-1]), f'"{name}" is given twice', cure)
        for key in hints:
            fetch = self._from_env if key.endswith("_env") else self._from_file
            out.setdefault(name, fetch(str(out.pop(key)), (*place, key)))

    def _from_env(self, variable: str, place: Place) -> str:
        if variable not in self.environ:
            self.problem(place, f"the variable {variable} is not set", "set it, or name the one that is")
        return self.environ.get(variable, "")

    def _from_file(self, name: str, place: Place) -> str:
        try:
            return (self.base / name).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else "not text"
            self.problem(place, f"cannot read {name}: {why}", "check the path and its permissions")
            return ""

    def _leaf(self, value: object, shape: Leaf, place: Place) -> object:
        if shape.is_text and isinstance(value, bool | int | float) and place not in self.overridden:
            return self.source.raw.get(place, value)
        if shape.type is Path and isinstance(value, str) and place not in self.overridden:
            return self.base / value
        return value

    def _fill(self, text: str, place: Place) -> str:
        def fill(match: re.Match[str]) -> str:
            name, fallback = match.group(1), match.group(2)
            if match.group(0) == "$$":
                return "$"
            if name is None:
                self.problem(
                    place,
                    f"{match.group(0)} is no reference",
                    "write ${NAME}, or $${ for the characters themselves",
                )
                return ""
            if name not in self.environ and fallback is None:
                self.problem(
                    place, f"the variable {name} is not set", f"set it, or write ${{{name}:-default}}"
                )
            return self.environ.get(name, fallback or "")

        return _REFERENCE.sub(fill, text)


def _keys(shape: Shape, here: object) -> list[str]:
    if isinstance(shape, OneOf):
        shape = _chosen(shape, here)
    if isinstance(shape, Record):
        return list(shape.keys())
    return list(here) if isinstance(shape, Entries) and isinstance(here, dict) else []


def _child(shape: Shape, name: str, here: object) -> Shape:
    if isinstance(shape, OneOf):
        shape = _chosen(shape, here)
    if isinstance(shape, Record):
        return shape.keys()[name].shape
    return shape.value if isinstance(shape, Entries) else Leaf(str)


def _chosen(shape: OneOf, here: object) -> Shape:
    """The record that `kind` chooses, else one that knows the keys of all."""
    kind = here.get(shape.by) if isinstance(here, dict) else None
    if kind in shape.kinds:
        return shape.kinds[str(kind)]
    merged = {name: field for record in shape.kinds.values() for name, field in record.fields.items()}
    return Record(object, "", merged)


def _match(part: str, keys: list[str]) -> str | None:
    """The key that a variable's part means: case and `-` cannot be written in a variable's name."""
    return next((key for key in keys if key.lower().replace("-", "_") == part), None)
