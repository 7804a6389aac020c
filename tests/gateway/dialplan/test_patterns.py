"""Patterns: exact, glob, regular expression, and addresses as they see them."""

from __future__ import annotations

import time

import pytest

from gateway.dialplan.numbers import normalise
from gateway.dialplan.patterns import MAX_ADDRESS, any_of, compile_pattern


@pytest.mark.parametrize(
    ("address", "seen"),
    [
        ("+49 (30) 1234-56", "+4930123456"),
        ("sip:Alice@Example.COM;transport=tcp", "alice"),
        ("tel:+1-201-555-0123", "+12015550123"),
        ("sips:100@10.0.0.1:5061", "100"),
        ("front-desk", "front-desk"),
        ("*98", "*98"),
        ("  ", ""),
        ("", ""),
    ],
)
def test_addresses_are_normalised(address: str, seen: str) -> None:
    assert normalise(address) == seen


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("1000", ["1000", "+1000", "10-00"], ["100", "10000", "*1000"]),
        ("+4930", ["+4930", "+49 30"], ["4930", "+49301"]),
        ("+49*", ["+4930", "+49"], ["4930", "+48"]),
        ("49 30 *", ["493012", "+493012"], ["0493012"]),
        ("10?", ["101", "10x"], ["10", "1011"]),
        ("[12]00", ["100", "200"], ["300"]),
        ("[*]98", ["*98"], ["198"]),
        ("front-*", ["front-desk", "FRONT-Door"], ["back-desk"]),
        ("/49[0-9]{3}/", ["49123"], ["+49123", "4912", "49123x"]),
        ("/alice|bob/", ["alice", "BOB"], ["carol"]),
        ("", [""], ["1"]),
        ("*", ["", "1", "x" * 500], []),
    ],
)
def test_patterns_mean_what_they_say(pattern: str, yes: list[str], no: list[str]) -> None:
    compiled = compile_pattern(pattern)
    assert [a for a in yes if not compiled.matches(normalise(a))] == []
    assert [a for a in no if compiled.matches(normalise(a))] == []


def test_an_overlong_address_matches_only_the_catch_all() -> None:
    assert not compile_pattern("1*").matches("1" * (MAX_ADDRESS + 1))
    assert compile_pattern("1*").matches("1" * MAX_ADDRESS)


def test_no_pattern_means_everybody() -> None:
    assert any_of((), "1")
    assert not any_of((compile_pattern("2"), compile_pattern("3")), "1")


@pytest.mark.parametrize(
    "pattern",
    [
        "/(a+)+/",
        "/(a|aa)+$/",
        "/(x*){9}/",
        "/.*.*.*.*/",
        "/" + "a?" * 30 + "/",
        r"/(a)\1/",
        "/[/",
        "/(/",
        "x" * 200,
    ],
)
def test_patterns_that_could_hold_up_the_loop_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="; "):
        compile_pattern(pattern)


def test_the_worst_allowed_patterns_answer_fast() -> None:
    # The most ways that get through, with every mix of repeats, options and alternatives.
    address = "a" * MAX_ADDRESS
    began = time.perf_counter()
    for repeats, choices in ((0, 18), (1, 11), (2, 5), (3, 0)):
        for choice in ("a?", "(a|a)"):
            pattern = f"/{choice * choices}{'a*' * repeats}b/"
            if len(pattern) <= MAX_ADDRESS:
                assert not compile_pattern(pattern).matches(address)
            with pytest.raises(ValueError, match="; "):
                compile_pattern(f"/{choice * (choices + 1)}{'a*' * repeats}b/")
    # Milliseconds each; a second leaves room for a busy machine and is far below what one more would take.
    assert time.perf_counter() - began < 1


def test_repeats_in_classes_and_escapes_are_no_repeats() -> None:
    assert compile_pattern(r"/\+49[*+?]+/").matches("+49**")
