"""YAML as plain data that remembers the line of every value.

The core schema of YAML 1.2 is read: `on` and `no` are words, `010` is ten. Duplicate keys, anchors, tags
and several documents in one file are refused, because each of them has hidden a mistake before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml

from gateway.problems import Problem

Place: TypeAlias = tuple[str | int, ...]
"""Keys and list positions from the root to a value."""

MAX_CHARACTERS = 1_000_000
"""A longer file is refused unread: nobody writes such a configuration by hand."""

_INT = re.compile(r"[-+]?[0-9]{1,18}|0x[0-9a-fA-F]{1,15}|0o[0-7]{1,20}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]{1,3})?")
_WORDS: Mapping[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


class Refused(Exception):
    """The text is not YAML as we read it; `problem` says where and why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Source:
    """The data of one file and the place of each of its values."""

    name: str
    data: object
    """None, bool, int, float, str, list or dict with string keys."""
    lines: Mapping[Place, int]
    raw: Mapping[Place, str]
    """Scalars as they were written, before they became numbers."""

    def line(self, path: Place) -> int:
        """Line of the value at `path`, or of the nearest place above it that exists."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return 0


@dataclass(slots=True)
class _Reader:
    name: str
    lines: dict[Place, int] = field(default_factory=dict)
    raw: dict[Place, str] = field(default_factory=dict)

    def value(self, node: yaml.Node, path: Place) -> object:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*path, i)) for i, child in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        self.raw[path] = node.value
        return scalar(node.value) if node.style is None else node.value

    def _mapping(self, node: yaml.MappingNode, path: Place) -> dict[str, object]:
        out: dict[str, object] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise self.refuse(line, path, "a key must be a plain word", "write `key: value`")
            key = key_node.value
            if key in out:
                first = self.lines[(*path, key)]
                what = f"written twice, first in line {first}"
                raise self.refuse(line, (*path, key), what, "keep one of them")
            self.lines[(*path, key)] = line
            out[key] = self.value(value_node, (*path, key))
        return out

    def refuse(self, line: int, path: Place, what: str, cure: str) -> Refused:
        return Refused(Problem(self.name, line, dotted(path), what, cure))


class _Loader(yaml.SafeLoader):
    """PyYAML's reader up to its node tree, without aliases and tags."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's parser is unannotated
        anchor = getattr(event, "anchor", None)
        tag = getattr(event, "tag", None)
        if self.check_event(yaml.AliasEvent) or anchor is not None or tag not in (None, "!"):
            what = "anchors, aliases and tags are not read here"
            raise yaml.composer.ComposerError(None, None, what, event.start_mark)
        return super().compose_node(parent, index)


def dotted(path: Sequence[str | int]) -> str:
    """A path as people write it: `sip.trunks.0.name`."""
    return ".".join(str(part) for part in path)


def scalar(text: str) -> object:
    """An unquoted scalar by YAML 1.2's core schema; decimal digits with a leading zero stay text."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        if re.fullmatch(r"[-+]?0[0-9]+", text):
            return text
        return int(text, 0)
    return float(text) if _FLOAT.fullmatch(text) else text


def read(text: str, name: str) -> Source:
    """Parse one document. Raises `Refused`, and nothing else, for any text."""
    if len(text) > MAX_CHARACTERS:
        raise Refused(Problem(name, 0, "", f"longer than {MAX_CHARACTERS} characters", "split the file"))
    reader = _Reader(name)
    try:
        node = yaml.compose(text, Loader=_Loader)
        data = None if node is None else reader.value(node, ())
    except yaml.MarkedYAMLError as error:
        raise Refused(_problem(name, error)) from None
    except (yaml.YAMLError, ValueError) as error:
        what = f"not YAML: {_first_line(error)}"
        raise Refused(Problem(name, 0, "", what, "save it as UTF-8 text")) from None
    except RecursionError:
        raise Refused(Problem(name, 0, "", "nested too deeply", "remove brackets or indentation")) from None
    return Source(name, data, reader.lines, reader.raw)


def _problem(name: str, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 0
    what = error.problem or _first_line(error)
    if what.startswith("but ") and error.context:
        what = f"{error.context}, {what}"
    cure = "write the value out" if "not read here" in what else "check indentation, quotes and colons"
    return Problem(name, line, "", what, cure)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
