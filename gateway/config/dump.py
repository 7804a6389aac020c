"""The configuration as YAML that explains itself, with its secrets covered."""

from __future__ import annotations

import dataclasses
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from gateway.config.load import effective_shape
from gateway.config.schema import Config
from gateway.config.shape import Entries, Field, Items, OneOf, Record, Shape, record
from gateway.secret import MASK

WIDTH = 110
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_BLOCK = re.compile(r"(\S(.*\S)?\n+)+\S(.*\S)?")
"""Text of several lines that YAML's block style gives back unchanged."""
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off"})
_HEAD = """\
# Offhook's configuration: every field, its default and what it does. Delete what you leave as it is.
# OFFHOOK_<SECTION>__<FIELD> in the environment overrides a field: OFFHOOK_SIP__UDP_PORT=5080.
# ${NAME} and ${NAME:-default} stand for variables. Passwords and keys may also be given as <field>_env
# (a variable's name) or <field>_file (a file's name). Relative paths start at this file's folder.
"""


def dump(config: Config) -> str:
    """The effective configuration with its documentation; `load` reads it back, but for the secrets."""
    return "\n".join(_record(config, effective_shape(config), 0, examples=False)) + "\n"


def example() -> str:
    """A complete configuration of defaults, with an entry of each kind that has none, commented out."""
    return _HEAD + "\n".join(_record(Config(), effective_shape(Config()), 0, examples=True)) + "\n"


def _record(value: Any, shape: Record, depth: int, *, examples: bool) -> Iterator[str]:
    """A record's fields; `value` None stands for an entry of defaults, with `…` for what has none."""
    for name, field in shape.fields.items():
        if depth == 0:
            yield ""
        yield from _comment(field.doc, depth)
        held = getattr(value, name) if value is not None else field.default
        yield from _field(name, held, field, depth, examples=examples)


def _field(name: str, held: Any, field: Field, depth: int, *, examples: bool) -> Iterator[str]:
    pad = "  " * depth
    shape = field.shape
    if held is dataclasses.MISSING:
        yield f"{pad}{name}: …"
    elif field.secret:
        yield f"{pad}{name}: {json.dumps(MASK, ensure_ascii=False) if held else json.dumps('')}"
    elif isinstance(shape, Record):
        yield f"{pad}{name}:"
        yield from _record(held, shape, depth + 1, examples=examples)
    elif isinstance(shape, Entries | Items) and isinstance(_inner(shape), Record | OneOf):
        yield from _collection(name, held, shape, depth, examples=examples)
    else:
        yield from _plain(name, held, depth)


def _collection(name: str, held: Any, shape: Entries | Items, depth: int, *, examples: bool) -> Iterator[str]:
    pad = "  " * depth
    pairs = list(held.items() if isinstance(held, Mapping) else (("-", item) for item in held))
    empty = "{}" if isinstance(shape, Entries) else "[]"
    yield f"{pad}{name}:" if pairs else f"{pad}{name}: {empty}"
    for key, item in pairs:
        yield from _entry(
            key, list(_record(item, _kind(shape, item), depth + 2, examples=examples)), depth + 1
        )
    inner = _inner(shape)
    if not examples:
        return
    kinds = (
        inner.kinds if isinstance(inner, OneOf) else {"example": inner} if isinstance(inner, Record) else {}
    )
    for kind, model in kinds.items():
        if not any(isinstance(item, model.cls) for _, item in pairs):
            key = f"my-{kind}" if isinstance(shape, Entries) else "-"
            lines = _entry(key, list(_record(None, model, depth + 2, examples=True)), depth + 1)
            yield from (f"{pad}  # {line[2 * depth + 2 :]}" for line in lines)


def _entry(key: str, lines: list[str], depth: int) -> Iterator[str]:
    pad = "  " * depth
    if key != "-":
        yield f"{pad}{_scalar(key)}:"
        yield from lines
        return
    first = next(i for i, line in enumerate(lines) if not line.lstrip().startswith("#"))
    yield from (line[2:] for line in lines[:first])
    yield f"{pad}- {lines[first].lstrip()}"
    yield from lines[first + 1 :]


def _plain(name: str, held: Any, depth: int) -> Iterator[str]:
    pad = "  " * depth
    if isinstance(held, str) and _BLOCK.fullmatch(held):
        yield f"{pad}{name}: |-"
        yield from (f"{pad}  {line}".rstrip() for line in _literal(held).split("\n"))
        return
    text = f"{pad}{name}: {_value(held)}"
    if len(text) <= WIDTH or not isinstance(held, tuple | list | frozenset):
        yield text
        return
    yield f"{pad}{name}:"
    yield from (f"{pad}  - {_scalar(item)}" for item in held)


def _comment(doc: str, depth: int) -> Iterator[str]:
    pad = "  " * depth
    yield from textwrap.wrap(doc, WIDTH, initial_indent=f"{pad}# ", subsequent_indent=f"{pad}# ")


def _value(held: Any) -> str:
    if isinstance(held, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_value(item)}" for key, item in held.items()) + "}"
    if isinstance(held, tuple | list | frozenset):
        return "[" + ", ".join(_value(item) for item in held) + "]"
    return _scalar(held)


def _scalar(held: object) -> str:
    """A scalar that reads back as itself."""
    if isinstance(held, Enum):
        held = held.value
    if held is None or isinstance(held, bool | int | float):
        return json.dumps(held)
    text = str(held)
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(_literal(text), ensure_ascii=False)


def _literal(text: str) -> str:
    """Text in which nothing is a reference."""
    return text.replace("${", "$${")


def _inner(shape: Entries | Items) -> Shape:
    return shape.value if isinstance(shape, Entries) else shape.item


def _kind(shape: Entries | Items, item: object) -> Record:
    inner = _inner(shape)
    if isinstance(inner, Record):
        return inner
    own = record(type(item))
    return inner.kinds.get(str(getattr(item, inner.by, "")), own) if isinstance(inner, OneOf) else own
