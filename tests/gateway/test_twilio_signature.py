"""Requests signed as Twilio signs them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.secret import Secret
from gateway.twilio_signature import HEADER, headers, is_signed, signature

TOKEN = Secret("12345")

# The worked example of Twilio's documentation of request validation.
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FORM = [
    ("CallSid", "CA1234567890ABCDE"), ("Caller", "+14158675309"), ("Digits", "1234"),
    ("From", "+14158675309"), ("To", "+18005551212"),
]  # fmt: skip


def test_the_documented_example() -> None:
    assert signature(TOKEN, URL, FORM) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="
    assert is_signed(TOKEN, URL, FORM, "RSOYDt4T1cUTdK1PDd93/VVr8B8=")


@pytest.mark.parametrize(
    ("url", "form", "given"),
    [
        (URL + "&", FORM, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        (URL, FORM[1:], "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        (URL, FORM, "RSOYDt4T1cUTdK1PDd93/VVr8B9="),
        (URL, FORM, ""),
        (URL, FORM, "ümlaut"),
    ],
)
def test_anything_else_is_no_proof(url: str, form: list[tuple[str, str]], given: str) -> None:
    assert not is_signed(TOKEN, url, form, given)


def test_without_a_token_nothing_is_signed_and_nothing_proven() -> None:
    assert headers(Secret(), URL) == {}
    assert not is_signed(Secret(), URL, (), signature(Secret(), URL))
    assert headers(TOKEN, URL) == {HEADER: signature(TOKEN, URL)}


@given(
    st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=6).flatmap(
        lambda form: st.tuples(st.just(form), st.permutations(form))
    )
)
def test_the_order_of_fields_does_not_matter(
    forms: tuple[list[tuple[str, str]], list[tuple[str, str]]],
) -> None:
    assert signature(TOKEN, URL, forms[0]) == signature(TOKEN, URL, forms[1])
