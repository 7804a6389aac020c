"""YAML as plain data with lines, and nothing but `Refused` for any text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.yaml_source import MAX_CHARACTERS, Refused, read, scalar


def refusal(text: str) -> str:
    with pytest.raises(Refused) as caught:
        read(text, "f.yaml")
    return str(caught.value.problem)


def test_values_carry_their_lines_and_their_spelling() -> None:
    source = read("a:\n  b: 010\n  c: [1, +49]\n# end\nd: x\n", "f.yaml")
    assert source.data == {"a": {"b": "010", "c": [1, 49]}, "d": "x"}
    assert (source.line(("a", "b")), source.line(("a", "c", 1)), source.line(("d",))) == (2, 3, 5)
    assert source.raw["a", "c", 1] == "+49"


def test_a_missing_place_has_the_line_of_what_holds_it() -> None:
    source = read("a:\n  b: 1\n", "f.yaml")
    assert source.line(("a", "zz", "y")) == 1
    assert source.line(("q",)) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("no", "no"), ("true", True), ("FALSE", False), ("null", None), ("~", None), ("", None),
        ("12", 12), ("-3", -3), ("0x1f", 31), ("0o17", 15), ("017", "017"), ("1.5", 1.5), ("1e3", 1000.0),
        (".5", 0.5), ("1_000", "1_000"), ("12:30", "12:30"), ("2024-01-01", "2024-01-01"), ("=", "="),
        ("1234567890123456789012", "1234567890123456789012"),
    ],
)  # fmt: skip
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_quotes_make_text() -> None:
    assert read("a: '12'\nb: \"true\"\n", "f").data == {"a": "12", "b": "true"}


def test_an_empty_file_is_nothing() -> None:
    assert read("# only a comment\n", "f").data is None


NOT_READ = "anchors, aliases and tags are not read here; write the value out"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3: a: written twice, first in line 1; keep one of them"),
        ("a: &x 1\n", f"f.yaml:1: {NOT_READ}"),
        ("a: 1\nb: *x\n", f"f.yaml:2: {NOT_READ}"),
        ("a: !!python/object:os.system x\n", f"f.yaml:1: {NOT_READ}"),
        ("? [a]\n: 1\n", "f.yaml:1: a key must be a plain word; write `key: value`"),
        ("a: [1\n", "f.yaml:2: expected ',' or ']', but got '<stream end>'; "
         "check indentation, quotes and colons"),
        ("[" * 5000, "f.yaml: nested too deeply; remove brackets or indentation"),
    ],
)  # fmt: skip
def test_what_hides_mistakes_is_refused(text: str, told: str) -> None:
    assert refusal(text) == told


def test_control_characters_and_size_are_refused() -> None:
    assert "not YAML" in refusal("a: \x00")
    assert "longer than" in refusal("a" * (MAX_CHARACTERS + 1))


def test_two_documents_are_refused() -> None:
    assert "expected a single document in the stream, but found another" in refusal("a: 1\n---\nb: 2\n")


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-[]{}#&*!|>'\"%@`? \n\t0.,~\\\x07é"), max_size=60))
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        source = read(text, "f")
    except Refused:
        return
    assert source.data is None or isinstance(source.data, bool | int | float | str | list | dict)
