"""Mistakes are told with their place and their cure."""

from __future__ import annotations

from gateway.problems import Problem, listing, nearest


def test_a_problem_reads_as_place_field_fault_and_cure() -> None:
    problem = Problem("offhook.yaml", 3, "sip.prot", "is unknown", 'did you mean "port"?')
    assert str(problem) == 'offhook.yaml:3: sip.prot: is unknown; did you mean "port"?'


def test_parts_that_are_not_known_are_left_out() -> None:
    assert str(Problem("environment", 0, "OFFHOOK_X__Y", "wrong")) == "environment: OFFHOOK_X__Y: wrong"
    assert str(Problem("a.yaml", 2, "", "wrong", "mend it")) == "a.yaml:2: wrong; mend it"


def test_nearest_names_the_likely_word_or_all() -> None:
    assert nearest("prot", ["port", "host"]) == 'did you mean "port"?'
    assert nearest("PORT", ["port", "host"]) == 'did you mean "port"?'
    assert nearest("zzz", ["port", "host"]) == "known here: host, port"
    assert nearest("zzz", []) == "nothing is known here"


def test_a_listing_follows_the_file() -> None:
    late, early = Problem("a", 10, "x", "late"), Problem("a", 2, "y", "early")
    assert listing([late, early]).splitlines() == ["a:2: y: early", "a:10: x: late"]
