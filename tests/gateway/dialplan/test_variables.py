"""Variables in texts: filled once, escaped for their place, refused where they could do harm."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialplan import variables
from gateway.dialplan.actions_ask import check_url
from gateway.dialplan.actions_reach import check_target


def test_a_reference_is_replaced_once_and_never_again() -> None:
    values = {"caller": "${called}", "called": "100"}
    assert (
        variables.fill("${caller} $${x} ${none:-nobody} ${none}.", values, str) == "${called} ${x} nobody ."
    )


@pytest.mark.parametrize("text", ["${", "${}", "${a b}", "${1x}", "say ${caller", "${a:-${b}}"])
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write"):
        variables.check(text)


def test_the_names_in_a_text_are_known() -> None:
    assert variables.names("${a} $${b} ${header.x-account:-none}") == {"a", "header.x-account"}


@pytest.mark.parametrize(
    "value", ["100;phone-context=x", "a@evil.example", "100\r\nX: y", "", "1" * 65, "a?b=c"]
)
def test_nothing_but_a_number_or_name_is_dialled(value: str) -> None:
    with pytest.raises(ValueError, match="dialled"):
        variables.dialled(value)


def test_a_number_loses_its_decoration() -> None:
    assert variables.dialled("+49 (30) 12-34") == "+493012-34"


@given(st.text(max_size=80))
def test_in_a_url_a_value_is_one_component(value: str) -> None:
    escaped = variables.in_url(value.encode("utf-8", "ignore").decode())
    assert not set(escaped) & set("/?#&=:@ \r\n")
    assert unquote(escaped) == value.encode("utf-8", "ignore").decode()


@given(st.text(max_size=80))
def test_a_voice_is_given_printable_text(value: str) -> None:
    assert variables.plain(value).isprintable()


@pytest.mark.parametrize(
    "url", ["ftp://a", "https://${called}.example/", "https://user@host/", "http:///x", "https://a/ b", "x"]
)
def test_a_server_must_be_named_and_fixed(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        check_url("url", url)


@pytest.mark.parametrize(
    "to", ["+49 30 1234", "sip:desk@pbx.example:5080;transport=tcp", "${gathered}", "tel:1"]
)
def test_what_can_be_dialled(to: str) -> None:
    check_target(to)


@pytest.mark.parametrize("to", ["", "sip:a@b<c>", "sip:a@b?Subject=x", "1\n2", "${"])
def test_what_cannot_be_dialled(to: str) -> None:
    with pytest.raises(ValueError, match="to: "):
        check_target(to)
