"""What `offhook dialplan check` finds in plans that can be read: golden files, and what covers what."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialplan.check import Known, findings
from gateway.dialplan.cover import covers
from gateway.dialplan.match import Match
from gateway.dialplan.numbers import spellings
from gateway.dialplan.patterns import Pattern, compile_pattern
from gateway.dialplan.plan import BUILT_IN, Dialplan
from gateway.problems import listing

DATA = Path(__file__).parent.parent.parent / "data" / "dialplans" / "doubtful"
EXAMPLES = sorted(
    path for path in (BUILT_IN.parent / "examples").glob("*.yaml") if not path.name.endswith(".test.yaml")
)


@pytest.mark.parametrize("path", sorted(DATA.glob("*.yaml")), ids=lambda path: path.stem)
def test_doubtful_plans_are_told_with_line_field_and_cure(path: Path) -> None:
    plan = Dialplan.load([path], {"echo"})
    told = listing(findings(plan, Known(trunks=("carrier",), webhooks=False))).replace(f"{path.parent}/", "")
    assert told == path.with_suffix(".expected").read_text(encoding="utf-8").rstrip("\n")


@pytest.mark.parametrize("path", [BUILT_IN, *EXAMPLES], ids=lambda path: path.stem)
def test_nothing_is_found_in_our_own_plans(path: Path) -> None:
    assert listing(findings(Dialplan.load([path]))) == ""


@pytest.mark.parametrize(
    ("wide", "narrow", "all_of_it"),
    [
        ("*", "100", True), ("1*", "100", True), ("1*", "1", True), ("10*", "100*", True),
        ("+49*", "+49 30 *", True), ("+49*", "+49-30", True), ("100", "100", True), ("10?", "100", True),
        ("/1[0-9]+/", "100", True), ("/1[0-9]+/", "/1[0-9]+/", True), ("*", "/x/", True),
        ("100", "1*", False), ("10*", "1*", False), ("1*", "/1.*/", False), ("10?", "10*", False),
        ("1*0", "10*", False), ("[12]*", "1*", False), ("100", "1000", False),
    ],
)  # fmt: skip
def test_what_covers_what(wide: str, narrow: str, all_of_it: bool) -> None:
    one, other = (Match((compile_pattern(written),)) for written in (wide, narrow))
    assert covers(one, other) is all_of_it


_PATTERNS = st.lists(st.sampled_from([*"0123", "+", "*", "?"]), min_size=1, max_size=5).map("".join)


@given(_PATTERNS, _PATTERNS, st.text("0123+", max_size=6))
def test_a_covered_pattern_never_means_what_the_other_does_not(wide: str, narrow: str, address: str) -> None:
    def meant(pattern: Pattern) -> bool:
        return any(pattern.matches(spelt) for spelt in spellings(address, ""))

    one, other = compile_pattern(wide), compile_pattern(narrow)
    if covers(Match((one,)), Match((other,))) and meant(other):
        assert meant(one), f"{wide} is said to cover {narrow}"
