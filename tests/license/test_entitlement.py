"""Licence files and the vendor's answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from license.entitlement import (
    LICENCE,
    Answer,
    BadTerms,
    Terms,
    issue_answer,
    issue_licence,
    read_answer,
    read_licence,
)
from license.signature import BadSignature, new_key, public_of, seal

KEY = new_key()
PUBLIC = public_of(KEY)
TERMS = Terms("acme", 2e9, 3600.0, ("calls", "speech"), 10, 20)


def test_what_is_issued_can_be_read() -> None:
    assert read_licence(issue_licence(TERMS, KEY), PUBLIC) == TERMS
    answer = Answer(TERMS, 1.8e9, True, "nonce")
    assert read_answer(issue_answer(answer, KEY), PUBLIC) == answer


def test_a_licence_is_no_answer() -> None:
    with pytest.raises(BadSignature):
        read_answer(issue_licence(TERMS, KEY), PUBLIC)


@pytest.mark.parametrize(
    "change",
    [
        {"licence_id": ""}, {"licence_id": 7}, {"expires": "soon"}, {"expires": None}, {"expires": -1},
        {"grace_seconds": 1e9}, {"features": "all"}, {"features": [1]}, {"max_calls": True},
        {"max_calls": -1},
    ],
)  # fmt: skip
def test_terms_that_grant_nothing(change: dict[str, Any]) -> None:
    text = seal(LICENCE, {**TERMS.claims(), **change}, KEY)
    with pytest.raises(BadTerms, match=next(iter(change))):
        read_licence(text, PUBLIC)


ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 0, 1e308, float("nan"), "", "soon", [], ["x"], [1], {}]
)


@given(st.dictionaries(st.sampled_from(sorted(TERMS.claims())), ODD, max_size=6))
def test_any_signed_claims_give_terms_or_a_clear_error(claims: dict[str, Any]) -> None:
    try:
        read_licence(seal(LICENCE, claims, KEY), PUBLIC)
    except BadTerms:
        pass
