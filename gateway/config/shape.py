"""What the configuration may hold, as a tree taken from the settings' dataclasses.

Loading, secrets, environment overrides, documentation and "did you mean" all walk this one tree, so none of
them can disagree with the dataclasses.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sys
import textwrap
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from gateway.secret import Secret


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value without parts."""

    type: Any

    @property
    def is_text(self) -> bool:
        return self.type in (str, Secret)


@dataclass(frozen=True, slots=True)
class Items:
    """A list of one shape."""

    item: Shape


@dataclass(frozen=True, slots=True)
class Entries:
    """Named entries of one shape."""

    value: Shape


@dataclass(frozen=True, slots=True)
class OneOf:
    """A record one field of which says which."""

    kinds: Mapping[str, Record]
    by: str = "kind"
    """That field."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record and its documentation."""

    name: str
    shape: Shape
    doc: str
    secret: bool
    default: object
    """`dataclasses.MISSING` when the field must be given."""


@dataclass(frozen=True, slots=True)
class Record:
    """A section: one settings dataclass."""

    cls: type[Any]
    doc: str
    fields: Mapping[str, Field]
    follows: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Fields that nobody writes, because they follow from another one: name → dotted path of that one.

    A settings dataclass says so with `field(metadata={"follows": "limits.max_calls"})`.
    """

    def keys(self) -> dict[str, Field]:
        """Every key that may be written: the fields, and `_env` and `_file` beside each secret."""
        keys = dict(self.fields)
        for name, field in self.fields.items():
            if field.secret:
                for key in (f"{name}_env", f"{name}_file"):
                    keys.setdefault(key, dataclasses.replace(field, name=key, shape=Leaf(str), secret=False))
        return keys


Shape: TypeAlias = Leaf | Items | Entries | OneOf | Record


_known: dict[type[Any], Record] = {}


def record(cls: type[Any]) -> Record:
    """The shape of a settings dataclass, made once."""
    if cls not in _known:
        _known[cls] = _made(cls)
    return _known[cls]


def _made(cls: type[Any]) -> Record:
    hints = typing.get_type_hints(cls, vars(sys.modules[cls.__module__]), include_extras=True)
    docs = field_docs(cls)
    fields = {
        field.name: Field(
            field.name,
            shape_of(hints[field.name]),
            docs.get(field.name) or _section_doc(shape_of(hints[field.name])),
            not field.repr or shape_of(hints[field.name]) == Leaf(Secret),
            default_of(field),
        )
        for field in dataclasses.fields(cls)
        if field.init and "follows" not in field.metadata
    }
    follows = {
        field.name: str(field.metadata["follows"])
        for field in dataclasses.fields(cls)
        if "follows" in field.metadata
    }
    return Record(cls, inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0], fields, follows)


def _section_doc(shape: Shape) -> str:
    """A section whose field says nothing is told by its own first line."""
    return shape.doc if isinstance(shape, Record) else ""


def shape_of(hint: Any) -> Shape:
    """The shape of one annotation."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return shape_of(args[0])
    if origin in (types.UnionType, typing.Union):
        return _union([arg for arg in args if arg is not types.NoneType], hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return record(hint)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return Entries(shape_of(args[1]))
    if isinstance(origin, type) and issubclass(origin, Sequence | frozenset):
        return Items(shape_of(args[0]))
    return Leaf(hint)


def _union(members: list[Any], hint: Any) -> Shape:
    if len(members) == 1:
        return shape_of(members[0])
    shapes = [shape_of(member) for member in members]
    if all(isinstance(shape, Record) and "kind" in shape.fields for shape in shapes):
        return OneOf({str(s.fields["kind"].default): s for s in shapes if isinstance(s, Record)})
    return Leaf(hint)


def default_of(field: dataclasses.Field[Any]) -> object:
    """The value a field has when nobody gives one, or `dataclasses.MISSING`."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def field_docs(cls: type[Any]) -> dict[str, str]:
    """The docstring below each field of a dataclass, on one line, bases first."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        for owner in (node for node in tree.body if isinstance(node, ast.ClassDef)):
            for above, below in zip(owner.body, owner.body[1:], strict=False):
                text = _text(below)
                if isinstance(above, ast.AnnAssign) and isinstance(above.target, ast.Name) and text:
                    docs[above.target.id] = " ".join(text.split())
    return docs


def _text(node: ast.stmt) -> str:
    if (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ):
        return node.value.value
    return ""
