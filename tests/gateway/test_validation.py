"""Pydantic's findings in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from gateway.validation import in_words


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class A:
    kind: Literal["a"] = "a"


@dataclass(frozen=True)
class B:
    kind: Literal["b"] = "b"


EITHER = Annotated[A | B, Field(discriminator="kind")]


@dataclass(frozen=True)
class Checked:
    n: int

    def __post_init__(self) -> None:
        if self.n < 0:
            raise ValueError("n: is negative; make it 0 or more")


def words(hint: Any, value: object) -> tuple[str, str]:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(hint).validate_python(value)
    return in_words(caught.value.errors()[0])


@pytest.mark.parametrize(
    ("hint", "value", "told"),
    [
        (int, "x", ("must be a whole number", "write it in digits, like 5")),
        (int, 1.5, ("must be a whole number", "write it in digits, like 5")),
        (int, None, ("must be a whole number", "write it in digits, like 5")),
        (float, "x", ("must be a number", "write it in digits, like 2.5")),
        (bool, "perhaps", ("must be true or false", "")),
        (str, 3, ("must be text", "put it in quotes")),
        (tuple[int, ...], 3, ("must be a list", "write [a, b], or one `- item` per line")),
        (dict[str, int], 3, ("must be a section of named entries", "indent `name: …` below it")),
        (A, 3, ("must be a section", "indent its fields below it")),
        (Checked, {}, ("is needed", "give it a value")),
        (Checked, {"n": -1}, ("n: is negative", "make it 0 or more")),
        (Colour, "green", ("is not one of the choices", "choose 'red' or 'blue'")),
        (Literal["x", "y"], "z", ("is not one of the choices", "choose 'x' or 'y'")),
        (EITHER, {"kind": "c"}, ('"c" is no kind', "choose 'a', 'b'")),
        (EITHER, {}, ("does not say its kind", "add a line like `kind: echo`")),
        (Annotated[int, Field(gt=3)], 1, ("input should be greater than 3", "")),
    ],
)  # fmt: skip
def test_findings_are_told_in_plain_words(hint: Any, value: object, told: tuple[str, str]) -> None:
    assert words(hint, value) == told
