"""The configuration's tree, taken from dataclasses."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gateway.config.shape import Entries, Items, Leaf, OneOf, Record, record, shape_of
from gateway.secret import Secret


@dataclass(frozen=True)
class Cat:
    """A cat. Soft.

    More about cats.
    """

    kind: Literal["cat"] = "cat"
    """Always
    `cat`."""
    lives: int | None = 9
    """How many."""
    undocumented: str = ""


@dataclass(frozen=True)
class Dog:
    """A dog."""

    name: str
    """Its name."""
    kind: Literal["dog"] = "dog"
    """Always `dog`."""
    chip: Secret = Secret()
    """Its number."""
    pin: str = field(default="", repr=False)
    """Another."""


@dataclass(frozen=True)
class Home:
    """A home."""

    pets: Mapping[str, Cat | Dog] = field(default_factory=dict)
    """Who lives here."""
    doors: tuple[Path, ...] = ()
    """Ways in."""
    mixed: int | str = 0
    """Either."""
    cat: Cat = field(default_factory=Cat)
    """The cat."""


def test_annotations_become_shapes() -> None:
    fields = record(Home).fields
    pets = fields["pets"].shape
    assert isinstance(pets, Entries)
    assert isinstance(pets.value, OneOf)
    assert set(pets.value.kinds) == {"cat", "dog"}
    assert fields["doors"].shape == Items(Leaf(Path))
    assert fields["mixed"].shape == Leaf(int | str)
    assert isinstance(fields["cat"].shape, Record)
    assert fields["cat"].default == Cat()
    assert shape_of(int | None) == Leaf(int)


def test_docstrings_below_fields_become_one_line() -> None:
    cat = record(Cat)
    assert cat.doc == "A cat. Soft."
    assert {name: f.doc for name, f in cat.fields.items()} == {
        "kind": "Always `cat`.",
        "lives": "How many.",
        "undocumented": "",
    }


def test_secrets_are_known_by_type_and_by_hidden_repr() -> None:
    dog = record(Dog)
    assert [name for name, f in dog.fields.items() if f.secret] == ["chip", "pin"]
    assert dog.fields["name"].default is dataclasses.MISSING
    assert set(dog.keys()) == {"name", "kind", "chip", "pin", "chip_env", "chip_file", "pin_env", "pin_file"}
